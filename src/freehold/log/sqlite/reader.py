# SPDX-License-Identifier: Apache-2.0
"""One process's view of the embedded log: connections for reading, and the small questions about topics."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import apsw

from freehold.core.errors import LOG_UNAVAILABLE, SHUTTING_DOWN
from freehold.log.interfaces import TopicStats
from freehold.log.sqlite import schema
from freehold.log.sqlite.lookout import Lookout

T = TypeVar("T")

STREAMS = "SELECT partition, id FROM streams WHERE topic = ?"
_END = (
    "SELECT max(s.floor, coalesce((SELECT base + count FROM batches WHERE stream = s.id"
    " ORDER BY base DESC LIMIT 1), 0)) FROM streams s WHERE s.id = ?"
)
_OLDEST = (
    "SELECT partition, coalesce((SELECT base FROM batches WHERE stream = s.id ORDER BY base LIMIT 1), floor)"
    " FROM streams s WHERE topic = ?"
)


class Reader:
    """One process's reading side: a connection for the look-outs and questions, one thread for the payloads."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._connection: apsw.Connection | None = None
        self._heavy: apsw.Connection | None = None
        self._closed = False
        self._pool = ThreadPoolExecutor(1, "log-reader")
        self.lookout = Lookout(self.connection)

    async def run(self, work: Callable[..., T], *arguments: object) -> T:
        """Do what may take longer than microseconds in the pool's thread.

        Raises `SHUTTING_DOWN` after `close`, `LOG_UNAVAILABLE` where the file cannot be read.
        """
        if self._closed:
            raise SHUTTING_DOWN.error("the log is closed")
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work, *arguments)
        except apsw.Error as cause:
            raise LOG_UNAVAILABLE.error(f"the log cannot be read: {cause}") from cause

    def connection(self) -> apsw.Connection | None:
        """For small questions in the event loop (microseconds); None while there is no log yet."""
        if self._connection is None and not self._closed:
            self._connection = schema.open_reader(self._directory / schema.LOG_FILE)
        return self._connection

    def heavy(self) -> apsw.Connection | None:
        """For payloads and whole indexes, in the pool's thread only."""
        if self._heavy is None and not self._closed:
            self._heavy = schema.open_reader(self._directory / schema.LOG_FILE)
        return self._heavy

    def partitions(self, topic: str) -> dict[int, int]:
        """Partition → stream id of what exists of `topic`."""
        connection = self.connection()
        return dict(schema.ask(connection, STREAMS, (topic,))) if connection else {}

    def oldest(self, topic: str) -> dict[int, int]:
        """Partition → offset of the oldest record that is there, or of the next one where none is."""
        connection = self.connection()
        return dict(schema.ask(connection, _OLDEST, (topic,))) if connection else {}

    def end(self, stream: int) -> int:
        connection = self.connection()
        return schema.ask_one(connection, _END, (stream,)) or 0 if connection else 0

    def topics(self) -> list[str]:
        connection = self.connection()
        return [topic for (topic,) in schema.ask(connection, "SELECT topic FROM topics")] if connection else []

    def stats(self, topic: str) -> TopicStats:
        """In the pool's thread: looks at every index entry of the topic (0.1 µs each)."""
        connection = self.heavy()
        first: dict[int, int] = {}
        following: dict[int, int] = {}
        size, oldest = 0, None
        for partition, stream in schema.ask(connection, STREAMS, (topic,)) if connection else ():
            assert connection is not None
            sql = "SELECT min(base), sum(size), min(time) FROM batches WHERE stream = ?"
            ((low, total, time),) = schema.ask(connection, sql, (stream,))
            following[partition] = schema.ask_one(connection, _END, (stream,)) or 0
            first[partition] = following[partition] if low is None else low
            size += total or 0
            if time is not None:
                oldest = time if oldest is None else min(oldest, time)
        return TopicStats(topic, first, following, size, oldest)

    def at_time(self, topic: str, time_us: int) -> dict[int, int]:
        """In the pool's thread: partition → where to begin so that nothing appended at `time_us` or later is missed."""
        connection = self.heavy()
        positions: dict[int, int] = {}
        for partition, stream in schema.ask(connection, STREAMS, (topic,)) if connection else ():
            assert connection is not None
            # The batch before: its time is when its commit began, and starting a little early misses nothing.
            sql = "SELECT max(base) FROM batches WHERE stream = ? AND time < ?"
            found = schema.ask_one(connection, sql, (stream, time_us))
            if found is None:
                found = schema.ask_one(connection, "SELECT min(base) FROM batches WHERE stream = ?", (stream,))
            positions[partition] = schema.ask_one(connection, _END, (stream,)) or 0 if found is None else found
        return positions

    def close(self) -> None:
        self._closed = True
        self.lookout.close()
        self._pool.shutdown(wait=True)
        for connection in (self._connection, self._heavy):
            if connection is not None:
                connection.close()
        self._connection = self._heavy = None
