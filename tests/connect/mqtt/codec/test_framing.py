# SPDX-License-Identifier: Apache-2.0
"""Cutting a stream into frames: in any chunks, within bounds, and refusing early."""

import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.connect.mqtt.codec import (
    DecodeError,
    Frame,
    FrameReader,
    MalformedPacket,
    PacketTooLarge,
    ReasonCode,
    encode,
    frame_bounds,
)
from freehold.connect.mqtt.codec.primitives import varint_bytes
from tests.connect.mqtt.codec.strategies import packets, unhurried

Outcome = tuple[list[Frame], str | None]


def chop(stream: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    return [stream[a:b] for a, b in pairwise(places)]


def frames_of(chunks: list[bytes], max_size: int) -> Outcome:
    """All frames, and the error that ended the stream, if one did."""
    reader = FrameReader(max_size)
    found: list[Frame] = []
    try:
        for chunk in chunks:
            reader.feed(chunk)
            for frame in reader:
                found.append(frame)
    except DecodeError as refusal:
        return found, type(refusal).__name__
    return found, None


@unhurried
@given(data=st.data(), version=st.sampled_from([4, 5]), cuts=st.lists(st.integers(0, 10_000), max_size=12))
def test_any_chunks_give_the_frames_of_the_whole(data: st.DataObject, version: int, cuts: list[int]) -> None:
    wires = [encode(packet, version) for packet in data.draw(st.lists(packets(version), max_size=5))]
    stream = b"".join(wires)
    found, refusal = frames_of(chop(stream, cuts), 100_000)
    assert refusal is None
    assert [bytes((frame.first_byte,)) + varint_bytes(len(frame.body)) + frame.body for frame in found] == wires


@unhurried
@given(
    stream=st.binary(max_size=80),
    cuts=st.lists(st.integers(0, 80), max_size=12),
    max_size=st.integers(2, 60),
)
def test_any_bytes_in_any_chunks_end_alike(stream: bytes, cuts: list[int], max_size: int) -> None:
    whole = frames_of([stream], max_size)
    assert frames_of(chop(stream, cuts), max_size) == whole
    assert frames_of([bytes((byte,)) for byte in stream], max_size) == whole
    assert all(len(frame.body) + 2 <= max_size for frame in whole[0])


@unhurried
@given(stream=st.binary(max_size=60), offset=st.integers(0, 5), spare=st.binary(max_size=5))
def test_bounds_look_at_nothing_outside_their_window(stream: bytes, offset: int, spare: bytes) -> None:
    """The same window amid other bytes, in any kind of buffer, has the same answer."""

    def answer(buffer: bytes | bytearray | memoryview, start: int, end: int) -> object:
        try:
            found = frame_bounds(buffer, start, end, 50)
        except DecodeError as refusal:
            return type(refusal)
        return found and (found[0] - start, found[1] - start)

    expected = answer(stream, 0, len(stream))
    amid = bytes(offset) + stream + spare
    for make in (bytes, bytearray, memoryview):
        assert answer(make(amid), offset, offset + len(stream)) == expected


@pytest.mark.parametrize("length", [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152])
def test_bounds_at_the_steps_of_the_length(length: int) -> None:
    wire = b"\x30" + varint_bytes(length) + bytes(length)
    head = len(wire) - length
    assert frame_bounds(wire, 0, len(wire)) == (head, len(wire))
    if length:
        assert frame_bounds(wire, 0, len(wire) - 1) is None
    for end in range(head):
        assert frame_bounds(wire, 0, end) is None


@pytest.mark.parametrize(
    "header", ["30", "30 80", "30 80 80", "30 80 80 80", "30 ff ff ff"], ids=lambda h: h.replace(" ", "")
)
def test_an_unfinished_header_waits(header: str) -> None:
    raw = bytes.fromhex(header)
    assert frame_bounds(raw, 0, len(raw)) is None


@pytest.mark.parametrize("header", ["30 80 80 80 80", "30 ff ff ff ff 7f", "30 80 80 80 80 00"])
def test_a_length_of_five_bytes_is_refused_at_its_fourth(header: str) -> None:
    raw = bytes.fromhex(header)
    with pytest.raises(MalformedPacket, match="four bytes") as refusal:
        frame_bounds(raw, 0, len(raw))
    assert refusal.value.reason_code is ReasonCode.MALFORMED_PACKET


def test_too_large_is_said_before_the_body_comes() -> None:
    """The limit counts the whole packet (2.1.4): 2 bytes of header, 98 of body, make 100."""
    assert frame_bounds(b"\x30\x62", 0, 2, 100) is None
    with pytest.raises(PacketTooLarge) as refusal:
        frame_bounds(b"\x30\x63", 0, 2, 100)
    assert (refusal.value.size, refusal.value.limit) == (101, 100)
    assert refusal.value.reason_code is ReasonCode.PACKET_TOO_LARGE


def test_the_largest_packet_of_all_is_within_the_default() -> None:
    assert frame_bounds(b"\x30\xff\xff\xff\x7f", 0, 5) is None


def test_a_huge_announcement_takes_no_memory() -> None:
    reader = FrameReader(1000)
    tracemalloc.start()
    try:
        reader.feed(b"\x30\xff\xff\xff\x7f" + bytes(500))
        with pytest.raises(PacketTooLarge):
            next(reader)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100_000
    assert reader.pending == 0


def test_frames_before_a_bad_one_come_out_and_then_it_is_over() -> None:
    reader = FrameReader(50)
    reader.feed(b"\xc0\x00" + b"\x40\x02\x00\x01" + b"\x30\x7f")
    assert next(reader) == Frame(0xC0, b"")
    assert next(reader) == Frame(0x40, b"\0\1")
    with pytest.raises(PacketTooLarge) as first:
        next(reader)
    with pytest.raises(PacketTooLarge) as again:
        next(reader)
    with pytest.raises(PacketTooLarge) as fed:
        reader.feed(b"\xc0\x00")
    assert first.value is again.value is fed.value


def test_no_more_is_held_than_one_incomplete_packet() -> None:
    reader = FrameReader(200)
    packet = b"\x30\x64" + bytes(100)
    for _ in range(100):
        reader.feed(packet + packet[:50])
        assert len(list(reader)) == 1
        assert reader.pending == 50
        reader.feed(packet[50:])
        assert len(list(reader)) == 1
        assert reader.pending == 0


def test_a_frame_is_a_copy() -> None:
    reader = FrameReader()
    reader.feed(bytearray(b"\x30\x03abc"))
    frame = next(reader)
    reader.feed(b"\x30\x03xyz")
    assert frame == Frame(0x30, b"abc")
    assert next(reader) == Frame(0x30, b"xyz")
    assert type(frame.body) is bytes
