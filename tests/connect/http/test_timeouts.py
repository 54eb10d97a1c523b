# SPDX-License-Identifier: Apache-2.0
"""Slow and silent connections end by themselves; busy ones do not."""

from __future__ import annotations

import asyncio

import pytest

from freehold.connect.http import watch
from tests.connect.http.conftest import Serve, until
from tests.connect.http.peer import request


@pytest.mark.parametrize("sent", [1, 40, -3])
async def test_a_request_that_stays_incomplete_is_408(serve: Serve, sent: int) -> None:
    world = await serve(header_timeout_seconds=0.2)
    peer = await world.peer()
    await peer.send(request()[:sent])
    answer = await peer.answer()
    assert (answer.status, answer.code, answer.headers["connection"]) == (408, "request.timeout", "close")
    assert await peer.rest() == b""
    assert world.endpoint.timed_out == 1
    assert world.log.events == []


async def test_a_trickle_does_not_buy_time(serve: Serve) -> None:
    world = await serve(header_timeout_seconds=0.3)
    peer = await world.peer()

    async def trickle() -> None:
        for byte in request(headers=("X: " + "y" * 5000,)):
            await peer.send(bytes([byte]))
            await asyncio.sleep(0.02)

    sending = asyncio.create_task(trickle())
    assert (await peer.answer()).status == 408
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    assert await world.works()


async def test_many_slow_connections_do_not_slow_a_neighbour(serve: Serve) -> None:
    world = await serve(header_timeout_seconds=5)
    for number in range(100):
        peer = await world.peer()
        await peer.send(request()[: 5 + number])
    for _ in range(20):
        assert await world.works()


async def test_a_connection_that_never_speaks_ends(serve: Serve) -> None:
    world = await serve(header_timeout_seconds=0.2, idle_timeout_seconds=60)
    peer = await world.peer()
    assert await peer.rest() == b""


async def test_an_idle_connection_ends_after_its_time_and_not_before(serve: Serve) -> None:
    world = await serve(header_timeout_seconds=0.2, idle_timeout_seconds=1)
    peer = await world.peer()
    assert (await peer.ask(request())).status == 202
    await asyncio.sleep(0.5)  # longer than a request may take, shorter than a connection may rest
    assert (await peer.ask(request())).status == 202
    assert await peer.rest() == b""


async def test_a_request_that_is_ours_to_finish_has_no_timeout(serve: Serve) -> None:
    world = await serve(header_timeout_seconds=0.1, idle_timeout_seconds=1)
    world.log.hold = True
    peer = await world.peer()
    await peer.send(request())
    await until(lambda: world.log.events)
    assert await peer.silent(1.5)
    world.log.release()
    assert (await peer.answer()).status == 202


async def test_a_client_that_does_not_read_its_refusal_is_cut_off(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "LINGER_SECONDS", 0.2)
    world = await serve(header_timeout_seconds=0.4)
    peer = await world.peer()
    await peer.send(b"rubbish\r\n\r\n")
    assert (await peer.answer()).status == 400
    # It reads to the end but never ends its own half.
    assert await peer.rest() == b""
    await until(lambda: not world.endpoint.open_connections)


async def test_a_client_that_does_not_read_its_answers_is_cut_off(serve: Serve) -> None:
    world = await serve(header_timeout_seconds=1, idle_timeout_seconds=1)
    peer = await world.peer()
    peer.writer.transport.pause_reading()
    peer.writer.write(b"PUT / HTTP/1.1\r\n\r\n" * 200_000)
    (connection,) = world.endpoint._connections
    await until(lambda: connection._stuck)
    await until(lambda: not world.endpoint.open_connections)
