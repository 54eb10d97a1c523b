# SPDX-License-Identifier: Apache-2.0
"""One series, aggregated: buckets put together from hours, minutes and raw rows.

Newest first throughout, because a limit keeps the newest. What a segment has comes in one statement that
groups inside SQLite, where it holds up no other thread of the interpreter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import apsw

from freehold.store.interfaces import Aggregate, Query, Series, Value
from freehold.store.sqlite import schema
from freehold.store.sqlite.places import Place
from freehold.store.sqlite.segments import RAW, Segment, plan
from freehold.store.sqlite.values import from_stored

Partial = tuple[Any, Any]
"""What a part of a bucket comes to: a value, and how many values it is made of."""


@dataclass(frozen=True, slots=True)
class _Recipe:
    """How to aggregate. The SQL gives the two halves of a `Partial`, `{v}` being the column of raw values.

    `merge` puts two parts of a bucket together, the newer one first; `finish` makes the point's value of the
    whole, None when it has none.
    """

    raw: str
    rolled: str
    merge: Callable[[Partial, Partial], Partial]
    finish: Callable[[Partial], Value | None]
    numbers: bool = True
    """Whether values of other types are left out."""


def _add(newer: Partial, older: Partial) -> Partial:
    return newer[0] + older[0], newer[1] + older[1]


def _finite(number: float) -> float | None:
    return number if number - number == 0.0 else None


def _sum(whole: Partial) -> Value | None:
    return _finite(whole[0])


def _mean(whole: Partial) -> Value | None:
    return _finite(whole[0] / whole[1])


def _value(whole: Partial) -> Value | None:
    return from_stored(whole[:1])[0]


# The total of plus and minus infinity is NULL to SQLite; as an infinity it goes on being no value.
_TOTAL_RAW, _TOTAL_ROLLED = "ifnull(total({v}), 9e999), count({v})", "ifnull(total(sum), 9e999), sum(numbers)"

RECIPES: dict[Aggregate, _Recipe] = {
    "mean": _Recipe(_TOTAL_RAW, _TOTAL_ROLLED, _add, _mean),
    "sum": _Recipe(_TOTAL_RAW, _TOTAL_ROLLED, _add, _sum),
    "min": _Recipe("min({v}), count({v})", "min(min), 1", min, _value),
    "max": _Recipe("max({v}), count({v})", "max(max), 1", max, _value),
    "count": _Recipe("count({v}), count({v})", "sum(count), 1", _add, _value, numbers=False),
    # Of the rolled ones `last` comes from the row with the largest bucket (SQLite's bare columns); raw rows
    # are asked for it in another way.
    "last": _Recipe("", "last, max(bucket)", lambda newer, _: newer, _value, numbers=False),
}


def aggregated(
    connection: apsw.Connection, place: Place, query: Query, every: int, floors: dict[str, int]
) -> Series | None:
    """The newest `query.limit` buckets, None when there are none. `floors`: before what values are gone."""
    start = max(query.start, floors.get("rollup", 0))
    segments = plan(
        start,
        query.end,
        every,
        floor=floors.get("raw", 0),
        stale_minutes=_stale(connection, "stale_minutes", place.source, start, query.end),
        stale_hours=_stale(connection, "stale_hours", place.source, start, query.end),
    )
    recipe = RECIPES[query.aggregate]
    wholes: dict[int, Partial] = {}
    for segment in reversed(segments):
        for bucket, part in _parts(connection, place, segment, every, query):
            known = wholes.get(bucket)
            wholes[bucket] = part if known is None else recipe.merge(known, part)
        if len(wholes) > query.limit:
            break  # the oldest may not be whole, and is one too many
    values = [(bucket, recipe.finish(wholes[bucket])) for bucket in sorted(wholes)[-query.limit :]]
    points = [(bucket, value) for bucket, value in values if value is not None]
    if not points:
        return None
    return Series(place.device, place.measurement, place.field, *map(list, zip(*points, strict=True)))


def _stale(connection: apsw.Connection, table: str, source: int, start: int, end: int) -> list[int]:
    sql = f"SELECT bucket FROM {table} WHERE source = ? AND bucket >= ? AND bucket < ? ORDER BY bucket"
    return [bucket for (bucket,) in schema.rows(connection, sql, (source, start, end))]


def _parts(
    connection: apsw.Connection, place: Place, segment: Segment, every: int, query: Query
) -> Iterator[tuple[int, Partial]]:
    """The newest buckets in a segment, newest first; enough for the query's limit."""
    recipe = RECIPES[query.aggregate]
    if segment.table != RAW:
        what = recipe.rolled
        rows = f"FROM {segment.table} WHERE series = ? AND bucket >= ? AND bucket < ?"
        rows += " AND numbers > 0" if recipe.numbers else ""
        return _grouped(connection, "bucket", what, rows, (place.rollup, segment.start, segment.end), every, query)
    if query.aggregate == "last":
        return _newest_of_each(connection, place, segment, every, query.limit)
    column = f"v{place.slot}"
    what = recipe.raw.format(v=column)
    rows = "FROM points WHERE source = ? AND time >= ? AND time < ?"
    rows += f" AND {column} < ''" if recipe.numbers else f" AND {column} IS NOT NULL"
    span = (place.source, segment.start, segment.end)
    bucket = segment.start // every * every
    if segment.end > bucket + every:
        return _grouped(connection, "time", what, rows, span, every, query)
    # Within one bucket, without the sorting that grouping costs: three times as fast.
    first, second = schema.row(connection, f"SELECT {what} {rows}", span)
    return iter([(bucket, (first, second))] if second else [])


def _grouped(
    connection: apsw.Connection, time: str, what: str, rows: str, span: tuple[int, ...], every: int, query: Query
) -> Iterator[tuple[int, Partial]]:
    sql = f"SELECT {time} / ? * ?, {what} {rows} GROUP BY 1 ORDER BY 1 DESC LIMIT ?"
    for bucket, first, second in schema.rows(connection, sql, (every, every, *span, query.limit + 1)):
        yield bucket, (first, second)


def _newest_of_each(
    connection: apsw.Connection, place: Place, segment: Segment, every: int, limit: int
) -> Iterator[tuple[int, Partial]]:
    """The last value of each bucket: one look a bucket, however many rows it has."""
    sql = (
        f"SELECT time, v{place.slot} FROM points WHERE source = ? AND time >= ? AND time < ?"
        f" AND v{place.slot} IS NOT NULL ORDER BY time DESC, seq DESC LIMIT 1"
    )
    end = segment.end
    for _ in range(limit + 1):
        found = schema.row(connection, sql, (place.source, segment.start, end))
        if found is None:
            return
        end = found[0] // every * every
        yield end, (found[1], 1)
