# SPDX-License-Identifier: Apache-2.0
"""Series → JSON, CSV and Arrow, in pieces: a large answer is never held twice, and never holds up the loop.

CSV and Arrow have one row a point. Arrow has typed columns instead of one that could be anything: `value`
holds every number (a bool as 0 or 1), `integer` integers exactly, `boolean` and `text` what they say.
"""

from __future__ import annotations

import asyncio
import csv
import io
from array import array
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import msgspec
import nanoarrow
from nanoarrow.ipc import StreamWriter

from freehold.core.clock import to_rfc3339
from freehold.store.interfaces import Query, Series, Value
from freehold.store.params import ARROW, CSV, JSON

PIECE = 2000
"""Points in one piece of CSV or Arrow: a few milliseconds."""

_encode = msgspec.json.Encoder().encode

_COLUMNS = {
    "time": nanoarrow.timestamp("us", "UTC"),
    "device": nanoarrow.string(),
    "measurement": nanoarrow.string(),
    "field": nanoarrow.string(),
    "value": nanoarrow.float64(),
    "integer": nanoarrow.int64(),
    "boolean": nanoarrow.bool_(),
    "text": nanoarrow.string(),
}
_ARROW_SCHEMA = nanoarrow.struct(_COLUMNS)


async def render(media: str, query: Query, found: Sequence[Series]) -> AsyncIterator[bytes]:
    """The body, piece by piece."""
    makers: dict[str, Callable[[Query, Sequence[Series]], Iterator[bytes]]] = {
        JSON: to_json,
        CSV: to_csv,
        ARROW: to_arrow,
    }
    for piece in makers[media](query, found):
        yield piece
        await asyncio.sleep(0)  # between two pieces others get their turn


def to_json(query: Query, found: Sequence[Series]) -> Iterator[bytes]:
    """An object with the query's range and `series`; times are microseconds since 1970 UTC."""
    head = {
        "start": to_rfc3339(query.start),
        "end": to_rfc3339(query.end),
        "everySeconds": None if query.every is None else query.every / 1_000_000,
        "aggregate": None if query.every is None else query.aggregate,
    }
    yield _encode(head)[:-1] + b',"series":['
    for index, series in enumerate(found):
        yield (b"," if index else b"") + _encode(series)
    yield b"]}"


def to_csv(_query: Query, found: Sequence[Series]) -> Iterator[bytes]:
    """RFC 4180 with a header line; times are RFC 3339, bools `true` and `false`."""
    yield b"time,device,measurement,field,value\r\n"
    for series, times, values in _pieces(found):
        text = io.StringIO()
        names = (series.device, series.measurement, series.field)
        csv.writer(text).writerows(
            (to_rfc3339(time), *names, _plain(value)) for time, value in zip(times, values, strict=True)
        )
        yield text.getvalue().encode()


def to_arrow(_query: Query, found: Sequence[Series]) -> Iterator[bytes]:
    """Arrow's IPC stream: one record batch a piece."""
    out = io.BytesIO()
    with StreamWriter.from_writable(out) as writer:
        writer.write_stream(nanoarrow.c_array([], _ARROW_SCHEMA))  # the schema, were there nothing else
        for series, times, values in _pieces(found):
            writer.write_array(_record_batch(series, times, values))
            yield _taken(out)
    yield _taken(out)


def _record_batch(series: Series, times: Sequence[int], values: Sequence[Value]) -> Any:
    length = len(times)
    columns: list[Any] = [
        nanoarrow.c_array_from_buffers(_COLUMNS["time"], length, [None, array("q", times)]),
        *(
            nanoarrow.c_array([name] * length, nanoarrow.string())
            for name in (series.device, series.measurement, series.field)
        ),
        nanoarrow.c_array([None if isinstance(v, str) else float(v) for v in values], _COLUMNS["value"]),
        nanoarrow.c_array([v if type(v) is int else None for v in values], _COLUMNS["integer"]),
        nanoarrow.c_array([v if isinstance(v, bool) else None for v in values], _COLUMNS["boolean"]),
        nanoarrow.c_array([v if isinstance(v, str) else None for v in values], _COLUMNS["text"]),
    ]
    return nanoarrow.c_array_from_buffers(_ARROW_SCHEMA, length, [None], children=columns)


def _pieces(found: Sequence[Series]) -> Iterator[tuple[Series, Sequence[int], Sequence[Value]]]:
    for series in found:
        for at in range(0, len(series.times), PIECE):
            yield series, series.times[at : at + PIECE], series.values[at : at + PIECE]


def _plain(value: Value) -> Value:
    return ("false", "true")[value] if isinstance(value, bool) else value


def _taken(out: io.BytesIO) -> bytes:
    data = out.getvalue()
    out.seek(0)
    out.truncate()
    return data
