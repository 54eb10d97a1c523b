# SPDX-License-Identifier: Apache-2.0
"""Answers to `Query`, series by series, and what came newer than a viewer has seen."""

from __future__ import annotations

from collections.abc import Mapping

import apsw

from freehold.core.errors import QUERY_INVALID
from freehold.store.interfaces import Query, Series, SeriesKey
from freehold.store.sqlite import schema
from freehold.store.sqlite.aggregate import aggregated
from freehold.store.sqlite.places import Place, places
from freehold.store.sqlite.values import from_stored

LATEST = (1 << 63) - 1


def answer(connection: apsw.Connection, query: Query, most: int) -> list[Series]:
    """The series with points. Raises `telemetry.query.invalid` above `most` points."""
    if query.every is not None and query.every < 1:
        raise QUERY_INVALID.error("`every` must be longer than nothing")
    floors = dict(schema.rows(connection, "SELECT name, time FROM floors"))
    found: list[Series] = []
    points = 0
    for place in places(connection, query.application, query.devices, query.measurements, query.fields):
        if query.every is None:
            series = raw(connection, place, max(query.start, floors.get("raw", 0)), query.end, query.limit)
        else:
            series = aggregated(connection, place, query, query.every, floors)
        if series is not None:
            points += len(series.times)
            if points > most:
                raise QUERY_INVALID.error(
                    f"the answer has more than {most} points: choose a shorter range, a longer `every`,"
                    " fewer series or a smaller `limit`"
                )
            found.append(series)
    return found


def newer(connection: apsw.Connection, application: str, after: Mapping[SeriesKey, int], limit: int) -> list[Series]:
    """Of each series the newest `limit` values past the time given."""
    known = places(connection, application, devices=sorted({device for device, _, _ in after}))
    found = (raw(connection, place, after[place.key] + 1, LATEST, limit) for place in known if place.key in after)
    return [series for series in found if series is not None]


def raw(connection: apsw.Connection, place: Place, start: int, end: int, limit: int) -> Series | None:
    """The newest `limit` values in [start, end), None when there are none."""
    sql = (
        f"SELECT time, v{place.slot} FROM points WHERE source = ? AND time >= ? AND time < ?"
        f" AND v{place.slot} IS NOT NULL ORDER BY time DESC, seq DESC LIMIT ?"
    )
    found = schema.rows(connection, sql, (place.source, start, end, limit))
    if not found:
        return None
    found.reverse()
    times, values = zip(*found, strict=True)
    return Series(place.device, place.measurement, place.field, times, from_stored(values))
