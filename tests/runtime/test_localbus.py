# SPDX-License-Identifier: Apache-2.0
"""The bus over socket pairs: everybody hears everybody, in order, and a stuck role hinders nobody."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from freehold.runtime import localbus
from freehold.runtime.localbus import ChildBus, Hub


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    hub = Hub()
    yield hub
    hub.close()


async def join(hub: Hub) -> ChildBus:
    ours, theirs = socket.socketpair()
    await hub.attach(ours)
    child = ChildBus(theirs, lambda: None)
    await child.connect()
    return child


async def heard_by(bus: ChildBus | Hub, topic: str, count: int) -> list[bytes]:
    """The next `count` messages of a topic."""
    heard: list[bytes] = []
    done = asyncio.Event()

    def handler(message: bytes) -> None:
        heard.append(message)
        if len(heard) >= count:
            done.set()

    unsubscribe = bus.subscribe(topic, handler)
    try:
        async with asyncio.timeout(10):
            await done.wait()
    finally:
        unsubscribe()
    return heard


async def test_a_message_reaches_every_role_and_the_supervisor_and_its_own(hub: Hub) -> None:
    first, second = await join(hub), await join(hub)
    listening = [asyncio.create_task(heard_by(bus, "news", 1)) for bus in (hub, first, second)]
    await asyncio.sleep(0)
    first.publish("news", b"hello")
    assert await asyncio.gather(*listening) == [[b"hello"]] * 3


async def test_the_supervisor_speaks_to_all(hub: Hub) -> None:
    child = await join(hub)
    listening = asyncio.create_task(heard_by(child, "news", 1))
    await asyncio.sleep(0)
    hub.publish("news", b"from above")
    assert await listening == [b"from above"]


async def test_messages_keep_their_order_and_their_bytes(hub: Hub) -> None:
    first, second = await join(hub), await join(hub)
    sent = [bytes([number % 256]) * (number * 37 % 5000) for number in range(500)]
    listening = asyncio.create_task(heard_by(second, "data", len(sent)))
    await asyncio.sleep(0)
    for message in sent:
        first.publish("data", message)
        await asyncio.sleep(0)
    assert await listening == sent


async def test_other_topics_are_not_heard(hub: Hub) -> None:
    first, second = await join(hub), await join(hub)
    listening = asyncio.create_task(heard_by(second, "a", 2))
    await asyncio.sleep(0)
    first.publish("b", b"wrong")
    first.publish("a", b"1")
    first.publish("a", b"2")
    assert await listening == [b"1", b"2"]


async def test_a_role_that_does_not_read_is_skipped_and_others_go_on(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(localbus, "QUEUE_BYTES", 200_000)
    ours, stuck = socket.socketpair()
    await hub.attach(ours)
    (stuck_link,) = hub._links
    well = await join(hub)
    count = 300
    listening = asyncio.create_task(heard_by(well, "data", count))
    await asyncio.sleep(0)
    for _ in range(count):
        hub.publish("data", b"x" * 10_000)
        await asyncio.sleep(0)
    assert len(await listening) == count
    assert stuck_link.dropped > 0
    stuck.close()


async def test_a_handler_that_fails_keeps_nobody_from_the_message(hub: Hub) -> None:
    child = await join(hub)

    def broken(_: bytes) -> None:
        raise RuntimeError("broken on purpose")

    child.subscribe("news", broken)
    listening = asyncio.create_task(heard_by(child, "news", 1))
    await asyncio.sleep(0)
    hub.publish("news", b"still here")
    assert await listening == [b"still here"]


async def test_a_child_notices_that_the_supervisor_is_gone() -> None:
    hub = Hub()
    gone = asyncio.Event()
    ours, theirs = socket.socketpair()
    await hub.attach(ours)
    child = ChildBus(theirs, gone.set)
    await child.connect()
    hub.close()
    async with asyncio.timeout(10):
        await gone.wait()
    child.publish("news", b"into the void")  # does no harm


async def test_an_endless_message_ends_the_link(hub: Hub) -> None:
    ours, theirs = socket.socketpair()
    await hub.attach(ours)
    theirs.sendall(localbus._HEAD.pack(localbus.LARGEST + 1, 1) + b"a")
    theirs.settimeout(10)
    received = await asyncio.to_thread(theirs.recv, 1)
    assert received == b""
    theirs.close()
