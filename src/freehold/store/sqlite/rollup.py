# SPDX-License-Identifier: Apache-2.0
"""Rollups: count, sum, min, max and last of each minute and hour of each series.

A write only notes which minutes it touched (`stale_minutes`, in the same transaction). Later those minutes
are computed anew from the raw rows, so a repeat changes nothing and late data is counted by making its
minute stale again. The work is in three steps so that the writer's thread never scans rows: `claim` (writer:
which are due), `compute` (any thread, own connection, while writing goes on), `store` (writer: put the
results in, and keep the mark of a bucket that was written to meanwhile). Until then queries look at the raw
rows of stale buckets, so rollups change how fast an answer is and never what it says.

Hours come from minutes in the same way. Nothing before the session's floor is ever stale: raw values are
only deleted once everything before the new floor is rolled up.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import apsw
import msgspec

from freehold.core.clock import now_us
from freehold.store.sqlite import schema
from freehold.store.sqlite.schema import HOUR, MINUTE, SLOTS
from freehold.store.sqlite.session import MARK, ROLL_AFTER, Session, due
from freehold.store.sqlite.values import Stored, is_number

CLAIMED = 200
"""Buckets at once: bounds the transaction that stores them to some milliseconds."""


@dataclass(frozen=True, slots=True)
class Level:
    """Minutes or hours."""

    width: int
    table: str
    stale: str


MINUTES = Level(MINUTE, "minutes", "stale_minutes")
HOURS = Level(HOUR, "hours", "stale_hours")


@dataclass(frozen=True, slots=True)
class Claim:
    """A bucket of a source to compute. `writes` is how often it had been written to."""

    source: int
    bucket: int
    writes: int


Rollup = tuple[int, int, int, int, Stored, Stored, Stored, Stored]
"""A row of `minutes` or `hours`: series, bucket, count, numbers, sum, min, max, last."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a claimed bucket comes to. `application` is None when its source is gone."""

    claim: Claim
    application: str | None
    rollups: Sequence[Rollup]


def claim(session: Session, level: Level, *, before: int | None = None) -> list[Claim]:
    """Buckets to compute: those that are due, or all that begin before `before`. In the writer's thread."""
    # Whatever is written from here on must mark its minute again: the computation may not see it.
    session.stale.clear()
    where, bound = ("due <= ?", now_us()) if before is None else ("bucket < ?", before)
    order = "due" if before is None else "source, bucket"
    sql = f"SELECT source, bucket, writes FROM {level.stale} WHERE {where} ORDER BY {order} LIMIT ?"
    return [Claim(*found) for found in schema.rows(session.connection, sql, (bound, CLAIMED))]


def compute(connection: apsw.Connection, level: Level, claims: Sequence[Claim]) -> list[Result]:
    """What `claims` come to, as the file is now."""
    return [_compute(connection, level, claim) for claim in claims]


def store(session: Session, level: Level, results: Sequence[Result]) -> None:
    """Put `results` in place of what was there. In the writer's thread, within a transaction."""
    counted: Counter[str] = Counter()
    for result in results:
        if result.application is not None:
            added = _replace(session.connection, level, result)
            if level is MINUTES:
                counted[result.application] += added
        _unmark(session.connection, level, result.claim)
    if level is MINUTES:
        hours = {(result.claim.source, hour_of(result.claim.bucket)) for result in results}
        marks = ((source, hour, due(hour, HOUR)) for source, hour in sorted(hours))
        session.connection.executemany(MARK.format(table=HOURS.stale), marks)
    count_points(session.connection, counted)


def count_points(connection: apsw.Connection, added: Counter[str]) -> None:
    """Keep the number of rolled-up points of each application."""
    sql = "INSERT INTO applications (application, points) VALUES (?, ?) ON CONFLICT DO UPDATE SET points = points + ?"
    connection.executemany(sql, ((application, max(n, 0), n) for application, n in added.items() if n))


def hour_of(minute: int) -> int:
    return minute - minute % HOUR


def _replace(connection: apsw.Connection, level: Level, result: Result) -> int:
    """Returns by how many points the bucket grew."""
    first = result.claim.source * SLOTS
    sql = (
        f"DELETE FROM {level.table} WHERE series IN ({', '.join(str(first + slot) for slot in range(SLOTS))})"
        " AND bucket = ? RETURNING count"
    )
    before: int = sum(count for (count,) in schema.rows(connection, sql, (result.claim.bucket,)))
    connection.executemany(f"INSERT INTO {level.table} VALUES (?, ?, ?, ?, ?, ?, ?, ?)", result.rollups)
    return sum(rollup[2] for rollup in result.rollups) - before


def _unmark(connection: apsw.Connection, level: Level, claim: Claim) -> None:
    place = (claim.source, claim.bucket)
    sql = f"DELETE FROM {level.stale} WHERE source = ? AND bucket = ? AND writes = ?"
    schema.run(connection, sql, (*place, claim.writes))
    if not connection.changes():  # written to meanwhile: once more, and not at once
        sql = f"UPDATE {level.stale} SET due = ? WHERE source = ? AND bucket = ?"
        schema.run(connection, sql, (now_us() + ROLL_AFTER, *place))


def _compute(connection: apsw.Connection, level: Level, claim: Claim) -> Result:
    found = schema.row(connection, "SELECT application, fields FROM sources WHERE id = ?", (claim.source,))
    if found is None:
        return Result(claim, None, ())
    application, fields = found
    slots = range(len(msgspec.json.decode(fields)))
    make = _from_raw if level is MINUTES else _from_minutes
    return Result(claim, application, make(connection, claim, slots))


def _from_raw(connection: apsw.Connection, claim: Claim, slots: range) -> list[Rollup]:
    span = (claim.source, claim.bucket, claim.bucket + MINUTE)
    where = "FROM points WHERE source = ? AND time >= ? AND time < ?"
    columns = ", ".join(f"count(v{slot}), total(v{slot}), min(v{slot}), max(v{slot})" for slot in slots)
    # One scan for all fields; text counts in these numbers only where a field has other values than numbers.
    found = schema.row(connection, f"SELECT {columns} {where}", span)
    rollups: list[Rollup] = []
    for slot in slots:
        count, total, least, most = found[slot * 4 : slot * 4 + 4]
        if not count:
            continue
        numbers = count
        if not is_number(most):
            sql = f"SELECT count(v{slot}), total(v{slot}), min(v{slot}), max(v{slot}) {where} AND v{slot} < ''"
            numbers, total, least, most = schema.row(connection, sql, span)
        sql = f"SELECT v{slot} {where} AND v{slot} IS NOT NULL ORDER BY time DESC, seq DESC LIMIT 1"
        last = schema.row(connection, sql, span)[0]
        rollups.append(_rollup(claim, slot, count, numbers, total, least, most, last))
    return rollups


def _from_minutes(connection: apsw.Connection, claim: Claim, slots: range) -> list[Rollup]:
    # `max(bucket)` makes `last` that of the newest minute (SQLite's bare columns); so the other maximum, which
    # would make that ambiguous, is asked for apart.
    sql = (
        "SELECT sum(count), sum(numbers), total(sum), (SELECT min(min) FROM minutes WHERE {0}),"
        " (SELECT max(max) FROM minutes WHERE {0}), last, max(bucket) FROM minutes WHERE {0}"
    ).format("series = ?1 AND bucket >= ?2 AND bucket < ?3")
    rollups: list[Rollup] = []
    for slot in slots:
        series = claim.source * SLOTS + slot
        count, numbers, total, least, most, last, _ = schema.row(
            connection, sql, (series, claim.bucket, claim.bucket + HOUR)
        )
        if count:
            rollups.append(_rollup(claim, slot, count, numbers, total, least, most, last))
    return rollups


def _rollup(
    claim: Claim, slot: int, count: int, numbers: int, total: float | None, least: Stored, most: Stored, last: Stored
) -> Rollup:
    # Plus and minus infinity are no number together, which SQLite says as NULL: no double holds this sum.
    total = float("inf") if total is None else total
    return claim.source * SLOTS + slot, claim.bucket, count, numbers, total, least, most, last
