# SPDX-License-Identifier: Apache-2.0
"""The embedded telemetry store as a component: `TelemetryWriter` on SQLite (see the package's modules for how).

Exactly one may run on a file. Beside the writer's thread it has one for computing rollups and one task that
sees to upkeep: rollups, and the question whether a disk that failed works again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import apsw
import structlog

from freehold.core.clock import now_us
from freehold.core.errors import STORE_UNAVAILABLE, FreeholdError
from freehold.store.interfaces import Batch
from freehold.store.sqlite import retention, rollup, schema
from freehold.store.sqlite.counters import Counters
from freehold.store.sqlite.rollup import HOURS, MINUTES, Level
from freehold.store.sqlite.schema import HOUR
from freehold.store.sqlite.session import Session
from freehold.store.sqlite.writer import Writer

_log = structlog.get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

WAITING = 64
"""Batches that wait for the writer; who gives more waits."""

UPKEEP_SECONDS = 1.0


class SqliteTelemetry:
    """Component `store.sqlite`. `dead_letters` bounds those of each application at all times."""

    def __init__(self, path: Path, *, dead_letters: int = 10_000, vfs: str | None = None) -> None:
        self._path, self._vfs = path, vfs
        self._writer = Writer(path, dead_letters=dead_letters, vfs=vfs)
        self._places = asyncio.Semaphore(WAITING)
        self._rolling = ThreadPoolExecutor(1, "store-rollup")
        self._reading: apsw.Connection | None = None
        self._upkeep: asyncio.Task[None] | None = None
        self._alone = asyncio.Lock()
        """Rollups, retention and purge each take several steps that must not mix."""

    @property
    def name(self) -> str:
        return "store.sqlite"

    @property
    def counters(self) -> Counters:
        return self._writer.counters

    async def start(self) -> None:
        """Raises `DATA_DIRECTORY` for a file of a newer format, `store.unavailable`."""
        await asyncio.to_thread(self._writer.open)
        self._upkeep = asyncio.create_task(self._see_to_upkeep())

    async def drain(self) -> None:
        """What was given is written: `write` returns only then, so there is nothing to wait for."""

    async def stop(self) -> None:
        if self._upkeep is not None:
            self._upkeep.cancel()
            await asyncio.gather(self._upkeep, return_exceptions=True)
        await asyncio.to_thread(self._writer.close)
        await asyncio.get_running_loop().run_in_executor(self._rolling, self._close_reading)
        self._rolling.shutdown()

    def health(self) -> str | None:
        return self._writer.problem

    async def write(self, batch: Batch) -> None:
        async with self._places:
            await asyncio.wrap_future(self._writer.write(batch))

    async def positions(self, topic: str) -> dict[int, int]:
        def read(session: Session) -> dict[int, int]:
            sql = "SELECT partition, next FROM positions WHERE topic = ?"
            return dict(schema.rows(session.connection, sql, (topic,)))

        return await self._run(read)

    async def applications(self) -> list[str]:
        def read(session: Session) -> list[str]:
            sql = (
                "SELECT application FROM applications UNION SELECT application FROM sources"
                " UNION SELECT application FROM device_states"
                " UNION SELECT application FROM dead_letters UNION SELECT topic FROM positions"
            )
            return [application for (application,) in schema.rows(session.connection, sql)]

        return await self._run(read)

    async def retain(self, *, age_us: int, rollup_age_us: int, dead_letters: int) -> int:
        now = now_us()
        raw, rolled = ((now - age) // HOUR * HOUR for age in (age_us, max(age_us, rollup_age_us)))
        async with self._alone:
            while not await self._run(retention.raise_floor, "raw", raw):
                await self._roll_up(before=raw)  # late data may mark a minute again until the floor is up
            await self._run(retention.raise_floor, "rollup", rolled)
            gone = await self._sweep(await self._run(retention.sources), raw, rolled)
            await self._run(retention.bound_letters, dead_letters)
            await self._give_back()
        return gone

    async def purge(self, application: str) -> None:
        async with self._alone:
            await self._purge(application)
            await self._give_back()

    async def roll_up(self, *, before: int | None = None) -> int:
        """Compute the rollups that are due, or all that begin before `before`; returns how many.

        Upkeep does so every second; nobody else needs to.
        """
        async with self._alone:
            return await self._roll_up(before)

    # --- inside ----------------------------------------------------------------------------------

    async def _run(self, job: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.wrap_future(self._writer.run(lambda session: job(session, *args, **kwargs)))

    async def _sweep(self, sources: Sequence[retention.Source], raw: int, rolled: int) -> int:
        gone, todo = 0, deque(sources)
        while todo:
            gone += await self._run(retention.sweep, todo, raw=raw, rollup=rolled)
        return gone

    async def _purge(self, application: str) -> None:
        await self._run(retention.begin_purge, application)
        sources = await self._run(retention.sources, application)
        await self._sweep(sources, retention.NEVER, retention.NEVER)
        while await self._run(retention.delete_letters, application):
            pass
        await self._run(retention.end_purge, application)

    async def _finish_purges(self) -> None:
        """Those that a crash interrupted."""
        for application in await self._run(retention.purging):
            await self.purge(application)

    async def _give_back(self) -> None:
        while await self._run(retention.give_back):
            pass

    async def _roll_up(self, before: int | None) -> int:
        return await self._roll(MINUTES, before) + await self._roll(HOURS, before)

    async def _roll(self, level: Level, before: int | None) -> int:
        rolled = 0
        while claims := await self._run(rollup.claim, level, before=before):
            results = await asyncio.get_running_loop().run_in_executor(self._rolling, self._compute, level, claims)
            await self._run(rollup.store, level, results)
            rolled += len(claims)
        return rolled

    def _compute(self, level: Level, claims: Sequence[rollup.Claim]) -> list[rollup.Result]:
        try:
            if self._reading is None:
                self._reading = schema.open_reader(self._path, self._vfs)
            if self._reading is None:
                raise STORE_UNAVAILABLE.error("the file is gone")
            return rollup.compute(self._reading, level, claims)
        except apsw.Error as cause:
            self._close_reading()
            raise STORE_UNAVAILABLE.error(str(cause)) from cause

    def _close_reading(self) -> None:
        if self._reading is not None:
            self._reading.close()
            self._reading = None

    async def _see_to_upkeep(self) -> None:
        complained, purged = "", False
        while True:
            await asyncio.sleep(UPKEEP_SECONDS)
            try:
                if self._writer.problem is not None:
                    await self._run(_probe)
                if not purged:
                    await self._finish_purges()
                    purged = True
                await self.roll_up()
                complained = ""
            except FreeholdError:
                pass  # the writer's `problem` tells; the next round tries again
            except Exception as cause:
                # Rollups only make queries faster: without them the store goes on, and somebody must see why.
                if repr(cause) != complained:
                    complained = repr(cause)
                    _log.exception("rollups fail")


def _probe(session: Session) -> None:
    """Something that must reach the disk."""
    schema.run(session.connection, "INSERT OR REPLACE INTO floors VALUES ('probe', ?)", (now_us(),))
