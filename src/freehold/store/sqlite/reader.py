# SPDX-License-Identifier: Apache-2.0
"""`TelemetryReader` on SQLite, for any process: a few threads with a connection each, and bounds on questions.

Each question sees one state of the file. A file that does not exist yet answers with nothing.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import apsw

from freehold.core.errors import QUERY_INVALID, SHUTTING_DOWN, STORE_UNAVAILABLE
from freehold.store.interfaces import (
    DeadLetter,
    DeviceState,
    Query,
    Series,
    SeriesInfo,
    SeriesKey,
    StoreStats,
)
from freehold.store.sqlite import newest, query, schema

T = TypeVar("T")

THREADS = 2
WAITING = 100
"""Questions that wait for a thread; more are refused."""

SECONDS = 20.0
"""Longest time that SQLite works on one question."""

LOOK_EVERY = 100_000
"""Steps of SQLite's machine (about 5 ms) between two looks at the clock."""

_LETTERS = (
    "SELECT application, event_id, time, device, channel, reason, detail, event, processor_version"
    " FROM dead_letters WHERE application = ? "
)


class SqliteTelemetryReader:
    """Reads the file that `SqliteTelemetry` writes. `max_points` bounds the answer of one query."""

    def __init__(
        self, path: Path, *, max_points: int = 1_000_000, seconds: float = SECONDS, vfs: str | None = None
    ) -> None:
        self._path, self._vfs = path, vfs
        self._max_points, self._seconds = max_points, seconds
        self._pool = ThreadPoolExecutor(THREADS, "store-reader")
        self._local = threading.local()
        self._connections: list[apsw.Connection] = []
        self._asked = 0
        self._closed = False

    async def query(self, query_: Query) -> list[Series]:
        return await self._ask(lambda connection: query.answer(connection, query_, self._max_points), [])

    async def newer(self, application: str, after: Mapping[SeriesKey, int], *, limit: int) -> list[Series]:
        return await self._ask(lambda connection: query.newer(connection, application, after, limit), [])

    async def series(self, application: str, *, devices: Sequence[str] = ()) -> list[SeriesInfo]:
        return await self._ask(lambda connection: newest.newest(connection, application, devices), [])

    async def states(self, application: str) -> list[DeviceState]:
        def read(connection: apsw.Connection) -> list[DeviceState]:
            sql = (
                "SELECT application, device, last_event, last_channel, connected FROM device_states"
                " WHERE application = ? ORDER BY device"
            )
            return [
                DeviceState(owner, device, event, channel, connected if connected is None else bool(connected))
                for owner, device, event, channel, connected in schema.rows(connection, sql, (application,))
            ]

        return await self._ask(read, [])

    async def dead_letters(self, application: str, *, limit: int, before: int | None = None) -> list[DeadLetter]:
        def read(connection: apsw.Connection) -> list[DeadLetter]:
            sql = _LETTERS + "AND time < ? ORDER BY time DESC, rowid DESC LIMIT ?"
            last = (1 << 63) - 1 if before is None else before
            return [DeadLetter(*found) for found in schema.rows(connection, sql, (application, last, limit))]

        return await self._ask(read, [])

    async def dead_letter(self, application: str, event_id: str) -> DeadLetter | None:
        def read(connection: apsw.Connection) -> DeadLetter | None:
            found = schema.row(connection, _LETTERS + "AND event_id = ?", (application, event_id))
            return DeadLetter(*found) if found else None

        return await self._ask(read, None)

    async def stats(self, application: str) -> StoreStats:
        return await self._ask(lambda connection: newest.stats(connection, application), StoreStats(0, 0, 0, None))

    async def close(self) -> None:
        """Ends after the questions that run; those that wait are refused."""
        self._closed = True
        await asyncio.to_thread(self._pool.shutdown, wait=True, cancel_futures=True)
        while self._connections:
            self._connections.pop().close()

    # --- inside ----------------------------------------------------------------------------------

    async def _ask(self, read: Callable[[apsw.Connection], T], nothing: T) -> T:
        if self._closed:
            raise SHUTTING_DOWN.error("the telemetry store is closed")
        if self._asked >= THREADS + WAITING:
            raise STORE_UNAVAILABLE.error(f"{self._asked} questions wait already")
        self._asked += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._read, read, nothing)
        except asyncio.CancelledError:
            if self._closed:
                raise SHUTTING_DOWN.error("the telemetry store is closed") from None
            raise
        finally:
            self._asked -= 1

    def _read(self, read: Callable[[apsw.Connection], T], nothing: T) -> T:
        """In a thread of the pool."""
        try:
            connection = self._connection()
            if connection is None:
                return nothing
            deadline = time.monotonic() + self._seconds
            connection.set_progress_handler(lambda: time.monotonic() > deadline, LOOK_EVERY)
            connection.execute("BEGIN")
            try:
                return read(connection)
            finally:
                connection.execute("COMMIT")
        except apsw.InterruptError:
            raise QUERY_INVALID.error(
                f"the answer takes longer than {self._seconds:g} s: choose a shorter range or an `every` of"
                " whole minutes or hours"
            ) from None
        except apsw.Error as cause:
            self._drop()
            raise STORE_UNAVAILABLE.error(str(cause)) from cause

    def _connection(self) -> apsw.Connection | None:
        found: apsw.Connection | None = getattr(self._local, "connection", None)
        if found is None:
            found = self._local.connection = schema.open_reader(self._path, self._vfs)
            if found is not None:
                self._connections.append(found)
        return found

    def _drop(self) -> None:
        """The next question opens the file anew."""
        found: apsw.Connection | None = getattr(self._local, "connection", None)
        if found is not None:
            self._local.connection = None
            self._connections.remove(found)
            found.close(force=True)
