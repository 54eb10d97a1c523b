# SPDX-License-Identifier: Apache-2.0
"""One log in one place, opened and opened again; and what the tests ask of a log all the time."""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from freehold.core.settings import Log as LogSettings
from freehold.log.interfaces import Chunk, Consumer, EventLog, LogReader
from tests.log.engines import Engine, ReadingSide

FOUR = LogSettings(partitions=4)
ALL = 1_000_000


class Installation:
    """Opens the engine's log in `place`; ends whatever it opened."""

    def __init__(self, engine: Engine, place: Path) -> None:
        self.engine, self.place = engine, place
        self._open: list[EventLog | ReadingSide] = []

    async def open(self, settings: LogSettings = FOUR) -> EventLog:
        log = self.engine.log(self.place, settings)
        await log.start()
        self._open.append(log)
        return log

    async def reader(self) -> ReadingSide:
        reader = self.engine.reader(self.place)
        await reader.start()
        self._open.append(reader)
        return reader

    async def close(self) -> None:
        """End all that is open, readers first."""
        while self._open:
            component = self._open.pop()
            await component.drain()
            await component.stop()


async def read_on(consumer: Consumer, *, max_records: int = ALL, max_bytes: int = 1 << 40) -> list[Chunk]:
    """Everything that the consumer has not read yet."""
    chunks: list[Chunk] = []
    while found := await consumer.read(max_records=max_records, max_bytes=max_bytes, wait=0):
        chunks += found
    return chunks


async def read_all(log: LogReader, topic: str, positions: Mapping[int, int] | None = None) -> list[Chunk]:
    """Everything in `topic`, or everything from `positions` on."""
    consumer = log.consumer("read-all", topic, positions=positions or {})
    try:
        return await read_on(consumer)
    finally:
        await consumer.close()


def values_of(chunks: list[Chunk]) -> list[bytes]:
    return [value for chunk in chunks for value in chunk.values]


def by_partition(chunks: list[Chunk]) -> dict[int, list[tuple[int, bytes]]]:
    """Partition → (offset, value) in the order of reading."""
    found: dict[int, list[tuple[int, bytes]]] = defaultdict(list)
    for chunk in chunks:
        found[chunk.partition] += [(chunk.offset + index, value) for index, value in enumerate(chunk.values)]
    return dict(found)


def offsets_of(chunks: list[Chunk]) -> dict[int, list[int]]:
    return {partition: [offset for offset, _ in pairs] for partition, pairs in by_partition(chunks).items()}


def child_environment() -> dict[str, str]:
    """The environment of a child Python that must find what this one found."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
