# SPDX-License-Identifier: Apache-2.0
"""The three forms of an answer, read back by readers of others: `json`, `csv` and Apache's pyarrow."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.core.clock import to_rfc3339
from freehold.store.formats import PIECE, render, to_arrow, to_csv, to_json
from freehold.store.interfaces import Query, Series, Value
from freehold.store.params import ARROW, CSV, JSON
from tests.store.telemetry import APP, MINUTE, T0, typed

QUERY = Query(APP, T0, T0 + 10)
MIXED: list[Value] = [1, 2.5, True, False, "text", -(2**63), 2**53 + 1, 1e308, "", 'a"b,c\nd', "=cmd()", "\x00é"]
SERIES = [
    Series("pi1", "state", "x", list(range(T0, T0 + len(MIXED))), MIXED),
    Series('d"1,\n', "größe", "=f", (T0,), (0.1,)),
]


def body(pieces: Any) -> bytes:
    return b"".join(pieces)


def test_json() -> None:
    answer = json.loads(body(to_json(QUERY, SERIES)))
    assert answer["start"] == to_rfc3339(T0)
    assert answer["end"] == to_rfc3339(T0 + 10)
    assert (answer["everySeconds"], answer["aggregate"]) == (None, None)
    first, second = answer["series"]
    assert (first["device"], first["measurement"], first["field"]) == ("pi1", "state", "x")
    assert first["times"] == list(range(T0, T0 + len(MIXED)))
    assert typed(first["values"]) == typed(MIXED)
    assert second["values"] == [0.1]


def test_json_says_how_it_was_aggregated() -> None:
    answer = json.loads(body(to_json(Query(APP, T0, T0, every=MINUTE, aggregate="max"), [])))
    assert (answer["everySeconds"], answer["aggregate"], answer["series"]) == (60, "max", [])


def test_csv() -> None:
    rows = list(csv.reader(io.StringIO(body(to_csv(QUERY, SERIES)).decode(), newline="")))
    assert rows[0] == ["time", "device", "measurement", "field", "value"]
    assert [row[4] for row in rows[1:]] == [
        "1",
        "2.5",
        "true",
        "false",
        "text",
        "-9223372036854775808",
        "9007199254740993",
        "1e+308",
        "",
        'a"b,c\nd',
        "=cmd()",
        "\x00é",
        "0.1",
    ]
    assert rows[2][:4] == [to_rfc3339(T0 + 1), "pi1", "state", "x"]
    assert rows[-1][:4] == [to_rfc3339(T0), 'd"1,\n', "größe", "=f"]


def read_arrow(data: bytes) -> pa.Table:
    table = pa.ipc.open_stream(data).read_all()
    table.validate(full=True)
    return table


def test_arrow() -> None:
    table = read_arrow(body(to_arrow(QUERY, SERIES)))
    assert table.schema.names == ["time", "device", "measurement", "field", "value", "integer", "boolean", "text"]
    assert table.schema.field("time").type == pa.timestamp("us", "UTC")
    assert table.column("time").cast(pa.int64()).to_pylist() == [*range(T0, T0 + len(MIXED)), T0]
    numbers = [None if isinstance(value, str) else float(value) for value in MIXED]
    assert table.column("value").to_pylist() == [*numbers, 0.1]
    integers = [value if type(value) is int else None for value in MIXED]
    assert table.column("integer").to_pylist() == [*integers, None]
    assert table.column("boolean").to_pylist() == [v if isinstance(v, bool) else None for v in MIXED] + [None]
    assert table.column("text").to_pylist() == [v if isinstance(v, str) else None for v in MIXED] + [None]
    assert set(table.column("device").to_pylist()) == {"pi1", 'd"1,\n'}


def test_an_empty_answer_has_its_columns() -> None:
    assert read_arrow(body(to_arrow(QUERY, []))).num_rows == 0
    assert body(to_csv(QUERY, [])) == b"time,device,measurement,field,value\r\n"
    assert json.loads(body(to_json(QUERY, [])))["series"] == []


@pytest.mark.parametrize("count", [PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 5])
def test_long_series_come_in_pieces_and_whole(count: int) -> None:
    long = [Series("d", "m", "f", list(range(T0, T0 + count)), [n / 2 for n in range(count)])]
    table = read_arrow(body(to_arrow(QUERY, long)))
    assert table.column("value").to_pylist() == [n / 2 for n in range(count)]
    pieces = list(to_csv(QUERY, long))
    assert len(pieces) == 1 + -(-count // PIECE)
    assert body(pieces).count(b"\r\n") == count + 1


async def test_render_is_what_the_media_type_says() -> None:
    for media, maker in ((JSON, to_json), (CSV, to_csv), (ARROW, to_arrow)):
        assert b"".join([piece async for piece in render(media, QUERY, SERIES)]) == body(maker(QUERY, SERIES))


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
VALUES = st.one_of(
    st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), TEXTS
)


@given(st.lists(st.tuples(TEXTS, TEXTS, TEXTS, st.lists(VALUES, min_size=1, max_size=5)), max_size=4))
def test_what_goes_in_comes_out(parts: list[tuple[str, str, str, list[Value]]]) -> None:
    found = [Series(*names, list(range(T0, T0 + len(values))), values) for *names, values in parts]
    answer = json.loads(body(to_json(QUERY, found)))
    assert [typed(series["values"]) for series in answer["series"]] == [typed(series.values) for series in found]
    table = read_arrow(body(to_arrow(QUERY, found)))
    columns = (table.column(name).to_pylist() for name in ("device", "measurement", "field"))
    names = [(series.device, series.measurement, series.field) for series in found for _ in series.times]
    assert list(zip(*columns, strict=True)) == names
    assert table.column("text").to_pylist() == [v if isinstance(v, str) else None for s in found for v in s.values]
