# SPDX-License-Identifier: Apache-2.0
"""The HTTP endpoint on a real socket with the real gate and intake, on asyncio's loop and on uvloop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest_asyncio
import uvloop

from freehold.commands.interfaces import Command
from freehold.commands.router import BusRouter
from freehold.connect.gate import DeviceGate
from freehold.connect.http.endpoint import HttpEndpoint
from freehold.connect.intake import LogIntake
from freehold.core.bus import COMMAND_DELIVER, MemoryBus
from freehold.core.clock import now_us
from freehold.core.settings import Http, Limits
from tests.connect.doubles import DECOY, Directory, MemoryLog, Passwords
from tests.connect.http.peer import Peer, request


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Each asynchronous test of this folder runs on both: their transports differ in many corners."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@dataclass
class World:
    """An endpoint and what is behind it."""

    endpoint: HttpEndpoint
    gate: DeviceGate
    intake: LogIntake
    router: BusRouter
    bus: MemoryBus
    log: MemoryLog
    directory: Directory
    passwords: Passwords
    peers: list[Peer] = field(default_factory=list)

    async def peer(self) -> Peer:
        """A new connection to the endpoint."""
        peer = await Peer.open(self.endpoint.port)
        self.peers.append(peer)
        return peer

    async def works(self) -> bool:
        """Whether a neighbour is served: a new connection publishes and is answered."""
        peer = await self.peer()
        answer = await peer.ask(request())
        peer.close()
        return answer.status == 202

    def command(self, device: str, name: str = "SET", payload: bytes = b'{"on":true}', *gateways: str) -> None:
        command = Command("id", "app1", device, name, payload, "application/json", now_us() + 30_000_000, gateways)
        self.bus.publish(COMMAND_DELIVER, msgspec.msgpack.encode(command))

    @property
    def inboxes(self) -> int:
        """How many devices wait for commands now."""
        return sum(map(len, self.router._inboxes.values()))


async def until(condition: Callable[[], object]) -> None:
    """Wait until `condition()` is true; the test fails if it never is."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


Serve = Callable[..., Awaitable[World]]


@pytest_asyncio.fixture
async def serve() -> AsyncIterator[Serve]:
    """Starts a `World` with these settings of `http` (and `limits`, when given)."""
    worlds: list[World] = []

    async def start(limits: Limits | None = None, **settings: Any) -> World:
        directory, passwords, log, bus = Directory(), Passwords(), MemoryLog(), MemoryBus()
        directory.add("device1", "foo", aliases=["al"])
        directory.add("gw1", "foo")
        directory.add("dev2", gateways=["gw1"])
        limits = limits or Limits()
        gate = DeviceGate(directory, passwords, log.route, limits, decoy=DECOY)
        intake = LogIntake(log, "here", limits)
        router = BusRouter(bus)
        await router.start()
        endpoint = HttpEndpoint(Http(host="127.0.0.1", **settings), 0, gate, intake, router)
        await endpoint.start()
        worlds.append(World(endpoint, gate, intake, router, bus, log, directory, passwords))
        return worlds[-1]

    yield start
    for world in worlds:
        for peer in world.peers:
            peer.close()
        await world.endpoint.stop()
        await world.router.stop()


@pytest_asyncio.fixture
async def world(serve: Serve) -> World:
    return await serve()
