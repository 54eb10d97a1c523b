# SPDX-License-Identifier: Apache-2.0
"""A real meta database, the in-process bus, and devices that a test declares."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from freehold.commands.history import History
from freehold.commands.router import BusRouter
from freehold.commands.service import CommandService
from freehold.commands.tables import commands
from freehold.core.bus import MemoryBus
from freehold.core.database import Database
from freehold.core.settings import Commands
from freehold.registry.interfaces import ApplicationSnapshot, DeviceSnapshot

NOW = 1_800_000_000_000_000


class Clock:
    """Microseconds that move only when told."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += int(seconds * 1_000_000)


class Devices:
    """`Directory.device_by_name` over what `add` declared."""

    def __init__(self) -> None:
        self.applications: dict[str, ApplicationSnapshot] = {}
        self.known: dict[tuple[str, str], DeviceSnapshot] = {}

    def add(
        self,
        name: str,
        *gateways: str,
        application: str = "app1",
        enabled: bool = True,
        application_enabled: bool = True,
    ) -> DeviceSnapshot:
        parent = self.applications.setdefault(
            application,
            ApplicationSnapshot(f"uid-{application}", application, "t", application_enabled, None, {}),
        )
        device = DeviceSnapshot(
            f"uid-{name}", name, parent, enabled, (), (), frozenset(gateways), frozenset(), None, {}
        )
        self.known[application, name] = device
        return device

    async def by_name(self, application: str, name: str) -> DeviceSnapshot | None:
        return self.known.get((application, name))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def devices() -> Devices:
    known = Devices()
    known.add("device1")
    known.add("dev2", "gw1")
    known.add("gw1")
    return known


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database.sqlite(tmp_path / "meta.db")
    commands.create(database.engine)
    yield database
    database.close()


@pytest.fixture
def history(database: Database) -> History:
    return History(database)


@pytest_asyncio.fixture
async def service(database: Database, bus: MemoryBus, devices: Devices, clock: Clock) -> AsyncIterator[CommandService]:
    service = CommandService(database, bus, devices.by_name, Commands(), clock=clock)
    await service.start()
    yield service
    await service.drain()
    await service.stop()


@pytest_asyncio.fixture
async def router(bus: MemoryBus, clock: Clock) -> AsyncIterator[BusRouter]:
    router = BusRouter(bus, clock=clock)
    await router.start()
    yield router
    await router.stop()
