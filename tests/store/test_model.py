# SPDX-License-Identifier: Apache-2.0
"""Random lives of a store beside the naive one: whatever was written, repeated, late, settled or not, every
query has the same answer."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freehold.store.interfaces import Batch, Query, Row, Value
from tests.store.engines import ENGINES, Engine
from tests.store.naive import Key, Naive, Points
from tests.store.telemetry import APP, DAY, HOUR, MINUTE, OTHER, SECOND, T0, Both, Telemetry, as_dict

# Edges of minutes, hours and days come up often; so do ties and neighbours.
TIMES = st.builds(
    lambda day, hour, minute, rest: T0 + day * DAY + hour * HOUR + minute * MINUTE + rest,
    st.integers(0, 2),
    st.sampled_from([0, 1, 12, 23]),
    st.sampled_from([0, 1, 30, 59]),
    st.sampled_from([0, 1, 2, SECOND, 30 * SECOND, MINUTE - 1]),
)
# Whole multiples of a quarter, far from where doubles end: sums are exact in any order, so answers are equal.
NUMBERS = st.one_of(st.integers(-1000, 1000), st.integers(-4000, 4000).map(lambda n: n / 4))
VALUES: st.SearchStrategy[Value] = st.one_of(NUMBERS, NUMBERS, st.booleans(), st.sampled_from(["", "a", "12", "\x01"]))
FIELDS = st.dictionaries(st.sampled_from(["x", "y", *(f"n{n}" for n in range(20))]), VALUES, min_size=1, max_size=20)
ROWS = st.builds(
    Row,
    st.sampled_from([APP, APP, APP, OTHER]),
    st.sampled_from(["a", "b"]),
    st.sampled_from(["m", "n"]),
    TIMES,
    st.integers(0, 2),
    FIELDS,
)
QUERIES = st.builds(
    Query,
    st.just(APP),
    st.one_of(st.just(0), TIMES),
    st.one_of(st.just(1 << 62), TIMES),
    devices=st.sampled_from([(), ("a",)]),
    measurements=st.sampled_from([(), ("n", "m"), ("n",)]),
    fields=st.sampled_from([(), (), ("x", "n3")]),
    every=st.sampled_from([None, 1, SECOND, 45 * SECOND, MINUTE, 7 * MINUTE, HOUR, 3 * HOUR, DAY]),
    aggregate=st.sampled_from(["mean", "min", "max", "sum", "count", "last"]),
    limit=st.sampled_from([1, 2, 1000]),
)
STEPS = st.lists(
    st.one_of(
        st.lists(ROWS, min_size=1, max_size=12),
        st.sampled_from(["settle", "again", "restart"]),
    ),
    min_size=1,
    max_size=8,
)


def _one_of_each(rows: list[Row]) -> list[Row]:
    """What a batch holds: a row once, as events have ids of their own."""
    return list({(row.application, row.device, row.measurement, row.time, row.seq): row for row in rows}.values())


def _marked(answer: dict[Key, Points]) -> dict[Key, list[tuple[int, Value, bool]]]:
    """With bools told from the numbers that Python takes them for."""
    return {key: [(time, value, isinstance(value, bool)) for time, value in points] for key, points in answer.items()}


async def _live(engine: Engine, place: Path, steps: list[Any], queries: list[Query]) -> None:
    telemetry, naive = Telemetry(engine, place), Naive()
    both = Both(telemetry, await telemetry.open(), telemetry.reader())
    last: list[Row] = []
    try:
        for step in steps:
            match step:
                case "settle":
                    await both.settle()
                case "again":
                    await both.writer.write(Batch(rows=last))
                case "restart":
                    await telemetry.close()
                    both = Both(telemetry, await telemetry.open(), telemetry.reader())
                case _:
                    last = _one_of_each(step)
                    naive.write(last)
                    await both.writer.write(Batch(rows=last))
        for query in queries:
            assert _marked(as_dict(await both.reader.query(query))) == _marked(naive.query(query)), query
        points = naive.points(APP)
        newest = {(info.device, info.measurement, info.field): info for info in await both.reader.series(APP)}
        assert {key: (i.last_time, i.last_value) for key, i in newest.items()} == {k: p[-1] for k, p in points.items()}
        assert (await both.reader.stats(APP)).points == sum(map(len, points.values()))
        after = dict.fromkeys(points, T0 + DAY)
        newer = {key: [p for p in listed if p[0] > T0 + DAY][-3:] for key, listed in points.items()}
        assert as_dict(await both.reader.newer(APP, after, limit=3)) == {k: p for k, p in newer.items() if p}
    finally:
        await telemetry.close()


@pytest.mark.parametrize("name", list(ENGINES))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(steps=STEPS, queries=st.lists(QUERIES, min_size=1, max_size=12))
def test_every_query_has_the_naive_answer(name: str, steps: list[Any], queries: list[Query]) -> None:
    place = Path(tempfile.mkdtemp())
    try:
        asyncio.run(_live(ENGINES[name], place, steps, queries))
    finally:
        shutil.rmtree(place)
