# SPDX-License-Identifier: Apache-2.0
"""What a viewer gets before the live events: the newest ones (backfill), or those since it was last here.

Both read from the log up to the positions at which the viewer joined the shared tail, so that nothing is
shown twice and nothing falls between. Both are bounded by records and bytes; what lies before is counted.
"""

from __future__ import annotations

import heapq
import uuid
from collections import deque
from collections.abc import AsyncIterator, Mapping

import msgspec

from freehold.deliver.models import Item, Selection, Update
from freehold.deliver.tail import GROUP, distance
from freehold.events.models import Event, decode
from freehold.log.interfaces import LogReader, RecordDamaged

MOST_RESUMED = 5_000
"""Records that a returning client gets; what is older is reported as missed."""

_SCANNED = 20_000
"""Records that are looked through for a backfill with a filter."""

_MOST_BYTES = 4 * 1024 * 1024
_GULP = 1000

_MOST_SURPLUS = 50_000
"""Records past the end that reading to it may meet, in partitions that are written to at full speed."""

_Placed = tuple[int, Event]
"""Next offset behind it, and the event."""


async def newest(log: LogReader, topic: str, upto: Mapping[int, int], selection: Selection, count: int) -> list[Item]:
    """The newest `count` events before `upto` that `selection` takes, oldest first."""
    if count <= 0 or not upto:
        return []
    each = count if selection.everything else max(count, _SCANNED // len(upto))
    start = {p: max(0, offset - each) for p, offset in upto.items()}
    return _bounded(await _between(log, topic, start, upto, selection), count)


async def since(
    log: LogReader,
    topic: str,
    after: Mapping[int, int],
    upto: Mapping[int, int],
    selection: Selection,
) -> Update:
    """What a client missed that has seen everything before `after`."""
    first = (await log.stats(topic)).first
    wanted = {p: min(after.get(p, 0), offset) for p, offset in upto.items()}
    each = max(1, MOST_RESUMED // max(1, len(upto)))
    start = {p: max(wanted[p], first.get(p, 0), offset - each) for p, offset in upto.items()}
    items = await _between(log, topic, start, upto, selection)
    kept = _bounded(items, MOST_RESUMED)
    return Update(distance(wanted, start) + len(items) - len(kept), tuple(kept))


async def behind_event(log: LogReader, topic: str, event_id: str, upto: Mapping[int, int]) -> dict[int, int] | None:
    """Positions behind the event `event_id`; None when it is not there (any more) or no id of ours.

    In the other partitions: behind what was received before that event.
    """
    made_ms = _uuid7_ms(event_id)
    if made_ms is None:
        return None
    consumer = log.consumer(GROUP, topic, start="earliest", positions=dict(upto))
    try:
        await consumer.seek_time(made_ms * 1000)
        start = consumer.positions()
    finally:
        await consumer.close()
    each = max(1, _SCANNED // max(1, len(upto)))
    start = {p: max(start.get(p, offset), offset - each) for p, offset in upto.items()}
    seen = [
        (event.time, partition, behind, event.id == event_id)
        async for partition, behind, event in _read(log, topic, start, upto)
    ]
    received = next((time for time, _, _, found in seen if found), None)
    if received is None:
        return None
    positions = dict(start)
    for time, partition, behind, _ in seen:
        if time <= received:
            positions[partition] = max(positions[partition], behind)
    return positions


async def _between(
    log: LogReader,
    topic: str,
    start: Mapping[int, int],
    upto: Mapping[int, int],
    selection: Selection,
) -> list[Item]:
    """Events in [`start`, `upto`) in the order of their time, each partition's own order kept."""
    placed: dict[int, deque[_Placed]] = {partition: deque() for partition in upto}
    sizes = dict.fromkeys(upto, 0)
    async for partition, behind, event in _read(log, topic, start, upto):
        if selection.takes(event):
            kept = placed[partition]
            kept.append((behind, event))
            sizes[partition] += len(event.data)
            while sizes[partition] > _MOST_BYTES and len(kept) > 1:
                sizes[partition] -= len(kept.popleft()[1].data)
    return _merged(placed, start)


async def _read(
    log: LogReader, topic: str, start: Mapping[int, int], upto: Mapping[int, int]
) -> AsyncIterator[tuple[int, int, Event]]:
    """(partition, offset behind it, event) of every readable record in [`start`, `upto`)."""
    consumer = log.consumer(GROUP, topic, start="earliest", positions=dict(start))
    budget = distance(start, upto) + _MOST_SURPLUS
    try:
        while budget > 0 and distance(consumer.positions(), upto):
            try:
                chunks = await consumer.read(max_records=_GULP, max_bytes=_MOST_BYTES, wait=0)
            except RecordDamaged as damage:
                await consumer.seek({damage.partition: damage.offset + 1})
                continue
            if not chunks:
                return  # retention was faster than we
            for chunk in chunks:
                budget -= len(chunk.values)
                end = upto.get(chunk.partition, 0)
                for index, value in enumerate(chunk.values):
                    if chunk.offset + index >= end:
                        break
                    try:
                        yield chunk.partition, chunk.offset + index + 1, decode(value)
                    except msgspec.DecodeError:
                        continue  # not an event of ours; the pipeline reports it
    finally:
        await consumer.close()


def _merged(placed: Mapping[int, deque[_Placed]], start: Mapping[int, int]) -> list[Item]:
    ways = [[(event.time, partition, behind, event) for behind, event in kept] for partition, kept in placed.items()]
    positions = dict(start)
    items: list[Item] = []
    for _, partition, behind, event in heapq.merge(*ways, key=lambda way: way[0]):
        positions[partition] = behind
        items.append(Item(event, dict(positions)))
    return items


def _bounded(items: list[Item], count: int) -> list[Item]:
    """The newest of `items`: at most `count`, and at most `_MOST_BYTES` of them."""
    size, kept = 0, 0
    for item in reversed(items[-count:]):
        size += item.size
        if size > _MOST_BYTES and kept:
            break
        kept += 1
    return items[len(items) - kept :]


def _uuid7_ms(event_id: str) -> int | None:
    """The milliseconds since 1970 in a UUIDv7 (RFC 9562, 5.7); None for anything else."""
    try:
        parsed = uuid.UUID(event_id)
    except ValueError:
        return None
    return parsed.int >> 80 if parsed.version == 7 else None
