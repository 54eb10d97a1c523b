# SPDX-License-Identifier: Apache-2.0
"""Waiting for a command after a publish (`ct`; drogue.md 1.2, checks 22 and 24, advice A-6)."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from freehold.commands.interfaces import Outcome, State
from freehold.core.bus import COMMAND_OUTCOME
from freehold.core.errors import LOG_UNAVAILABLE
from tests.connect.http.conftest import Serve, World, until
from tests.connect.http.peer import Peer, request

GATEWAY = request(user="gw1@app1", target="/v1/x?as=dev2&ct=30")


async def waiting(world: World, raw: bytes | None = None) -> Peer:
    """A device that published and waits."""
    before = world.inboxes
    peer = await world.peer()
    await peer.send(raw or request(target="/v1/x?ct=30"))
    await until(lambda: world.inboxes == before + 1)
    return peer


async def test_drogue_22_a_command_in_time_is_the_answer(world: World) -> None:
    outcomes: list[Outcome] = []
    world.bus.subscribe(COMMAND_OUTCOME, lambda raw: outcomes.append(msgspec.msgpack.decode(raw, type=Outcome)))
    peer = await waiting(world)
    world.command("device1")
    answer = await peer.answer()
    assert (answer.status, answer.headers["command"], answer.body) == (200, "SET", b'{"on":true}')
    assert "content-type" not in answer.headers
    assert len(world.log.events) == 1
    assert [(o.state, o.sender, o.protocol) for o in outcomes] == [(State.SENT, "device1", "http")]
    assert world.inboxes == 0
    assert (await peer.ask(request())).status == 202  # the connection stays


async def test_a_command_may_be_empty_and_have_any_name(world: World) -> None:
    peer = await waiting(world)
    world.command("device1", "led/1 grün", b"")
    answer = await peer.answer()
    assert (answer.status, answer.headers["command"], answer.body) == (200, "led/1 grün", b"")


async def test_without_a_command_it_is_202_after_the_time(world: World) -> None:
    peer = await world.peer()
    answer = await peer.ask(request(target="/v1/x?ct=1"))
    assert (answer.status, answer.body) == (202, b"")
    assert world.inboxes == 0


async def test_the_wait_is_capped(serve: Serve) -> None:
    world = await serve(command_wait_seconds=1)
    peer = await world.peer()
    assert (await peer.ask(request(target="/v1/x?ct=4294967295"))).status == 202


@pytest.mark.parametrize("settings", [{"command_wait_seconds": 0}, {}])
async def test_no_wait_where_none_is_asked_for_or_allowed(serve: Serve, settings: dict[str, Any]) -> None:
    world = await serve(**settings)
    peer = await world.peer()
    wait = 30 if settings else 0
    assert (await peer.ask(request(target=f"/v1/x?ct={wait}"))).status == 202


async def test_drogue_24_a_command_sent_before_is_not_delivered(world: World) -> None:
    world.command("device1")
    peer = await world.peer()
    assert (await peer.ask(request(target="/v1/x?ct=1"))).status == 202


async def test_the_wait_begins_when_the_event_is_durable(world: World) -> None:
    world.log.hold = True
    peer = await world.peer()
    await peer.send(request(target="/v1/x?ct=30"))
    await until(lambda: world.log.events)
    assert world.inboxes == 0
    world.log.release()
    await until(lambda: world.inboxes == 1)
    world.command("device1")
    assert (await peer.answer()).status == 200


async def test_an_event_that_is_not_durable_waits_for_nothing(world: World) -> None:
    world.log.failure = LOG_UNAVAILABLE.error()
    peer = await world.peer()
    assert (await peer.ask(request(target="/v1/x?ct=30"))).status == 500
    assert world.inboxes == 0


async def test_the_first_command_is_the_answer_and_the_second_is_not_kept(world: World) -> None:
    peer = await waiting(world)
    world.command("device1", "ONE")
    world.command("device1", "TWO")
    assert (await peer.answer()).headers["command"] == "ONE"
    assert (await peer.ask(request(target="/v1/x?ct=1"))).status == 202


async def test_a_gateway_gets_the_commands_of_the_device_that_it_spoke_for(world: World) -> None:
    peer = await waiting(world, GATEWAY)
    world.command("gw1", "OWN")
    world.command("dev3", "OTHER", b"", "gw1")
    assert await peer.silent()
    world.command("dev2", "RIGHT", b"", "gw1")
    assert (await peer.answer()).headers["command"] == "RIGHT"


async def test_without_as_only_own_commands_count(world: World) -> None:
    peer = await waiting(world, request(user="gw1@app1", target="/v1/x?ct=30"))
    world.command("dev2", "BEHIND", b"", "gw1")
    assert await peer.silent()
    world.command("gw1", "OWN")
    assert (await peer.answer()).headers["command"] == "OWN"


async def test_a_device_that_hangs_up_takes_no_command(world: World) -> None:
    peer = await waiting(world)
    peer.reset()
    await until(lambda: world.inboxes == 0)
    world.command("device1")
    assert world.router.delivered == 0


async def test_requests_behind_a_wait_begin_when_it_ended(world: World) -> None:
    peer = await world.peer()
    await peer.send(request(target="/v1/x?ct=30", body=b"1") + request(body=b"2"))
    await until(lambda: world.inboxes == 1)
    assert [event.data for event in world.log.events] == [b"1"]
    world.command("device1")
    assert [(await peer.answer()).status for _ in range(2)] == [200, 202]
    assert [event.data for event in world.log.events] == [b"1", b"2"]


async def test_waits_of_a_device_on_two_connections_both_get_it(world: World) -> None:
    first, second = await waiting(world), await waiting(world)
    world.command("device1")
    assert [(await peer.answer()).status for peer in (first, second)] == [200, 200]


async def test_waits_one_after_the_other_on_one_connection(world: World) -> None:
    peer = await world.peer()
    for number in range(5):
        await peer.send(request(target="/v1/x?ct=30"))
        await until(lambda: world.inboxes == 1)
        world.command("device1", f"C{number}")
        assert (await peer.answer()).headers["command"] == f"C{number}"


async def test_version_10_and_close_are_honoured(world: World) -> None:
    peer = await waiting(world, request(target="/v1/x?ct=30", headers=("Connection: close",)))
    world.command("device1")
    answer = await peer.answer()
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert await peer.rest() == b""


async def test_drain_ends_the_wait(world: World) -> None:
    peer = await waiting(world)
    await asyncio.wait_for(world.endpoint.drain(), 10)
    answer = await peer.answer()
    assert (answer.status, answer.headers["connection"]) == (202, "close")
    assert world.inboxes == 0


async def test_stop_ends_the_wait(world: World) -> None:
    peer = await waiting(world)
    await world.endpoint.stop()
    assert await peer.rest() == b""
    await until(lambda: world.inboxes == 0)


async def test_after_an_edit_that_does_not_matter_the_wait_goes_on(serve: Serve) -> None:
    world = await serve(header_timeout_seconds=0.4)
    peer = await waiting(world)
    device = await world.directory.device("app1", "device1")
    assert device is not None
    fresh = world.directory.change(device, spec={"a": 1})
    (connection,) = world.endpoint._connections
    await until(lambda: connection._wait is not None and connection._wait._session.device is fresh)
    world.command("device1")
    assert (await peer.answer()).status == 200


@pytest.mark.parametrize(("name", "raw"), [("device1", None), ("dev2", GATEWAY)])
async def test_after_access_was_withdrawn_no_command_arrives(serve: Serve, name: str, raw: bytes | None) -> None:
    world = await serve(header_timeout_seconds=0.4)
    peer = await waiting(world, raw)
    device = await world.directory.device("app1", name)
    assert device is not None
    world.directory.change(device, enabled=False)
    world.command(name, "SECRET", b"", "gw1")  # at once, before anybody looked
    assert world.router.delivered == 0
    answer = await peer.answer()  # within a sweep, not after thirty seconds
    assert answer.status == 202
    assert world.inboxes == 0


async def test_a_registry_that_fails_meanwhile_is_asked_again(serve: Serve) -> None:
    world = await serve(header_timeout_seconds=0.2)
    peer = await waiting(world)
    device = await world.directory.device("app1", "device1")
    assert device is not None
    world.directory.cold, world.directory.failure = True, OSError("database")
    world.directory.change(device, spec={"a": 1})
    asked = len(world.directory.asked)
    await until(lambda: len(world.directory.asked) >= asked + 2)
    assert world.inboxes == 1
    world.directory.failure = None
    (connection,) = world.endpoint._connections
    await until(lambda: connection._wait is not None and connection._wait._session.fresh)
    world.command("device1")
    assert (await peer.answer()).status == 200


async def test_an_alias_that_moved_to_another_device_ends_the_wait(serve: Serve) -> None:
    world = await serve(header_timeout_seconds=0.2)
    peer = await waiting(world)
    device = await world.directory.device("app1", "device1")
    assert device is not None
    world.directory.change(device, uid="another")
    assert (await peer.answer()).status == 202
    assert world.inboxes == 0
