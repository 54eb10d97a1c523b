# SPDX-License-Identifier: Apache-2.0
"""`Directory`: what the hot path knows of the registry, in memory, and never older than a moment.

How a change arrives: it is in the change feed, which this component reads as soon as the bus says so, and
whenever SQLite's `data_version` has moved (looked at five times a second, for microseconds), because the
bus may lose a message. Snapshots that the change concerns are marked stale, then `on_change` is called.

A read that was under way when a change was applied is older than the change; `_accept` applies the change
to its result again.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import structlog
from sqlalchemy.exc import SQLAlchemyError

from freehold.core.bus import REGISTRY_CHANGED, Bus
from freehold.core.database import Database
from freehold.registry.changes import Change, Feed, News
from freehold.registry.interfaces import ApplicationSnapshot, DeviceSnapshot
from freehold.registry.keys import may_be_key
from freehold.registry.live import Live
from freehold.registry.loader import Loader
from freehold.registry.snapshots import Loaded, Wanted, load

POLL_SECONDS = 0.2
ABSENT_SECONDS = 1.0
MOST_ABSENT = 10_000
MOST_RECENT = 1_000
ATTEMPTS = 3

_log = structlog.get_logger(__name__)

Key = TypeVar("Key")
Snapshot = TypeVar("Snapshot", ApplicationSnapshot, DeviceSnapshot)


class CachedDirectory:
    """See `interfaces.Directory`. Lives in one event loop; a component."""

    name = "registry.directory"

    def __init__(
        self, database: Database, bus: Bus | None = None, *, size: int = 131_072, poll_seconds: float = POLL_SECONDS
    ) -> None:
        self._bus = bus
        self._size = size
        self._poll_seconds = poll_seconds
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="registry")
        self._feed = Feed(database)
        self._loader = Loader(partial(load, database), self._accept, self._threads)
        self._live = Live()
        self._devices: OrderedDict[tuple[str, str], DeviceSnapshot] = OrderedDict()
        self._applications: OrderedDict[str, ApplicationSnapshot] = OrderedDict()
        self._absent: dict[Wanted, float] = {}
        self._position = 0
        self._recent: deque[tuple[int, Change]] = deque(maxlen=MOST_RECENT)
        self._recent_from = 0
        self._handlers: list[Callable[[str, str | None], None]] = []
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._unsubscribe: Callable[[], None] = lambda: None
        self._fault: str | None = None

    # --- Directory ---------------------------------------------------------------------------------

    def cached_device(self, application: str, key: str) -> DeviceSnapshot | None:
        at = (application, key)
        snapshot = self._devices.get(at)
        if snapshot is None or snapshot.stale:
            return None
        self._devices.move_to_end(at)
        return snapshot

    async def device(self, application: str, key: str) -> DeviceSnapshot | None:
        return self.cached_device(application, key) or await self._device(Wanted(application, key))

    async def device_by_name(self, application: str, name: str) -> DeviceSnapshot | None:
        return self._live.device(application, name) or await self._device(Wanted(application, name, by_name=True))

    async def application(self, name: str) -> ApplicationSnapshot | None:
        known = self._applications.get(name)
        if known is not None and not known.stale:
            self._applications.move_to_end(name)
            return known
        return await self._ask(Wanted(name), lambda loaded: loaded.applications.get(name))

    async def _device(self, wanted: Wanted) -> DeviceSnapshot | None:
        return await self._ask(wanted, lambda loaded: loaded.devices.get(wanted))

    async def _ask(self, wanted: Wanted, pick: Callable[[Loaded], Snapshot | None]) -> Snapshot | None:
        """The answer of the registry. One that a change overtook is asked for again, a few times: under
        changes without end a stale snapshot is better than none, its holder will look at it."""
        if not may_be_key(wanted.application) or (wanted.key is not None and not may_be_key(wanted.key)):
            return None  # and it never comes near a batch that answers others too
        snapshot: Snapshot | None = None
        for _ in range(ATTEMPTS):
            if self._absent.get(wanted, 0.0) > time.monotonic():
                return None
            loaded = await self._loader.get(wanted)
            snapshot = pick(loaded)
            if snapshot is None:
                self._note_absent(wanted, loaded.position)
                return None
            if not snapshot.stale:
                break
        return snapshot

    def on_change(self, handler: Callable[[str, str | None], None]) -> None:
        self._handlers.append(handler)

    # --- what was read -----------------------------------------------------------------------------

    def _accept(self, loaded: Loaded) -> Loaded:
        """The snapshots to hand out for `loaded`: those held already where there are, and as stale as they are."""
        applications = {key: self._live.adopt_application(each) for key, each in loaded.applications.items()}
        devices = {wanted: self._live.adopt_device(each) for wanted, each in loaded.devices.items()}
        if loaded.position < self._recent_from:
            for application in applications.values():
                self._live.touch(application.name, None)
        for position, change in self._recent:
            if position > loaded.position:
                self._live.touch(*change)
        for key, application in applications.items():
            _keep(self._applications, key, application, self._size)
        for wanted, device in devices.items():
            if wanted.key is not None and not wanted.by_name:
                _keep(self._devices, (wanted.application, wanted.key), device, self._size)
        return Loaded(loaded.position, applications, devices)

    def _note_absent(self, wanted: Wanted, position: int) -> None:
        if position < self._position:
            return  # a change that came since may have made it
        if len(self._absent) >= MOST_ABSENT:
            self._absent.clear()
        self._absent[wanted] = time.monotonic() + ABSENT_SECONDS

    # --- what changed ------------------------------------------------------------------------------

    async def refresh(self) -> None:
        """Apply the changes that were committed before this call."""
        loop = asyncio.get_running_loop()
        self._apply(await loop.run_in_executor(self._threads, self._feed.read, self._position))

    def _apply(self, news: News) -> None:
        if not news.changed and not news.missed:
            return
        self._position = news.position
        self._absent.clear()
        if news.missed:
            self._recent.clear()
            self._recent_from = news.position
            changed: list[Change] = [(name, None) for name in self._live.names()]
        else:
            changed = [change for _, change in news.changed]
            for each in news.changed:
                if len(self._recent) == MOST_RECENT:
                    self._recent_from = self._recent[0][0]
                self._recent.append(each)
        for change in changed:
            self._live.touch(*change)
        for change in changed:
            self._tell(*change)

    def _tell(self, application: str, device: str | None) -> None:
        for handler in self._handlers:
            try:
                handler(application, device)
            except Exception:
                # One that fails must not keep the next from learning that somebody was locked out.
                _log.exception("a handler of registry changes failed", application=application, device=device)

    async def _follow(self) -> None:
        while True:
            woken = await self._wait()
            try:
                if woken or self._feed.moved():
                    await self.refresh()
                self._fault = None
            except (SQLAlchemyError, sqlite3.Error) as cause:
                reason = str(getattr(cause, "orig", cause))
                if self._fault is None:
                    _log.error("changes of the registry cannot be read", error=reason)
                self._fault = f"changes of the registry cannot be read: {reason}"

    async def _wait(self) -> bool:
        """Until the next look is due; True when somebody said that there is something to see."""
        try:
            async with asyncio.timeout(self._poll_seconds):
                await self._wake.wait()
        except TimeoutError:
            return self._fault is not None  # what was not read then is still to be read
        self._wake.clear()
        return True

    # --- component ---------------------------------------------------------------------------------

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._position = self._recent_from = await loop.run_in_executor(self._threads, self._feed.open)
        if self._bus is not None:
            self._unsubscribe = self._bus.subscribe(REGISTRY_CHANGED, lambda _: self._wake.set())
        self._task = loop.create_task(self._follow())

    async def drain(self) -> None:
        """Nothing to do: whoever still works here is drained by itself."""

    async def stop(self) -> None:
        self._unsubscribe()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._loader.stop()
        self._feed.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def health(self) -> str | None:
        if self._task is not None and self._task.done():
            return "changes of the registry are no longer followed"
        return self._fault


def _keep(kept: OrderedDict[Key, Snapshot], key: Key, snapshot: Snapshot, size: int) -> None:
    kept[key] = snapshot
    kept.move_to_end(key)
    if len(kept) > size:
        kept.popitem(last=False)
