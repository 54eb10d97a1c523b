# SPDX-License-Identifier: Apache-2.0
"""What goes over the channel: both ends against each other, and answers that nobody should believe."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from array import array
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.process.guest.channel import (
    ANSWER,
    BINARY,
    JSON,
    LAST,
    LENGTHS,
    LOAD,
    RETIRING,
    RUN,
    TEXT,
    Channel,
    Request,
)
from freehold.process.interfaces import Failed, Measured
from freehold.process.sandbox import frames
from freehold.process.sandbox.frames import Garbage
from tests.process.making import event

NONCE = 2**63 + 5


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, Channel]]:
    ours, theirs = socket.socketpair()
    yield ours, Channel(theirs.fileno())
    ours.close()
    theirs.close()


def through(pair: tuple[socket.socket, Channel], frame: bytes) -> Request:
    """`frame` as the guest reads it."""
    pair[0].sendall(frame)
    request = pair[1].read()
    assert request is not None
    return request


def payloads(request: Request) -> list[bytes]:
    starts = [0, *request.ends[:-1]]
    return [bytes(request.payloads[start:end]) for start, end in zip(starts, request.ends, strict=True)]


class TestRequests:
    def test_lengths_are_32_bit(self) -> None:
        assert array(LENGTHS).itemsize == 4

    def test_payloads_arrive_byte_by_byte(self, pair: tuple[socket.socket, Channel]) -> None:
        sent = [b'{"temp":22}', b"", b"\x00\xff", "Grüße".encode()]
        types = ["application/json", "application/vnd.a+json", "application/octet-stream", "text/plain"]
        events = [event(data, kind) for data, kind in zip(sent, types, strict=True)]
        request = through(pair, frames.run_request(NONCE, events, careful=True, with_events=False))
        assert payloads(request) == sent
        assert list(request.kinds) == [JSON, JSON, BINARY, TEXT]
        assert (request.nonce, request.kind, request.careful, request.count) == (NONCE, RUN, True, 4)
        assert request.metadata == b""

    def test_attributes_go_along_when_the_script_takes_them(self, pair: tuple[socket.socket, Channel]) -> None:
        one = event({}, extensions={"lorawanport": "7", "device": "forged"})
        request = through(pair, frames.run_request(NONCE, [one], careful=False, with_events=True))
        (attributes,) = json.loads(request.metadata)
        assert attributes == {
            "specversion": "1.0",
            "id": one.id,
            "time": one.time_text,
            "source": one.source,
            "type": one.type,
            "subject": "telemetry",
            "datacontenttype": "application/json",
            "dataschema": None,
            "application": "plant",
            "applicationuid": one.applicationuid,
            "device": "my-dev",
            "deviceuid": "d-1",
            "sender": "gateway",
            "senderuid": "d-2",
            "instance": "test",
            "partitionkey": one.partitionkey,
            "lorawanport": "7",
        }

    def test_a_source_arrives(self, pair: tuple[socket.socket, Channel]) -> None:
        request = through(pair, frames.load_request(NONCE, "# °\n"))
        assert (request.kind, str(request.payloads, "utf-8")) == (LOAD, "# °\n")

    def test_the_end_is_the_end(self, pair: tuple[socket.socket, Channel]) -> None:
        whole = frames.run_request(NONCE, [event({"a": 1})], careful=False, with_events=False)
        pair[0].sendall(whole[:-1])
        pair[0].close()
        assert pair[1].read() is None
        assert pair[1].read() is None

    @pytest.mark.parametrize(
        ("content_type", "kind"),
        [
            ("application/json", JSON),
            ("application/json; charset=utf-8", JSON),
            ("Text/JSON", JSON),
            ("application/senml+json", JSON),
            ("text/plain", TEXT),
            ("text/csv; header=present", TEXT),
            ("application/xml", BINARY),
            ("image/png", BINARY),
            ("", BINARY),
        ],
    )
    def test_kinds_follow_from_content_types(self, content_type: str, kind: int) -> None:
        assert frames.kind_of(content_type) == kind


def reader_of(data: bytes) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return reader


def answer(payload: bytes, *, nonce: int = NONCE, flags: int = 0, count: int = 1, size: int | None = None) -> bytes:
    return ANSWER.pack(nonce, flags, count, len(payload) if size is None else size) + payload


async def read(data: bytes, most_events: int = 5, output_bytes: int = 1000) -> frames.Answer:
    return await frames.read_answer(reader_of(data), NONCE, most_events=most_events, output_bytes=output_bytes)


class TestAnswers:
    async def test_results_and_failures(self) -> None:
        payload = b'[[[{"a":1}],[{"b":2},"m","s",5]],[],{"reason":"r","detail":"d"}]'
        found = await read(answer(payload, flags=LAST, count=3))
        assert found.outcomes == [
            [Measured({"a": 1}), Measured({"b": 2}, "m", "s", 5)],
            [],
            Failed("r", "d"),
        ]
        assert (found.last, found.retiring) == (True, False)

    async def test_flags(self) -> None:
        found = await read(answer(b"[]", flags=RETIRING, count=0))
        assert (found.last, found.retiring) == (False, True)

    @pytest.mark.parametrize(
        "payload",
        [
            b"",
            b"[",
            b"5",
            b"{}",
            b"[5]",
            b"[[5]]",
            b"[[[5]]]",
            b"[[[]]]",
            b'[[{"data":{}}]]',
            b'[[[{},"",null,null]]]',
            b"[[[{},null,null,-1]]]",
            b"[[[{},null,null,1.5]]]",
            b"[[[{},null,null,253402300800000000]]]",
            b'[{"reason":"r"}]',
            b'[{"reason":5,"detail":""}]',
            b'[[[{"a":NaN}]]]',
            b'[[[{"a":"\xff"}]]]',
            b'[[[{"a":"\\ud800"}]]]',
            b"[[[{}]],[]]",
            b"[]",
            b"[[" + b"[" * 5000 + b"]" * 5000 + b"]]",
            b'[{"reason":"' + b"x" * 1001 + b'","detail":""}]',
            b'[{"reason":"","detail":"' + b"x" * 8193 + b'"}]',
            b'[[[{},"' + b"x" * 257 + b'"]]]',
        ],
    )
    async def test_what_is_no_answer_is_refused(self, payload: bytes) -> None:
        with pytest.raises(Garbage):
            await read(answer(payload))

    @pytest.mark.parametrize(("depth", "fits"), [(1, True), (126, True), (127, True), (128, False), (400, False)])
    @pytest.mark.parametrize("pair", [(b"[", b"]"), (b'{"a":', b"}")])
    async def test_depth_is_bounded(self, pair: tuple[bytes, bytes], depth: int, fits: bool) -> None:
        deep = b'[[{"a":' + pair[0] * depth + b"1" + pair[1] * depth + b"}]]"
        found = await read(answer(b"[[[{}]]," + deep + b",[[{}]]]", count=3))
        assert [isinstance(outcome, Failed) for outcome in found.outcomes] == [False, not fits, False]

    async def test_no_depth_breaks_the_reader(self) -> None:
        """Past what the decoder takes it is no answer; up to there it is one failed event."""
        for depth in (1_000, 5_000, 20_000):
            payload = b'[[[{"a":' + b"[" * depth + b"]" * depth + b"}]]]"
            try:
                found = await read(answer(payload))
            except Garbage:
                continue
            assert isinstance(found.outcomes[0], Failed)

    @pytest.mark.parametrize(
        "head",
        [
            answer(b"[[]]", nonce=NONCE + 1),
            answer(b"[[],[],[],[],[],[]]", count=6),
            answer(b"[[]]", size=2**32 - 1),
            b"garbage" * 10,
        ],
    )
    async def test_nothing_is_read_behind_a_wrong_head(self, head: bytes) -> None:
        with pytest.raises(Garbage):
            await read(head)

    async def test_half_an_answer_is_none(self) -> None:
        whole = answer(b"[[]]")
        for end in range(len(whole)):
            with pytest.raises(asyncio.IncompleteReadError):
                await read(whole[:end])

    @given(st.binary(max_size=200))
    def test_no_bytes_do_harm(self, data: bytes) -> None:
        with suppress(Garbage, asyncio.IncompleteReadError):
            asyncio.run(read(ANSWER.pack(NONCE, 0, 1, len(data)) + data))


def test_a_broken_channel_is_told() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        with pytest.raises(BrokenPipeError):
            Channel(writing).send(1, 0, 0, b"[]")
    finally:
        os.close(writing)
