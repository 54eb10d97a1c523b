# SPDX-License-Identifier: Apache-2.0
"""The embedded event log as a component: `EventLog` on SQLite (see the package's modules for how).

`SqliteLog` writes and reads; `SqliteLogReader` only reads, in another process. Exactly one writer may exist
for a directory, which a file lock ensures.
"""

from __future__ import annotations

import asyncio
import fcntl
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, TypeVar
from zlib import crc32

import apsw
import structlog

from freehold.core.clock import now_us
from freehold.core.errors import DATA_DIRECTORY, LOG_UNAVAILABLE, OVERLOADED, SHUTTING_DOWN, FreeholdError
from freehold.core.settings import Log as LogSettings
from freehold.log.interfaces import Route
from freehold.log.sqlite.reading_side import SqliteLogReader
from freehold.log.sqlite.retention import Cut, plan
from freehold.log.sqlite.writer import Submission, Writer

__all__ = ["SqliteLog", "SqliteLogReader"]

_log = structlog.get_logger(__name__)

T = TypeVar("T")

RECORD_OVERHEAD = 64
"""Bytes that a waiting record costs beside its value, for the bound of the queue."""

GATHER_FROM = 8
"""Submissions in a commit from which on the next one waits a moment for its like."""

GATHER_SECONDS = 0.001
"""Longest such moment; no shorter, because that is how finely the event loop's timers run."""

SLICE_ROWS = 64
"""Batches that retention or deletion removes in one transaction, so that appends get in between."""


class SqliteLog(SqliteLogReader):
    """`EventLog`: both sides. Use it from one event loop only."""

    def __init__(self, directory: Path, settings: LogSettings, *, vfs: str | None = None) -> None:
        super().__init__(directory)
        self._settings = settings
        self._writer = Writer(directory, settings.partitions, vfs)
        self._routes: dict[str, list[Route]] = {}
        self._waiting: list[Submission] = []
        self._waiting_futures: list[asyncio.Future[None]] = []
        self._waiting_bytes = 0
        self._committing = False
        self._scheduled = False
        self._gathering: asyncio.TimerHandle | None = None
        self._goal = 0
        self._accepting = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._problem: str | None = None
        self._lock: IO[bytes] | None = None
        self._helpers = ThreadPoolExecutor(1, "log-open")
        self.appended = 0
        self.commits = 0

    @property
    def name(self) -> str:
        return "log.sqlite"

    async def start(self) -> None:
        """Raises `DATA_DIRECTORY` when the log cannot be written, is of a newer format or has another writer."""
        self._loop = asyncio.get_running_loop()
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            self._lock = (self._directory / "writer.lock").open("wb")
            self._claim(self._lock)
            await self._loop.run_in_executor(self._helpers, self._writer.open)
        except (OSError, apsw.Error, FreeholdError) as cause:
            if self._lock is not None:
                self._lock.close()
            if isinstance(cause, FreeholdError):
                raise
            raise DATA_DIRECTORY.error(f"the log in {self._directory}: {cause}") from cause
        for topic, partitions in self._writer.partitions_by_topic().items():
            self._routes[topic] = [Route(topic, number) for number in range(partitions)]
        self._accepting = True

    def _claim(self, lock: IO[bytes]) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DATA_DIRECTORY.error(f"another process writes the log in {self._directory}") from None

    async def drain(self) -> None:
        """Refuse new submissions; return when all that were taken are durable (or failed)."""
        self._accepting = False
        await self._idle.wait()

    async def stop(self) -> None:
        await self.drain()
        await self._loop.run_in_executor(self._helpers, self._writer.close)
        self._helpers.shutdown()
        await super().stop()
        if self._lock is not None:
            self._lock.close()

    def health(self) -> str | None:
        return self._problem

    # --- appending -------------------------------------------------------------------------------

    def route(self, topic: str, key: str) -> Route:
        routes = self._routes.get(topic)
        if routes is None:
            routes = self._routes[topic] = [Route(topic, number) for number in range(self._settings.partitions)]
        return routes[crc32(key.encode("utf-8", "surrogatepass")) % len(routes)]

    def submit(self, routes: Sequence[Route], values: Sequence[bytes]) -> asyncio.Future[None]:
        if not self._accepting:
            raise SHUTTING_DOWN.error()
        if len(routes) != len(values):
            # Found in the commit, it would fail everybody who shares that.
            raise ValueError(f"{len(routes)} routes for {len(values)} values")
        size = sum(map(len, values)) + RECORD_OVERHEAD * len(values)
        if self._waiting_bytes + size > self._settings.queue_bytes and self._waiting_bytes:
            raise OVERLOADED.error()
        future: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append((routes, values))
        self._waiting_futures.append(future)
        self._waiting_bytes += size
        if self._gathering is not None:
            if len(self._waiting) >= self._goal:
                self._gathering.cancel()
                self._gathering = None
                self._loop.call_soon(self._flush)
        elif not self._committing and not self._scheduled:
            # At the end of this turn of the loop: everything that other sockets bring in it joins the commit.
            self._scheduled = True
            self._idle.clear()
            self._loop.call_soon(self._flush)
        return future

    async def append(self, topic: str, key: str, value: bytes) -> None:
        await self.submit((self.route(topic, key),), (value,))

    def _begin_next(self, answered: int) -> None:
        """Commit what waits: now, or when those who were just answered had a moment to send again.

        Devices with one message in flight otherwise fall into two halves that take turns, each waiting for
        the other's commit: twice the commits, half of them full. The moment ends when as many wait as were
        active, and after `GATHER_SECONDS`; a few devices never wait for it.
        """
        active = answered + len(self._waiting)
        self._goal = active - active // 8
        if answered < GATHER_FROM or len(self._waiting) >= self._goal or not self._accepting:
            self._flush()
        else:
            self._gathering = self._loop.call_later(GATHER_SECONDS, self._flush)

    def _flush(self) -> None:
        self._scheduled = False
        self._gathering = None
        submissions, futures = self._waiting, self._waiting_futures
        if not submissions:
            self._committing = False
            self._idle.set()
            return
        self._waiting, self._waiting_futures = [], []
        self._waiting_bytes = 0
        self._committing = True
        self._writer.do(lambda: self._commit(submissions, futures))

    def _commit(self, submissions: list[Submission], futures: list[asyncio.Future[None]]) -> None:
        """In the writer's thread."""
        problem: str | None = None
        try:
            self._writer.commit(submissions)
        except Exception as cause:
            # Whatever it was, those who wait must hear of it, and the thread must live for the next batch.
            problem = f"the log cannot be written: {cause}"
        self._loop.call_soon_threadsafe(self._committed, submissions, futures, problem)

    def _committed(
        self,
        submissions: list[Submission],
        futures: list[asyncio.Future[None]],
        problem: str | None,
    ) -> None:
        if problem != self._problem:
            self._problem = problem
            if problem is None:
                _log.info("the log can be written again")
            else:
                _log.error("records were refused", reason=problem)
        # The disk first: it works on the next batch while this one is acknowledged.
        self._begin_next(len(futures))
        if problem is None:
            self.commits += 1
            self.appended += sum(len(values) for _, values in submissions)
            for future in futures:
                if not future.done():
                    future.set_result(None)
            return
        for future in futures:
            if not future.done():
                future.set_exception(LOG_UNAVAILABLE.error(problem))

    # --- removing --------------------------------------------------------------------------------

    async def delete_topic(self, topic: str) -> None:
        if self._waiting_futures:
            # What was submitted before goes, too, instead of making the topic again.
            await asyncio.wait([self._waiting_futures[-1]])
        while not await self._in_writer(lambda: self._writer.delete_slice(topic, SLICE_ROWS)):
            pass
        self._routes.pop(topic, None)
        await self._reader.run(self._groups.forget, topic)

    async def retain(self, *, age_us: int, bytes_per_topic: int) -> int:
        before = max(0, now_us() - age_us)
        cuts = deque(await self._reader.run(self._past_bounds, before, bytes_per_topic))
        removed = 0
        while cuts:
            removed += await self._in_writer(lambda: self._writer.cut_slice(cuts, SLICE_ROWS))
        return removed

    def _past_bounds(self, before_us: int, bytes_per_topic: int) -> list[Cut]:
        connection = self._reader.heavy()
        return plan(connection, before_us, bytes_per_topic) if connection else []

    async def _in_writer(self, work: Callable[[], T]) -> T:
        """Run `work` in the writer's thread between two commits; an I/O failure becomes `log.unavailable`."""
        if not self._accepting:
            raise SHUTTING_DOWN.error()
        future: asyncio.Future[T] = self._loop.create_future()

        def run() -> None:
            try:
                result = work()
            except Exception as cause:
                # Whatever it was, who waits must hear of it, and the thread must live for the next batch.
                refusal = LOG_UNAVAILABLE.error(str(cause))
                refusal.__cause__ = cause
                self._loop.call_soon_threadsafe(_fail, future, refusal)
            else:
                self._loop.call_soon_threadsafe(_resolve, future, result)

        self._writer.do(run)
        return await future


def _resolve(future: asyncio.Future[T], result: T) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[T], cause: Exception) -> None:
    if not future.done():
        future.set_exception(cause)
