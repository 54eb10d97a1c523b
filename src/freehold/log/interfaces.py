# SPDX-License-Identifier: Apache-2.0
"""The event log's contract: durable, ordered within a partition, replayable. Every engine keeps all of it.

Terms are Kafka's. A topic belongs to one application (its name is the application's uid) and has a fixed
number of partitions. A record's partition follows from its key; its offset counts from 0 in its partition.

What every engine promises, and `tests/log/contract.py` checks:

* A submission resolves after all of its records are durable, never before; it resolves in the order of
  submission, and all or none of its records become readable.
* Records of one key are read in the order of submission.
* What is read was checked against its checksum; a damaged record raises `RecordDamaged`, it is never returned.
* A full queue refuses at once (`platform.overloaded`); a failing disk refuses (`log.unavailable`) and the
  engine recovers by itself when the disk does.
* Reading never blocks writing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from freehold.core.lifecycle import Component

PartitionId = tuple[str, int]
"""(topic, partition)"""


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """Where records with one key go. Opaque to callers and worth keeping: making one hashes the key.

    Engines give the same object for the same partition, so that routes compare and hash by identity.
    """

    topic: str
    partition: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """Neighbouring records of one partition: `values[i]` has offset `offset + i`.

    `time` is when the first was appended, microseconds since 1970 UTC.
    """

    topic: str
    partition: int
    offset: int
    time: int
    values: Sequence[bytes]

    @property
    def next_offset(self) -> int:
        return self.offset + len(self.values)


@dataclass(frozen=True, slots=True)
class TopicStats:
    """What a topic holds: `first[p]` is the oldest offset still there, `next[p]` the one that comes."""

    topic: str
    first: Mapping[int, int]
    next: Mapping[int, int]
    bytes: int
    oldest: int | None
    """Append time of the oldest record, microseconds; None when empty."""


class RecordDamaged(Exception):
    """A stored record does not match its checksum. Carries where; the reader may `seek` past it."""

    def __init__(self, topic: str, partition: int, offset: int) -> None:
        super().__init__(f"record {topic}/{partition}@{offset} is damaged")
        self.topic, self.partition, self.offset = topic, partition, offset


class LogWriter(Protocol):
    """The side of the endpoints."""

    def route(self, topic: str, key: str) -> Route:
        """Where records with `key` go; valid for as long as the topic exists."""
        ...

    def submit(self, routes: Sequence[Route], values: Sequence[bytes]) -> asyncio.Future[None]:
        """Append `values[i]` to `routes[i]`; must be called in the event loop that started the engine.

        Returns a future that resolves when all are durable, or fails with `FreeholdError(log.unavailable)`.
        Raises `FreeholdError(platform.overloaded)` at once, with nothing taken, when the queue is full.
        """
        ...

    async def append(self, topic: str, key: str, value: bytes) -> None:
        """One record, durable on return; raises what `submit` raises and fails with."""
        ...

    async def delete_topic(self, topic: str) -> None:
        """Remove the topic with all that was submitted to it before, and every group's position on it."""
        ...

    async def retain(self, *, age_us: int, bytes_per_topic: int) -> int:
        """Remove the oldest records past either bound; returns how many bytes went."""
        ...


class Consumer(Protocol):
    """One reader of a topic for a group. Not shared between tasks."""

    async def read(self, *, max_records: int, max_bytes: int, wait: float) -> list[Chunk]:
        """The next chunks after the last read, [] when nothing came within `wait` seconds.

        No read returns more than `max_records` records or `max_bytes` of values, except that it is at least one
        record when there is one. Raises `RecordDamaged`, `FreeholdError(log.unavailable)` when the log cannot be
        read, and `FreeholdError(platform.stopping)` after `stop`.
        """
        ...

    async def commit(self) -> None:
        """Remember for the group everything read so far; the next consumer of the group goes on behind it."""
        ...

    async def seek(self, positions: Mapping[int, int]) -> None:
        """Go on at these offsets (partition → offset); one that is gone means the oldest that is there."""
        ...

    async def seek_time(self, time_us: int) -> None:
        """Go on at the first chunk that may hold a record appended at `time_us` or later, in every partition."""
        ...

    def positions(self) -> dict[int, int]:
        """Partition → offset of the next record that `read` would return."""
        ...

    async def close(self) -> None: ...


class LogReader(Component, Protocol):
    """The side of everything behind the log. May run in another process than the writer."""

    def consumer(
        self,
        group: str,
        topic: str,
        *,
        start: str = "earliest",
        positions: Mapping[int, int] | None = None,
    ) -> Consumer:
        """A consumer of `topic` that starts at `positions`, else where the group committed, else at `start`.

        `start` is "earliest" or "latest". The topic need not exist yet.
        """
        ...

    async def topics(self) -> list[str]:
        """Topics that were written to and not deleted, in no order; retention may have emptied some."""
        ...

    async def stats(self, topic: str) -> TopicStats: ...


class EventLog(LogWriter, LogReader, Protocol):
    """Both sides of one engine."""
