# SPDX-License-Identifier: Apache-2.0
"""The decoders against anything: arbitrary bytes, valid packets with damage, and a corpus.

Two promises are held against every input: nothing but ``DecodeError`` comes out, and what was
taken can be encoded again and means the same. Files in ``corpus/`` are streams in hex with
comments: what real clients sent (``capture-*``), one of each kind of packet (``packet-*``), and
inputs that are hard on parsers (``hard-*``). Whatever fuzzing finds is added there.
"""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.connect.mqtt.codec import (
    DecodeError,
    FrameReader,
    MalformedPacket,
    Packet,
    PacketTooLarge,
    decode_packet,
    decode_publish,
    encode,
    frame_bounds,
    peek_version,
)
from tests.connect.mqtt.codec.strategies import first_bytes, packets, unhex, unhurried

CORPUS = sorted((Path(__file__).parent / "corpus").glob("*.hex"))
VERSIONS = (4, 5)


def refused(refusal: DecodeError) -> None:
    """Every refusal can be answered with its code, and its text can go into a log line."""
    assert refusal.reason_code >= 0x80
    assert refusal.text.isascii()
    assert refusal.text.isprintable()


def taken(first_byte: int, body: bytes, version: int) -> Packet | None:
    """The packet, or nothing when it was refused properly. Anything else that is raised passes."""
    try:
        packet = decode_packet(first_byte, body, version)
    except DecodeError as caught:
        refused(caught)
        return None
    wire = encode(packet, version)
    bounds = frame_bounds(wire, 0, len(wire))
    assert bounds is not None
    assert decode_packet(wire[0], wire, version, *bounds) == packet
    return packet


@unhurried
@given(first_byte=first_bytes, body=st.binary(max_size=120), version=st.sampled_from(VERSIONS))
def test_arbitrary_bytes(first_byte: int, body: bytes, version: int) -> None:
    taken(first_byte, body, version)


# Lengths that are small, and property identifiers, get further than arbitrary bytes do.
likely = st.sampled_from([0, 0, 0, 1, 1, 2, 3, 4, 5, 8, 9, 11, 17, 21, 31, 33, 35, 38, 0x4D, 0x61, 0x80, 0xFF])


@unhurried
@given(
    first_byte=first_bytes,
    body=st.lists(likely | st.integers(0, 255), max_size=40).map(bytes),
    version=st.sampled_from(VERSIONS),
)
def test_likely_bytes(first_byte: int, body: bytes, version: int) -> None:
    taken(first_byte, body, version)


@unhurried
@given(start=st.integers(0, 12), body=st.lists(likely, max_size=40).map(bytes), version=st.sampled_from([5, 4]))
def test_likely_bytes_behind_the_head_of_a_connect(start: int, body: bytes, version: int) -> None:
    head = b"\0\4MQTT" + bytes((version,)) + b"\xce\0\0\0\0\0"
    taken(0x10, head[: 7 + start] + body, version)
    peek_version(body, 0, len(body))


@unhurried
@given(flags=st.integers(0, 15), body=st.lists(likely, max_size=40).map(bytes), version=st.sampled_from(VERSIONS))
def test_the_fast_road_of_publish_refuses_as_the_other(flags: int, body: bytes, version: int) -> None:
    packet = taken(0x30 | flags, body, version)
    if packet is None:
        with pytest.raises(DecodeError):
            decode_publish(flags, body, 0, len(body), version)
    else:
        assert decode_publish(flags, body, 0, len(body), version) == packet


@st.composite
def damaged(draw: st.DrawFn, version: int) -> tuple[int, bytes]:
    """A valid packet with one to four of: a byte changed, some lost, some added, some moved."""
    wire = encode(draw(packets(version)), version)
    bounds = frame_bounds(wire, 0, len(wire))
    assert bounds is not None
    first_byte, body = wire[0], bytearray(wire[bounds[0] :])
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(body)))
        match draw(st.sampled_from(["change", "lose", "add", "repeat", "first"])):
            case "change":
                body[place : place + 1] = bytes((draw(st.integers(0, 255)),))
            case "lose":
                del body[place : place + draw(st.integers(1, 8))]
            case "add":
                body[place:place] = draw(st.binary(min_size=1, max_size=6))
            case "repeat":
                body[place:place] = body[place : place + draw(st.integers(1, 12))]
            case _:
                first_byte ^= 1 << draw(st.integers(0, 7))
    return first_byte, bytes(body)


@unhurried
@given(data=st.data(), version=st.sampled_from(VERSIONS), read_as=st.sampled_from(VERSIONS))
def test_damaged_packets(data: st.DataObject, version: int, read_as: int) -> None:
    first_byte, body = data.draw(damaged(version))
    taken(first_byte, body, read_as)


def replay(stream: bytes, version: int) -> list[Packet | None]:
    """Every frame of a stream through ``taken``, up to where the stream breaks."""
    reader = FrameReader(70_000)
    reader.feed(stream)
    found: list[Packet | None] = []
    while True:
        try:
            frame = next(reader, None)
        except (MalformedPacket, PacketTooLarge):
            return found
        if frame is None:
            return found
        found.append(taken(*frame, version))


def version_of(path: Path) -> int:
    return 5 if "-v5" in path.stem else 4


def test_the_corpus_is_there() -> None:
    kinds = {path.stem.partition("-")[0] for path in CORPUS}
    assert kinds == {"capture", "packet", "hard"}


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_corpus(path: Path) -> None:
    """Captures and packets are taken whole, hard ones refused; both versions survive all of them."""
    stream = unhex(path.read_text())
    for version in VERSIONS:
        replay(stream, version)
    found = replay(stream, version_of(path))
    if path.stem.startswith("hard-"):
        assert not found or None in found
    else:
        assert found
        assert None not in found


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_corpus_damaged_at_every_byte(path: Path) -> None:
    """Cut behind every byte, and every byte set to what most upsets a length."""
    stream = unhex(path.read_text())
    version = version_of(path)
    for place in range(min(len(stream), 300)):
        replay(stream[:place], version)
        for value in (0x00, 0x01, 0x7F, 0x80, 0xFF, stream[place] ^ 0x04):
            replay(stream[:place] + bytes((value,)) + stream[place + 1 :], version)
