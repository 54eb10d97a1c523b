# SPDX-License-Identifier: Apache-2.0
"""The plan of a query: every microsecond of the range once, in order, and nothing stale from a rollup."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.store.sqlite.segments import HOURS, MINUTES, RAW, plan
from tests.store.telemetry import DAY, HOUR, MINUTE, SECOND, T0


def planned(start: int, end: int, every: int, **rest: object) -> list[tuple[str, int, int]]:
    given = {"floor": 0, "stale_minutes": [], "stale_hours": []} | rest
    return [(segment.table, segment.start - T0, segment.end - T0) for segment in plan(start, end, every, **given)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("start", "end", "every", "expected"),
    [
        (0, DAY, DAY, [(HOURS, 0, DAY)]),
        (0, HOUR, MINUTE, [(MINUTES, 0, HOUR)]),
        (0, HOUR, 30 * SECOND, [(RAW, 0, HOUR)]),
        (0, HOUR, 90 * SECOND, [(RAW, 0, HOUR)]),
        (5, 2 * HOUR + 7, MINUTE, [(RAW, 5, MINUTE), (MINUTES, MINUTE, 2 * HOUR), (RAW, 2 * HOUR, 2 * HOUR + 7)]),
        (
            5,
            3 * HOUR - 7,
            HOUR,
            [
                (RAW, 5, MINUTE),
                (MINUTES, MINUTE, HOUR),
                (HOURS, HOUR, 2 * HOUR),
                (MINUTES, 2 * HOUR, 3 * HOUR - MINUTE),
                (RAW, 3 * HOUR - MINUTE, 3 * HOUR - 7),
            ],
        ),
        (5, 50, HOUR, [(RAW, 5, 50)]),
        (MINUTE - 5, MINUTE + 5, MINUTE, [(RAW, MINUTE - 5, MINUTE + 5)]),
        (7, 7, HOUR, []),
        (9, 7, HOUR, []),
    ],
)
def test_plan(start: int, end: int, every: int, expected: list[tuple[str, int, int]]) -> None:
    assert planned(T0 + start, T0 + end, every) == expected


def test_stale_buckets_are_read_a_level_below() -> None:
    assert planned(T0, T0 + 3 * HOUR, HOUR, stale_minutes=[T0 + HOUR + 2 * MINUTE], stale_hours=[T0 + 2 * HOUR]) == [
        (HOURS, 0, HOUR),
        (MINUTES, HOUR, HOUR + 2 * MINUTE),
        (RAW, HOUR + 2 * MINUTE, HOUR + 3 * MINUTE),
        (MINUTES, HOUR + 3 * MINUTE, 3 * HOUR),
    ]


def test_neighbours_are_one_segment() -> None:
    stale = [T0 + n * MINUTE for n in range(60)]
    assert planned(T0 - 1, T0 + HOUR, MINUTE, stale_minutes=stale) == [(RAW, -1, HOUR)]


def test_before_the_floor_only_whole_buckets_count() -> None:
    assert planned(T0 + 5, T0 + HOUR + 5, MINUTE, floor=T0 + HOUR) == [
        (MINUTES, MINUTE, HOUR),
        (RAW, HOUR, HOUR + 5),
    ]
    assert planned(T0, T0 + HOUR, SECOND, floor=T0 + HOUR - 9) == [(RAW, HOUR - 9, HOUR)]
    assert planned(T0, T0 + HOUR, SECOND, floor=T0 + HOUR) == []


MOMENTS = st.integers(0, 3 * DAY).map(lambda n: T0 + n)
BUCKETS = st.lists(st.integers(0, 3 * 24 * 60), max_size=30)


@given(
    MOMENTS,
    MOMENTS,
    st.sampled_from([1, SECOND, MINUTE, 5 * MINUTE, HOUR, DAY]),
    BUCKETS,
    BUCKETS,
)
def test_a_plan_covers_the_range_once_and_reads_nothing_stale(
    start: int, end: int, every: int, minutes: list[int], hours: list[int]
) -> None:
    stale_minutes = sorted({T0 + n * MINUTE for n in minutes})
    stale_hours = sorted({T0 + n // 60 * HOUR for n in hours})
    segments = plan(start, end, every, floor=0, stale_minutes=stale_minutes, stale_hours=stale_hours)
    at = start
    for segment in segments:
        assert segment.start == at
        assert segment.end > segment.start
        at = segment.end
        if segment.table != RAW:
            width = MINUTE if segment.table == MINUTES else HOUR
            assert segment.start % width == segment.end % width == 0
            assert every % width == 0
            assert not any(segment.start <= minute < segment.end for minute in stale_minutes)
        if segment.table == HOURS:
            assert not any(segment.start <= hour < segment.end for hour in stale_hours)
    assert at == max(start, end) if segments else start >= end
