# SPDX-License-Identifier: Apache-2.0
"""The reading side of the embedded event log, as a component: `LogReader` on SQLite."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from freehold.log.interfaces import TopicStats
from freehold.log.sqlite.consumer import SqliteConsumer
from freehold.log.sqlite.groups import Groups
from freehold.log.sqlite.reader import Reader


class SqliteLogReader:
    """`LogReader` for a process that does not write."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._reader = Reader(directory)
        self._groups = Groups(directory)

    @property
    def name(self) -> str:
        return "log.reader"

    async def start(self) -> None:
        """Nothing to wait for: a log that does not exist yet reads as empty."""

    async def drain(self) -> None: ...

    async def stop(self) -> None:
        self._reader.close()
        self._groups.close()

    def health(self) -> str | None:
        return None

    def consumer(
        self,
        group: str,
        topic: str,
        *,
        start: str = "earliest",
        positions: Mapping[int, int] | None = None,
    ) -> SqliteConsumer:
        known = dict(positions) if positions is not None else self._groups.load(group, topic)
        if start == "latest":
            for partition, stream in self._reader.partitions(topic).items():
                known.setdefault(partition, self._reader.end(stream))
        return SqliteConsumer(self._reader, self._groups, group, topic, known)

    async def topics(self) -> list[str]:
        return self._reader.topics()

    async def stats(self, topic: str) -> TopicStats:
        return await self._reader.run(self._reader.stats, topic)
