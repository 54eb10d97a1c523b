# SPDX-License-Identifier: Apache-2.0
"""Bad input over raw sockets: a clear refusal, and a neighbour who notices nothing."""

from __future__ import annotations

import asyncio
import socket

import pytest

from freehold.connect.http import connection as connection_module
from freehold.connect.http.connection import PIPELINED, SLICE
from tests.connect.http.conftest import Serve, World, until
from tests.connect.http.peer import Answer, Peer, request

GET = b"GET / HTTP/1.1\r\n\r\n"


async def refused_and_closed(peer: Peer) -> Answer:
    answer = await peer.answer()
    assert answer.headers["connection"] == "close"
    assert await peer.rest() == b""
    return answer


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200), 400),
        (b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00", 400),
        (b"\0" * 100, 400),
        (b"SSH-2.0-OpenSSH_9.6\r\n", 400),
        (b"GET /\0 HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: \0\r\n\r\n", 400),
        (b"GET /\xff\xfe HTTP/1.1\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9), 400),
        (b"CONNECT x:1 HTTP/1.1\r\n\r\n", 400),
        (b"POST /v1/x HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"POST /v1/x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nXX\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 500 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\na: " + b"x" * 100_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"x" * 1_000_000 + b" HTTP/1.1\r\n\r\n", 431),
        (b"POST /v1/x HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", 413),
    ],
)
async def test_what_is_not_for_us_is_refused_and_closed(world: World, raw: bytes, status: int) -> None:
    peer = await world.peer()
    peer.writer.write(raw)
    answer = await refused_and_closed(peer)
    assert answer.status == status
    assert answer.json["code"] == answer.code
    assert answer.json["remedy"]
    assert await world.works()


async def test_drogue_25_a_body_past_the_limit_is_413(world: World) -> None:
    peer = await world.peer()
    assert (await peer.ask(request(body=b'"' + b"x" * 65_534 + b'"'))).status == 202
    await peer.send(request(body=b'"' + b"x" * 65_535 + b'"'))
    answer = await refused_and_closed(peer)
    assert (answer.status, answer.code) == (413, "event.payload.too-large")
    assert len(world.log.events) == 1


async def test_a_chunked_body_past_the_limit_is_413_although_the_client_goes_on_sending(world: World) -> None:
    peer = await world.peer()
    head = request(body=b"").replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
    peer.writer.write(head + b"10000\r\n" + b"x" * 65_536 + b"\r\n" + b"10000\r\n" + b"x" * 65_536)
    answer = await peer.answer()
    assert answer.status == 413
    peer.writer.write(b"x" * 200_000)  # a client that reads late still finds the answer
    assert await peer.rest() == b""


async def test_split_at_every_byte_it_is_the_same_event(world: World) -> None:
    raw = request()
    peer = await world.peer()
    peer.writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for cut in range(1, len(raw), 7):
        await peer.send(raw[:cut])
        await asyncio.sleep(0.001)
        assert (await peer.ask(raw[cut:])).status == 202
    assert {event.data for event in world.log.events} == {b'{"temp":42}'}


async def test_byte_by_byte(world: World) -> None:
    peer = await world.peer()
    for byte in request():
        await peer.send(bytes([byte]))
        await asyncio.sleep(0)
    assert (await peer.answer()).status == 202


# --- pipelining ----------------------------------------------------------------------------------


async def test_pipelined_requests_are_answered_in_order(world: World) -> None:
    peer = await world.peer()
    raw = [
        request(body=b"1"),
        request(body=b"{oops"),
        GET,
        request(password="wrong"),
        request("PUT"),
        request(target="/nothing"),
        request(body=b"2"),
    ]
    await peer.send(b"".join(raw))
    answers = [await peer.answer() for _ in raw]
    assert [answer.status for answer in answers] == [202, 406, 200, 403, 405, 404, 202]
    assert [event.data for event in world.log.events] == [b"1", b"2"]


async def test_an_answer_that_is_ready_waits_for_the_one_before(world: World) -> None:
    world.log.hold = True
    peer = await world.peer()
    await peer.send(request() + request(body=b"{oops"))
    await until(lambda: world.log.events)
    assert await peer.silent()
    world.log.release()
    assert [(await peer.answer()).status for _ in range(2)] == [202, 406]


async def test_events_keep_their_order_behind_a_device_that_has_to_be_asked_for(world: World) -> None:
    world.directory.add("slow", "slow:foo")
    world.passwords.gate = asyncio.Event()
    peer = await world.peer()
    await peer.send(request(user="slow@app1", body=b"1") + request(body=b"2") + request(user="slow@app1", body=b"3"))
    await until(lambda: world.passwords.at_once)
    assert world.log.events == []
    assert await world.works()
    world.passwords.gate.set()
    assert [(await peer.answer()).status for _ in range(3)] == [202] * 3
    assert [event.data for event in world.log.events if event.data != b'{"temp":42}'] == [b"1", b"2", b"3"]


async def test_a_flood_of_pipelined_requests_is_taken_in_turns(world: World) -> None:
    number = 3000
    peer = await world.peer()
    sending = asyncio.create_task(peer.send(b"".join(request(body=b"%d" % each) for each in range(number))))
    for _ in range(number):
        assert (await peer.answer()).status == 202
    await sending
    assert [event.data for event in world.log.events] == [b"%d" % each for each in range(number)]


async def test_a_flood_of_bad_requests_in_one_piece_is_answered_one_by_one(world: World) -> None:
    number = 5000  # more than any stack is deep
    peer = await world.peer()
    sending = asyncio.create_task(peer.send(b"PUT / HTTP/1.1\r\n\r\n" * number))
    for _ in range(number):
        assert (await peer.answer()).status == 405
    await sending


async def test_requests_that_wait_are_bounded_and_the_socket_is_not_read(world: World) -> None:
    world.log.hold = True
    peer = await world.peer()
    raw = request()
    peer.writer.write(raw * 20_000)
    await until(lambda: world.log.events)
    await asyncio.sleep(0.2)
    assert PIPELINED <= len(world.log.events) <= PIPELINED + SLICE // len(raw) + 1
    assert await world_answers_get(world)


async def world_answers_get(world: World) -> bool:
    peer = await world.peer()
    return (await peer.ask(GET)).status == 200


async def test_a_client_that_never_reads_is_not_written_to_without_end(world: World) -> None:
    peer = await world.peer()
    peer.writer.transport.pause_reading()
    peer.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    peer.writer.write(b"PUT / HTTP/1.1\r\n\r\n" * 200_000)
    (connection,) = world.endpoint._connections
    await until(lambda: connection._stuck)
    answered = world.endpoint._services.answers[405]
    await asyncio.sleep(0.1)
    assert world.endpoint._services.answers[405] == answered < 200_000
    assert await world.works()


# --- connections ---------------------------------------------------------------------------------


async def test_version_10_closes_unless_asked_to_keep(world: World) -> None:
    peer = await world.peer()
    answer = await peer.ask(request(headers=("Connection: keep-alive",)).replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert (answer.status, answer.headers["connection"]) == (202, "keep-alive")
    await peer.send(request().replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert (await refused_and_closed(peer)).status == 202


async def test_connection_close_is_honoured(world: World) -> None:
    peer = await world.peer()
    await peer.send(request(headers=("Connection: close",)))
    assert (await refused_and_closed(peer)).status == 202


async def test_a_client_that_closes_its_half_is_answered(world: World) -> None:
    world.log.hold = True
    peer = await world.peer()
    await peer.send(request() + request())
    peer.writer.write_eof()
    await until(lambda: len(world.log.events) == 2)
    world.log.release()
    assert [(await peer.answer()).status for _ in range(2)] == [202, 202]
    assert await peer.rest() == b""


async def test_half_a_request_and_the_end_leaves_nothing(world: World) -> None:
    peer = await world.peer()
    await peer.send(request()[:-3])
    await until(lambda: world.endpoint.held_bytes)
    peer.writer.write_eof()
    assert await peer.rest() == b""
    await until(lambda: not world.endpoint.open_connections)
    assert world.endpoint.held_bytes == 0
    assert world.log.events == []


async def test_a_device_that_vanishes_while_it_waits_costs_nothing(world: World) -> None:
    world.log.hold = True
    for _ in range(5):
        peer = await world.peer()
        await peer.send(request())
        peer.reset()
    await until(lambda: not world.endpoint.open_connections)
    world.log.release()
    world.log.hold = False
    assert await world.works()


async def test_a_device_that_vanishes_while_its_secret_is_checked(world: World) -> None:
    world.directory.add("slow", "slow:foo")
    world.passwords.gate = asyncio.Event()
    peer = await world.peer()
    await peer.send(request(user="slow@app1"))
    await until(lambda: world.passwords.at_once)
    peer.reset()
    await until(lambda: not world.passwords.at_once)
    assert world.log.events == []
    assert await world.works()


async def test_connections_past_the_bound_are_told(serve: Serve) -> None:
    world = await serve(max_connections=2)
    first, second = await world.peer(), await world.peer()
    assert (await first.ask(GET)).status == (await second.ask(GET)).status == 200
    third = await world.peer()
    answer = await refused_and_closed(third)
    assert (answer.status, answer.code) == (503, "platform.connections.exhausted")
    assert answer.headers["retry-after"] == "1"
    third.close()
    second.close()
    await until(lambda: world.endpoint.open_connections == 1)
    assert await world.works()
    assert world.endpoint.refused_connections == 1


async def test_a_flood_of_connections_past_the_bound_is_cut_short(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("freehold.connect.http.endpoint.REFUSING", 2)
    world = await serve(max_connections=1)
    peers = [await world.peer() for _ in range(6)]
    await until(lambda: world.endpoint.refused_connections == 5)
    await until(lambda: world.endpoint.open_connections <= 3)
    assert (await peers[0].ask(GET)).status == 200


async def test_unfinished_bodies_of_all_are_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "HELD_BYTES", 50_000)
    greedy = [await world.peer() for _ in range(3)]
    for peer in greedy:
        await peer.send(request(body=b"x" * 60_000)[:-30_000])
        await asyncio.sleep(0.05)
    answer = await refused_and_closed(greedy[1])
    assert answer.status == 503
    assert await world.works()  # a message in one piece needs no such memory


# --- expectations --------------------------------------------------------------------------------


async def test_a_client_that_waits_for_100_gets_it_before_the_body(world: World) -> None:
    peer = await world.peer()
    raw = request(headers=("Expect: 100-continue",))
    head, body = raw[: -len(b'{"temp":42}')], b'{"temp":42}'
    assert (await peer.ask(head)).status == 100
    assert (await peer.ask(body)).status == 202


async def test_100_keeps_its_place_in_the_pipeline(world: World) -> None:
    world.log.hold = True
    peer = await world.peer()
    raw = request(headers=("Expect: 100-continue",))
    await peer.send(request() + raw[: -len(b'{"temp":42}')])
    await until(lambda: world.log.events)
    assert await peer.silent()
    world.log.hold = False
    world.log.release()
    assert [(await peer.answer()).status for _ in range(2)] == [202, 100]
    assert (await peer.ask(b'{"temp":42}')).status == 202


async def test_a_body_that_will_be_too_large_is_not_waited_for(world: World) -> None:
    peer = await world.peer()
    await peer.send(b"POST /v1/x HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 100000\r\n\r\n")
    assert (await refused_and_closed(peer)).status == 413


async def test_an_upgrade_that_is_offered_is_ignored(world: World) -> None:
    peer = await world.peer()
    offer = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")
    for _ in range(2):
        assert (await peer.ask(request(headers=offer))).status == 202
    assert len(world.log.events) == 2
