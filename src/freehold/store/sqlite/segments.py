# SPDX-License-Identifier: Apache-2.0
"""Which part of a query's range is read from where: hours and minutes where they are right, raw rows elsewhere.

Pure functions. This is the seam for further places that hold values (sealed archives): another `Level` that
`cover` prefers over the ones below it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from freehold.store.sqlite.schema import HOUR, MINUTE

RAW, MINUTES, HOURS = "points", "minutes", "hours"


@dataclass(frozen=True, slots=True)
class Segment:
    """[`start`, `end`) is read from `table`."""

    table: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Level:
    """A table with one row for each `width` microseconds, not to be used for the buckets in `stale` (sorted)."""

    table: str
    width: int
    stale: Sequence[int]


def plan(
    start: int, end: int, every: int, *, floor: int, stale_minutes: Sequence[int], stale_hours: Sequence[int]
) -> list[Segment]:
    """Segments that cover [start, end) once, in order, for buckets of `every` microseconds.

    Raw rows before `floor` are gone: that part is covered by whole minutes or hours only, or not at all.
    `stale_hours` are those whose minutes were rolled up since; hours with stale minutes are found here.
    """
    levels: list[Level] = []
    if every % MINUTE == 0:
        levels.append(Level(MINUTES, MINUTE, stale_minutes))
    if every % HOUR == 0:
        hours = {minute - minute % HOUR for minute in stale_minutes}
        levels.insert(0, Level(HOURS, HOUR, sorted(hours.union(stale_hours))))
    segments: list[Segment] = []
    for segment in cover(start, end, levels):
        if segment.table == RAW:
            segment = Segment(RAW, max(segment.start, floor), segment.end)
            if segment.start >= segment.end:
                continue
        if segments and segments[-1].table == segment.table and segments[-1].end == segment.start:
            segment = Segment(segment.table, segments.pop().start, segment.end)
        segments.append(segment)
    return segments


def cover(start: int, end: int, levels: Sequence[Level]) -> Iterator[Segment]:
    """[start, end) by the first of `levels` as far as whole buckets go that are not stale, else by the next."""
    if start >= end:
        return
    if not levels:
        yield Segment(RAW, start, end)
        return
    level, finer = levels[0], levels[1:]
    first, last = -(-start // level.width) * level.width, end // level.width * level.width
    if first >= last:
        yield from cover(start, end, finer)
        return
    yield from cover(start, first, finer)
    at = first
    for bucket in level.stale[bisect_left(level.stale, first) : bisect_left(level.stale, last)]:
        if bucket > at:
            yield Segment(level.table, at, bucket)
        yield from cover(bucket, bucket + level.width, finer)
        at = bucket + level.width
    if at < last:
        yield Segment(level.table, at, last)
    yield from cover(last, end, finer)
