# SPDX-License-Identifier: Apache-2.0
"""A whole platform in one process: registry, gate, intake, log and both device endpoints on real sockets.

Nothing here stands in for anything. Tests speak to the ports, change things through the registry service, send
commands over the bus, and read the log as a consumer does.

    async with House(tmp_path, {"mqtt.receive_maximum": 4}) as house:
        await house.add_application("app1")
        await house.add_device("device1", password="foo")
        ... 127.0.0.1:house.mqtt.port, house.http.port ...
        events = await house.events(3)
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
from sqlalchemy import insert

from freehold.commands.interfaces import Command, Outcome
from freehold.commands.router import BusRouter
from freehold.connect.gate import DeviceGate
from freehold.connect.http.endpoint import HttpEndpoint
from freehold.connect.intake import LogIntake
from freehold.connect.mqtt.endpoint import MqttEndpoint
from freehold.core.bus import COMMAND_DELIVER, COMMAND_OUTCOME, REGISTRY_CHANGED, MemoryBus
from freehold.core.clock import now_us
from freehold.core.database import METADATA, Database
from freehold.core.datadir import DataDir
from freehold.core.lifecycle import Lifecycle
from freehold.core.settings import Settings, load
from freehold.events.models import Event, decode
from freehold.identity.tables import tenants
from freehold.log.sqlite.engine import SqliteLog
from freehold.registry import tables as registry_tables
from freehold.registry.cache import CachedDirectory
from freehold.registry.interfaces import Preconditions
from freehold.registry.passwords import PasswordPool
from freehold.registry.service import RegistryService
from freehold.registry.verifiers import Verifiers
from freehold.vault.service import Vault

TENANT = "t-1"
APPLICATION = "app1"
INSTANCE = "house"
PATIENCE = 20.0
"""Seconds after which a test that waits for something has failed. No test asserts that it took less."""

assert registry_tables.devices.metadata is METADATA  # imported, so that `create_all` knows them


class House:
    """`overrides` are settings by dotted name. `told` False: the registry's changes are found by polling alone."""

    def __init__(self, root: Path, overrides: Mapping[str, Any] | None = None, *, told: bool = True) -> None:
        self.settings: Settings = load(flags={"instance": INSTANCE, "data": root / "data", **(overrides or {})})
        self.paths = DataDir(self.settings.data)
        self._told = told
        self._groups = itertools.count()

    async def __aenter__(self) -> House:
        settings = self.settings
        self._loop = asyncio.get_running_loop()
        self.paths.open("tests")
        is_new = not self.paths.meta.exists()
        self.database = Database.sqlite(self.paths.meta)
        if is_new:
            METADATA.create_all(self.database.engine)
            with self.database.write() as connection:
                connection.execute(insert(tenants).values(uid=TENANT, name="tenant", created=now_us()))
        vault = Vault.open(self.paths.keys, {})
        verifiers = Verifiers(vault)
        self.bus = MemoryBus()
        self.registry = RegistryService(self.database, vault, verifiers, self._committed)
        self.directory = CachedDirectory(self.database, self.bus)
        self.passwords = PasswordPool(verifiers, vault)
        self.log = SqliteLog(self.paths.log, settings.log)
        self.gate = DeviceGate(
            self.directory, self.passwords, self.log.route, settings.limits, decoy=self.passwords.dummy()
        )
        self.intake = LogIntake(self.log, settings.instance, settings.limits)
        self.router = BusRouter(self.bus)
        self.mqtt = MqttEndpoint(settings.mqtt, 0, self.gate, self.intake, self.router, self.directory)
        self.http = HttpEndpoint(settings.http, 0, self.gate, self.intake, self.router)
        self.outcomes: list[Outcome] = []
        self.bus.subscribe(COMMAND_OUTCOME, lambda message: self.outcomes.append(_outcome(message)))
        self.life = Lifecycle([self.directory, self.passwords, self.log, self.router, self.mqtt, self.http], PATIENCE)
        await self.life.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.life.stop()
        self.database.close()

    def _committed(self) -> None:
        if self._told:
            self._loop.call_soon_threadsafe(self.bus.publish, REGISTRY_CHANGED, b"")

    # --- registry: every change is applied to the directory when these return ----------------------

    async def _change(self, work: Callable[..., Any], *args: Any) -> Any:
        result = await asyncio.to_thread(work, *args)
        if self._told:
            await self.directory.refresh()
        return result

    async def add_application(self, name: str = APPLICATION, spec: Mapping[str, Any] | None = None) -> str:
        """Returns its uid."""
        body = {"metadata": {"name": name}, "spec": dict(spec or {})}
        await self._change(self.registry.create_application, TENANT, body)
        return self.uid_of_application(name)

    async def put_application(self, name: str = APPLICATION, spec: Mapping[str, Any] | None = None) -> None:
        body = {"metadata": {"name": name}, "spec": dict(spec or {})}
        await self._change(self.registry.update_application, TENANT, name, body)

    async def delete_application(self, name: str = APPLICATION) -> None:
        await self._change(self.registry.delete_application, TENANT, name, Preconditions())

    async def add_device(
        self,
        name: str,
        *,
        password: str | None = None,
        application: str = APPLICATION,
        credentials: Sequence[Mapping[str, Any]] | None = None,
        finalizers: Sequence[str] = (),
        **spec: Any,
    ) -> None:
        """`spec` are the sections of the device's spec; `password` is one credential of kind `pass`."""
        body = _device(name, application, password, credentials, finalizers, spec)
        await self._change(self.registry.create_device, TENANT, body)

    async def put_device(
        self,
        name: str,
        *,
        password: str | None = None,
        application: str = APPLICATION,
        credentials: Sequence[Mapping[str, Any]] | None = None,
        finalizers: Sequence[str] = (),
        **spec: Any,
    ) -> None:
        """Replace the device: what is not said here is gone, credentials too."""
        body = _device(name, application, password, credentials, finalizers, spec)
        await self._change(self.registry.update_device, TENANT, application, name, body)

    async def delete_device(self, name: str, application: str = APPLICATION) -> None:
        await self._change(self.registry.delete_device, TENANT, application, name, Preconditions())

    async def secret(self, name: str, application: str = APPLICATION) -> str:
        """A generated password for the device, which is quick to check."""
        made: str = await self._change(self.registry.generate_password, TENANT, application, name)
        return made

    def uid_of_application(self, name: str = APPLICATION) -> str:
        return str(self.registry.get_application(TENANT, name).metadata["uid"])

    def uid_of_device(self, name: str, application: str = APPLICATION) -> str:
        return str(self.registry.get_device(TENANT, application, name).metadata["uid"])

    # --- commands ----------------------------------------------------------------------------------

    def send(self, command: Command) -> list[str]:
        """Send a command over the bus; the names of the connected devices that it was sent to, there and then."""
        before = len(self.outcomes)
        self.bus.publish(COMMAND_DELIVER, msgspec.msgpack.encode(command))
        return [outcome.sender for outcome in self.outcomes[before:]]

    @property
    def inboxes(self) -> int:
        """Inboxes that endpoints hold open."""
        return sum(map(len, self.router._inboxes.values()))

    # --- log ---------------------------------------------------------------------------------------

    async def events(self, at_least: int = 0, application: str = APPLICATION) -> list[Event]:
        """All events of the application in the order of the log, once there are `at_least` so many."""
        return await self.events_of(self.uid_of_application(application), at_least)

    async def events_of(self, uid: str, at_least: int = 0) -> list[Event]:
        """The same by the uid of an application, which may be deleted."""
        consumer = self.log.consumer(f"test-{next(self._groups)}", uid)
        found: list[Event] = []
        async with asyncio.timeout(PATIENCE):
            while True:
                wait = PATIENCE if len(found) < at_least else 0.0
                chunks = await consumer.read(max_records=10_000, max_bytes=1 << 26, wait=wait)
                found += [decode(value) for chunk in chunks for value in chunk.values]
                if not chunks and len(found) >= at_least:
                    await consumer.close()
                    return found


@dataclass(frozen=True, slots=True)
class Furnished:
    """A data directory to copy for each test, which is ten times as quick as making it anew: application `app1`
    with `device1` (password `foo`), `device2`, gateway `gw1`, and `dev2` that lists `gw1`."""

    root: Path
    secrets: Mapping[str, str]
    """The generated password of each device."""

    def copy(self, root: Path) -> Path:
        shutil.copytree(self.root / "data", root / "data")
        return root


async def furnish(root: Path) -> Furnished:
    async with House(root) as house:
        await house.add_application()
        await house.add_device("device1", password="foo")
        await house.add_device("device2")
        await house.add_device("gw1")
        await house.add_device("dev2", gatewaySelector={"matchNames": ["gw1"]})
        names = ("device1", "device2", "gw1", "dev2")
        return Furnished(root, {name: await house.secret(name) for name in names})


def _device(
    name: str,
    application: str,
    password: str | None,
    credentials: Sequence[Mapping[str, Any]] | None,
    finalizers: Sequence[str],
    spec: Mapping[str, Any],
) -> dict[str, Any]:
    entries = list(credentials or ()) + ([{"pass": password}] if password is not None else [])
    sections = dict(spec)
    if entries:
        sections["authentication"] = {"credentials": entries}
    metadata = {"application": application, "name": name, "finalizers": list(finalizers)}
    return {"metadata": metadata, "spec": sections}


_outcome = msgspec.msgpack.Decoder(Outcome).decode
_ids = itertools.count(1)


def command(
    name: str,
    payload: bytes = b"",
    *,
    device: str = "device1",
    application: str = APPLICATION,
    content_type: str = "",
    gateways: Sequence[str] = (),
) -> Command:
    """A command that nobody has sent yet and that expires in a minute."""
    expires = now_us() + 60_000_000
    return Command(f"c-{next(_ids)}", application, device, name, payload, content_type, expires, tuple(gateways))
