# SPDX-License-Identifier: Apache-2.0
"""Processors as their owners work with them: check, keep, try out, activate, roll back.

Whatever is stored was loaded in a sandbox before, with its packages installed, so that activating it cannot
fail for a reason that could have been told earlier.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

from freehold.core.bus import PROCESSOR_CHANGED, Bus
from freehold.core.database import Database
from freehold.core.errors import PROCESSOR_INVALID
from freehold.events.models import Event
from freehold.process.environments import Environment, Environments, Progress
from freehold.process.interfaces import Sandbox, Script, TrialResult, Version
from freehold.process.packages import normalise
from freehold.process.versions import Versions

SOURCE_BYTES = 262_144
NOTE_CHARACTERS = 500
AUTHOR_CHARACTERS = 255
TRIAL_EVENTS = 1000
TRIALS_AT_ONCE = 2


class ProcessorService:
    """`freehold.process.interfaces.Processors`. Lives in one event loop, which must run in a lasting thread."""

    def __init__(self, *, database: Database, bus: Bus, sandbox: Sandbox, folder: Path, versions_kept: int) -> None:
        """`folder` is `DataDir.process`."""
        self._versions = Versions(database, versions_kept)
        self._environments = Environments(folder)
        self._bus = bus
        self._sandbox = sandbox
        self._turns = asyncio.Semaphore(TRIALS_AT_ONCE)

    async def add(
        self,
        application: str,
        source: str,
        packages: Sequence[str],
        *,
        author: str,
        note: str = "",
        progress: Progress | None = None,
    ) -> Version:
        """As in `Processors`; `progress` gets a line whenever pip has one."""
        _check_size(source)
        requirements = normalise(packages)
        environment = await self._environment(application, requirements, progress)
        await self._check(_script(application, source, environment))
        version = await asyncio.to_thread(
            self._versions.add,
            application,
            source=source,
            packages=requirements,
            resolved=environment.resolved if environment else (),
            author=_storable(author, AUTHOR_CHARACTERS),
            note=_storable(note, NOTE_CHARACTERS),
        )
        await self._tidy(application)
        return version

    async def _check(self, script: Script) -> None:
        """Load it and let it go. Raises `processor.invalid` with line and reason."""
        async with self._turns:
            worker = self._sandbox.worker(script)
            await worker.start()
            await worker.stop()

    async def try_out(
        self,
        application: str,
        source: str,
        packages: Sequence[str],
        events: Sequence[Event],
        *,
        progress: Progress | None = None,
    ) -> TrialResult:
        """As in `Processors`; at most 1000 events."""
        _check_size(source)
        if len(events) > TRIAL_EVENTS:
            raise PROCESSOR_INVALID.error(f"a test run takes at most {TRIAL_EVENTS} events")
        environment = await self._environment(application, normalise(packages), progress)
        async with self._turns:
            worker = self._sandbox.worker(_script(application, source, environment))
            await worker.start()
            try:
                started = time.perf_counter()
                outcomes = await worker.run(events)
                seconds = time.perf_counter() - started
                return TrialResult(outcomes, worker.printed(), seconds)
            finally:
                await worker.stop()

    async def _environment(
        self, application: str, requirements: Sequence[str], progress: Progress | None
    ) -> Environment | None:
        if not requirements:
            return None
        await self._tidy(application)
        return await self._environments.provide(application, requirements, progress=progress)

    async def _tidy(self, application: str) -> None:
        used = [version.packages for version in await self.versions(application)]
        await asyncio.to_thread(self._environments.remove_unused, application, used)

    async def activate(self, application: str, number: int) -> None:
        await asyncio.to_thread(self._versions.activate, application, number)
        self._changed(application)

    async def roll_back(self, application: str) -> Version:
        version = await asyncio.to_thread(self._versions.roll_back, application)
        self._changed(application)
        return version

    async def deactivate(self, application: str) -> None:
        await asyncio.to_thread(self._versions.deactivate, application)
        self._changed(application)

    async def versions(self, application: str) -> list[Version]:
        return await asyncio.to_thread(self._versions.all, application)

    async def active(self, application: str) -> Script | None:
        stored = await asyncio.to_thread(self._versions.running, application)
        if stored is None:
            return None
        version = stored.version
        environment: Environment | None = None
        if version.packages:
            environment = await self._environments.provide(application, version.packages, pins=stored.resolved)
        return _script(application, version.source, environment, version.number)

    async def forget(self, application: str) -> None:
        """Remove everything of an application that is deleted: versions, packages, the running version."""
        await asyncio.to_thread(self._versions.forget, application)
        self._changed(application)
        await asyncio.to_thread(self._environments.forget, application)

    def _changed(self, application: str) -> None:
        self._bus.publish(PROCESSOR_CHANGED, application.encode())


def _script(application: str, source: str, environment: Environment | None, number: int = 0) -> Script:
    return Script(application, number, source, str(environment.path) if environment else None)


def _check_size(source: str) -> None:
    try:
        size = len(source.encode())
    except UnicodeEncodeError:
        raise PROCESSOR_INVALID.error("the source is not Unicode text") from None
    if size > SOURCE_BYTES:
        raise PROCESSOR_INVALID.error(f"the source has {size} bytes; at most {SOURCE_BYTES} are taken")


def _storable(text: str, longest: int) -> str:
    return text[:longest].encode("utf-8", "replace").decode()
