# SPDX-License-Identifier: Apache-2.0
"""A consumer of the embedded log: where it stands, and how it reads on."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing

import apsw

from freehold.log.interfaces import Chunk, RecordDamaged
from freehold.log.sqlite import schema
from freehold.log.sqlite.batches import Damaged, unpack
from freehold.log.sqlite.groups import Groups
from freehold.log.sqlite.reader import STREAMS, Reader

_FROM = (
    "SELECT base, count, time, data FROM batches WHERE stream = ?1 AND base >= coalesce("
    "(SELECT max(base) FROM batches WHERE stream = ?1 AND base <= ?2), 0) ORDER BY base"
)


class SqliteConsumer:
    """`Consumer` on the embedded log."""

    def __init__(self, reader: Reader, groups: Groups, group: str, topic: str, positions: dict[int, int]) -> None:
        self._reader, self._groups = reader, groups
        self._group, self._topic = group, topic
        self._next = positions
        self._turn = 0

    def positions(self) -> dict[int, int]:
        oldest = self._reader.oldest(self._topic)
        return {partition: max(first, self._next.get(partition, 0)) for partition, first in oldest.items()}

    async def read(self, *, max_records: int, max_bytes: int, wait: float) -> list[Chunk]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait
        while True:
            seen, chunks = await self._reader.run(self._read, max_records, max_bytes)
            left = deadline - loop.time()
            if chunks or left <= 0:
                break
            await self._reader.lookout.wait(self._topic, left, seen)
        for chunk in chunks:
            self._next[chunk.partition] = chunk.next_offset
        return chunks

    async def commit(self) -> None:
        await self._reader.run(self._groups.save, self._group, self._topic, dict(self._next))

    async def seek(self, positions: Mapping[int, int]) -> None:
        self._next.update(positions)

    async def seek_time(self, time_us: int) -> None:
        self._next.update(await self._reader.run(self._reader.at_time, self._topic, time_us))

    async def close(self) -> None:
        """Nothing is held between reads."""

    def _read(self, max_records: int, max_bytes: int) -> tuple[int, list[Chunk]]:
        """In the pool's thread: the newest `seq` before the look, and the next chunks.

        Partitions take turns, so that a busy one starves none.
        """
        connection = self._reader.heavy()
        if connection is None:
            return 0, []
        seen = schema.ask_one(connection, schema.NEWEST)
        streams = schema.ask(connection, STREAMS + " ORDER BY partition", (self._topic,))
        self._turn += 1
        gathered = _Gathered(max_records, max_bytes)
        for index in range(len(streams)):
            partition, stream = streams[(index + self._turn) % len(streams)]
            # Closed by hand: an exception's traceback would keep the cursor, and an open cursor keeps its
            # snapshot, behind which the WAL can only grow.
            with closing(_runs(connection, stream, self._next.get(partition, 0))) as runs:
                for offset, time, values, damaged in runs:
                    if values and not gathered.take(self._topic, partition, offset, time, values):
                        return seen, gathered.chunks
                    if damaged is not None:
                        if gathered.chunks:
                            return seen, gathered.chunks  # what is whole first; the next read meets the damage
                        raise RecordDamaged(self._topic, partition, damaged)
        return seen, gathered.chunks


def _runs(
    connection: apsw.Connection, stream: int, position: int
) -> Generator[tuple[int, int, list[bytes], int | None]]:
    """From `position` on: offset, time and records of each batch, and the offset of a damaged one behind them."""
    with closing(connection.cursor()) as cursor:
        for base, count, time, data in cursor.execute(_FROM, (stream, position)):
            first = max(0, position - base)
            if first >= count:
                continue
            try:
                yield base + first, time, unpack(data, count, first), None
            except Damaged as damage:
                yield base + first, time, damage.intact, base + damage.index


class _Gathered:
    """The chunks of one read, up to its bounds."""

    def __init__(self, max_records: int, max_bytes: int) -> None:
        self.chunks: list[Chunk] = []
        self._records, self._bytes = max_records, max_bytes

    def take(self, topic: str, partition: int, offset: int, time: int, values: list[bytes]) -> bool:
        """Add what fits, at least one record in all. False when a bound is reached."""
        fitting = values[: max(self._records, 0)]
        size = sum(map(len, fitting))
        if size > self._bytes:
            fitting, size = _within(fitting, self._bytes)
        if not fitting and not self.chunks:
            fitting, size = values[:1], len(values[0])
        if fitting:
            self.chunks.append(Chunk(topic, partition, offset, time, fitting))
        self._records -= len(fitting)
        self._bytes -= size
        return len(fitting) == len(values) and self._records > 0 and self._bytes > 0


def _within(values: Sequence[bytes], size: int) -> tuple[list[bytes], int]:
    """The first of `values` that take up at most `size` bytes together, and how many bytes they do."""
    total = 0
    for index, value in enumerate(values):
        if total + len(value) > size:
            return list(values[:index]), total
        total += len(value)
    return list(values), total
