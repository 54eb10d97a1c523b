# SPDX-License-Identifier: Apache-2.0
"""Stand-ins for what lies below the endpoints, where it is not under test: a directory filled by hand, secrets
that are compared as they are, a log in memory. The contract tests use the real ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from freehold.connect.interfaces import Presented
from freehold.core.errors import FreeholdError
from freehold.events.models import Event, decode
from freehold.log.interfaces import Route
from freehold.registry.interfaces import ApplicationSnapshot, DeviceSnapshot, PasswordCredential

DECOY = "slow:nobody knows"


class Directory:
    """`Directory` over snapshots. `cold` devices have to be asked for; `change` does what an edit does."""

    def __init__(self) -> None:
        self._applications: dict[str, ApplicationSnapshot] = {}
        self._devices: dict[tuple[str, str], DeviceSnapshot] = {}
        self._handlers: list[Callable[[str, str | None], None]] = []
        self.cold = False
        self.failure: Exception | None = None
        self.asked: list[tuple[str, str]] = []

    def add_application(self, name: str = "app1", *, enabled: bool = True) -> ApplicationSnapshot:
        snapshot = ApplicationSnapshot(f"uid-{name}", name, "tenant", enabled, None, {})
        self._applications[name] = snapshot
        return snapshot

    def add(
        self,
        name: str,
        *credentials: PasswordCredential | str,
        application: str = "app1",
        enabled: bool = True,
        gateways: Sequence[str] = (),
        aliases: Sequence[str] = (),
    ) -> DeviceSnapshot:
        """A device with these credentials; a text is a `pass` with that secret."""
        parent = self._applications.get(application) or self.add_application(application)
        passwords = [PasswordCredential(each) if isinstance(each, str) else each for each in credentials]
        snapshot = DeviceSnapshot(
            uid=f"uid-{name}",
            name=name,
            application=parent,
            enabled=enabled,
            passwords=passwords,
            psks=(),
            gateways=frozenset(gateways),
            aliases=frozenset(aliases),
            mqtt_dialect=None,
            spec={},
        )
        for key in (name, *aliases):
            self._devices[application, key] = snapshot
        return snapshot

    def change(self, device: DeviceSnapshot, **changes: Any) -> DeviceSnapshot:
        """Edit a device: its snapshot goes stale, a new one takes its place, whoever listens hears of it."""
        device.stale = True
        new = replace(device, stale=False, **changes)
        for key in (device.name, *device.aliases):
            self._devices[device.application.name, key] = new
        self._tell(device.application.name, device.name)
        return new

    def remove(self, device: DeviceSnapshot) -> None:
        device.stale = True
        for key in (device.name, *device.aliases):
            del self._devices[device.application.name, key]
        self._tell(device.application.name, device.name)

    def change_application(self, name: str, **changes: Any) -> None:
        old = self._applications[name]
        old.stale = True
        new = self._applications[name] = replace(old, stale=False, **changes)
        for key, device in list(self._devices.items()):
            if key[0] == name:
                device.stale = True
                self._devices[key] = replace(device, application=new, stale=False)
        self._tell(name, None)

    def _tell(self, application: str, device: str | None) -> None:
        for handler in self._handlers:
            handler(application, device)

    # --- Directory -------------------------------------------------------------------------------

    def cached_device(self, application: str, key: str) -> DeviceSnapshot | None:
        return None if self.cold else self._devices.get((application, key))

    async def application(self, name: str) -> ApplicationSnapshot | None:
        return self._applications.get(name)

    async def device(self, application: str, key: str) -> DeviceSnapshot | None:
        self.asked.append((application, key))
        await asyncio.sleep(0)
        if self.failure is not None:
            raise self.failure
        return self._devices.get((application, key))

    async def device_by_name(self, application: str, name: str) -> DeviceSnapshot | None:
        device = self._devices.get((application, name))
        return device if device is not None and device.name == name else None

    def on_change(self, handler: Callable[[str, str | None], None]) -> None:
        self._handlers.append(handler)


class Passwords:
    """`Passwords` that compares. A verifier `slow:x` is one of a chosen password: unknown until verified."""

    def __init__(self) -> None:
        self.slow_checks: list[str] = []
        self.at_once = self.most_at_once = 0
        self._verified: set[tuple[str, str]] = set()
        self.gate: asyncio.Event | None = None
        self.failure: Exception | None = None

    def verify_cached(self, verifier: str, secret: str) -> bool | None:
        if not verifier.startswith("slow:"):
            return verifier == secret
        return True if (verifier, secret) in self._verified else None

    async def verify(self, verifier: str, secret: str) -> bool:
        self.slow_checks.append(verifier)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await (self.gate.wait() if self.gate is not None else asyncio.sleep(0))
            if self.failure is not None:
                raise self.failure
        finally:
            self.at_once -= 1
        good = verifier.removeprefix("slow:") == secret
        if good:
            self._verified.add((verifier, secret))
        return good


class MemoryLog:
    """`LogWriter` in memory. `hold` keeps submissions from becoming durable until `release`."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.sizes: list[int] = []
        self.routes: list[Route] = []
        self.refusal: FreeholdError | None = None
        self.failure: BaseException | None = None
        self.hold = False
        self._waiting: list[asyncio.Future[None]] = []
        self._routes: dict[tuple[str, int], Route] = {}

    def route(self, topic: str, key: str) -> Route:
        partition = len(key) % 4
        return self._routes.setdefault((topic, partition), Route(topic, partition))

    def submit(self, routes: Sequence[Route], values: Sequence[bytes]) -> asyncio.Future[None]:
        if self.refusal is not None:
            raise self.refusal
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self.sizes.append(len(values))
        self.routes += routes
        self.events += map(decode, values)
        self._waiting.append(future)
        if not self.hold:
            loop.call_soon(self.release)
        return future

    def release(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if future.done():
                continue
            if self.failure is not None:
                future.set_exception(self.failure)
            else:
                future.set_result(None)

    def cancel(self) -> None:
        """What an engine does to those who wait when it is torn down."""
        for future in self._waiting:
            future.cancel()

    async def append(self, topic: str, key: str, value: bytes) -> None:
        await self.submit((self.route(topic, key),), (value,))

    async def delete_topic(self, topic: str) -> None:
        raise NotImplementedError

    async def retain(self, *, age_us: int, bytes_per_topic: int) -> int:
        raise NotImplementedError


class Clock:
    """Seconds that move only when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def presented(
    key: str = "device1",
    password: str = "foo",
    username: str | None = None,
    application: str = "app1",
    address: str = "192.0.2.1",
) -> Presented:
    return Presented(application, key, password, username, address)


def attributes(event: Event) -> Mapping[str, object]:
    """What a test compares of an event."""
    return {
        "device": event.device,
        "sender": event.sender,
        "subject": event.subject,
        "datacontenttype": event.datacontenttype,
        "data": event.data,
    }
