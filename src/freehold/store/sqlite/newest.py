# SPDX-License-Identifier: Apache-2.0
"""The newest value of each series, and what an application holds: what lists and overviews ask for.

The newest row of a source is one look into the tree and answers for nearly all of its fields. Only for a
field that this row lacks is its own newest value looked for, along the rollups, so that a field that was
sent once a year ago does not cost a walk through a year.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import apsw

from freehold.store.interfaces import SeriesInfo, StoreStats
from freehold.store.sqlite import schema
from freehold.store.sqlite.places import Place, places
from freehold.store.sqlite.schema import MINUTE
from freehold.store.sqlite.values import Stored, from_stored

_SPAN = "FROM points WHERE source = ? AND time >= ? AND time < ?"


def newest(connection: apsw.Connection, application: str, devices: Sequence[str]) -> list[SeriesInfo]:
    """All series with a value, by device, measurement and field."""
    found: list[SeriesInfo] = []
    by_source = sorted(places(connection, application, devices), key=lambda place: place.source)
    for source, group in groupby(by_source, key=lambda place: place.source):
        listed = list(group)
        columns = ", ".join(f"v{place.slot}" for place in listed)
        sql = f"SELECT time, {columns} FROM points WHERE source = ? ORDER BY time DESC, seq DESC LIMIT 1"
        time, *values = schema.row(connection, sql, (source,)) or (0, *[None] * len(listed))
        for place, value in zip(listed, values, strict=True):
            point = (time, value) if value is not None else _search(connection, place)
            if point is not None:
                (last,) = from_stored([point[1]])
                found.append(SeriesInfo(place.device, place.measurement, place.field, point[0], last))
    return sorted(found, key=lambda info: (info.device, info.measurement, info.field))


def stats(connection: apsw.Connection, application: str) -> StoreStats:
    """Exact but for `bytes`, which shares the file's size by points."""
    points = _rolled_points(connection, application) + _stale_points(connection, application)
    (everything,) = schema.row(connection, "SELECT ifnull(sum(points), 0) FROM applications")
    pages = connection.pragma("page_count") * connection.pragma("page_size")
    sql = "SELECT count(*) FROM dead_letters WHERE application = ?"
    (letters,) = schema.row(connection, sql, (application,))
    sql = (
        "SELECT min((SELECT min(time) FROM points WHERE source = s.id AND time >= ?)) FROM sources s"
        " WHERE s.application = ?"
    )
    (oldest,) = schema.row(connection, sql, (_floor(connection), application))
    return StoreStats(points, round(pages * points / max(everything, points, 1)), letters, oldest)


def _floor(connection: apsw.Connection) -> int:
    found = schema.row(connection, "SELECT time FROM floors WHERE name = 'raw'")
    return found[0] if found else 0


def _rolled_points(connection: apsw.Connection, application: str) -> int:
    found = schema.row(connection, "SELECT points FROM applications WHERE application = ?", (application,))
    return found[0] if found else 0


def _stale_points(connection: apsw.Connection, application: str) -> int:
    """By how much the stale minutes differ from their rollups: what came since."""
    points = 0
    for source, group in groupby(places_by_source(connection, application), key=lambda place: place.source):
        listed = list(group)
        columns = " + ".join(f"count(v{place.slot})" for place in listed)
        marks = "SELECT bucket FROM stale_minutes WHERE source = ?"
        rolled = f"SELECT ifnull(sum(count), 0) FROM minutes WHERE bucket = ? AND series IN ({_numbers(listed)})"
        for (minute,) in schema.rows(connection, marks, (source,)):
            (now,) = schema.row(connection, f"SELECT {columns} {_SPAN}", (source, minute, minute + MINUTE))
            (then,) = schema.row(connection, rolled, (minute,))
            points += now - then
    return points


def places_by_source(connection: apsw.Connection, application: str) -> list[Place]:
    return sorted(places(connection, application), key=lambda place: place.source)


def _numbers(listed: Sequence[Place]) -> str:
    return ", ".join(str(place.rollup) for place in listed)


def _search(connection: apsw.Connection, place: Place) -> tuple[int, Stored] | None:
    """A field's newest value: in stale minutes newer than its newest rollup, else in that rollup's minute."""
    sql = "SELECT bucket, last FROM minutes WHERE series = ? ORDER BY bucket DESC LIMIT 1"
    rolled = schema.row(connection, sql, (place.rollup,))
    sql = "SELECT bucket FROM stale_minutes WHERE source = ? AND bucket >= ? ORDER BY bucket DESC"
    stale = schema.rows(connection, sql, (place.source, rolled[0] if rolled else 0))
    minutes = [minute for (minute,) in stale] + ([rolled[0]] if rolled else [])
    sql = f"SELECT time, v{place.slot} {_SPAN} AND v{place.slot} IS NOT NULL ORDER BY time DESC, seq DESC LIMIT 1"
    for minute in minutes:
        found = schema.row(connection, sql, (place.source, minute, minute + MINUTE))
        if found is not None:
            return found[0], found[1]
    # The raw value is gone: the minute's start stands for its time.
    return (rolled[0], rolled[1]) if rolled else None
