# SPDX-License-Identifier: Apache-2.0
"""Time: strictly increasing stamps, and RFC 3339 there and back."""

from __future__ import annotations

import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.core.clock import from_rfc3339, now_us, to_rfc3339

FIRST_US = -62_135_596_800_000_000  # 0001-01-01
LAST_US = 253_402_300_799_999_999  # 9999-12-31
times = st.integers(FIRST_US, LAST_US)


def test_stamps_only_grow() -> None:
    stamps = [now_us() for _ in range(200_000)]
    assert all(before < after for before, after in pairwise(stamps))


def test_stamps_are_the_time() -> None:
    before = time.time_ns() // 1000
    stamp = now_us()
    # Microseconds in which another test took more stamps than there were are lent from the future.
    assert before <= stamp <= time.time_ns() // 1000 + 1_000_000


def test_a_clock_set_back_does_not_set_stamps_back(monkeypatch: pytest.MonkeyPatch) -> None:
    before = now_us()
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    assert [now_us() for _ in range(3)] == [before + 1, before + 2, before + 3]


@given(times)
def test_text_and_back(time_us: int) -> None:
    text = to_rfc3339(time_us)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", text, re.ASCII)
    assert from_rfc3339(text) == time_us


@given(times, times)
def test_text_sorts_like_time(one: int, other: int) -> None:
    assert (to_rfc3339(one) < to_rfc3339(other)) == (one < other)


@given(times)
def test_text_is_what_the_standard_library_reads(time_us: int) -> None:
    expected = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us)
    assert datetime.fromisoformat(to_rfc3339(time_us)) == expected


@given(
    st.datetimes(min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1)),
    st.integers(-23 * 60 - 59, 23 * 60 + 59),
    st.sampled_from(["T", "t", " "]),
)
def test_any_offset_is_read(moment: datetime, offset: int, separator: str) -> None:
    aware = moment.replace(tzinfo=timezone(timedelta(minutes=offset)))
    text = aware.isoformat(sep=separator)
    expected = (aware - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert from_rfc3339(text) == expected


@pytest.mark.parametrize(
    ("text", "time_us"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:00z", 0),
        ("1970-01-01T00:00:00.000001Z", 1),
        ("1970-01-01T00:00:00.0000019Z", 1),
        ("1970-01-01T00:00:00.1Z", 100_000),
        ("1969-12-31T23:59:59.999999Z", -1),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1969-12-31T20:00:00-04:00", 0),
        ("2026-11-22T02:00:00.123456-00:00", 1_795_312_800_123_456),
        ("1970-01-01T00:00:00." + "1" * 500 + "Z", 111_111),
    ],
)
def test_times_of_the_rfc(text: str, time_us: int) -> None:
    assert from_rfc3339(text) == time_us


@pytest.mark.parametrize(
    "text",
    [
        *("", "now", "2026", "2026-11-22", "2026-W47-7", "2026-W47-7T00:00:00Z", "2026-326T00:00:00Z"),
        *("2026-11-22T02:00:00", "2026-11-22T02:00Z", "2026-11-22T02Z", "20261122T020000Z", "2026-11-22T020000Z"),
        *("2026-11-22T02:00:00,5Z", "2026-11-22T02:00:00.Z", "2026-11-22T02:00:00+0100", "2026-11-22T02:00:00+01"),
        *("2026-11-22T02:00:00+01:00:30", "2026-11-22T24:00:00Z", "2026-11-22T23:59:60Z", "2026-13-01T00:00:00Z"),
        *("2026-02-30T00:00:00Z", "2026-11-22T02:00:00+99:99", "0000-01-01T00:00:00Z", "2026-11-22T02:00:00ZZ"),
        *(" 2026-11-22T02:00:00Z", "2026-11-22T02:00:00Z\n", "2026-11-22_02:00:00Z", "+2026-11-22T02:00:00Z"),
        *("\u0662\u0660\u0662\u0666-11-22T02:00:00Z", "2026-11-22T02:00:00\ud800", "2026-11-22T02:00:00Z\0"),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - what it says is for people
        from_rfc3339(text)


@given(st.text(max_size=40))
def test_any_text_is_a_time_or_refused(text: str) -> None:
    try:
        time_us = from_rfc3339(text)
    except ValueError:
        return
    assert FIRST_US - 86_400_000_000 <= time_us <= LAST_US + 86_400_000_000


def test_the_running_second_is_not_another_threads() -> None:
    """The text of a second is kept: two threads in different seconds must not get each other's."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def write(second: int) -> set[str]:
        return {to_rfc3339((second + n % 2) * 1_000_000) for n in range(20_000)}

    try:
        with ThreadPoolExecutor(4) as pool:
            futures = {second: pool.submit(write, second) for second in (0, 100, 200, 300)}
            found = {second: future.result() for second, future in futures.items()}
    finally:
        sys.setswitchinterval(usual)
    for second, texts in found.items():
        assert {from_rfc3339(text) for text in texts} == {second * 1_000_000, (second + 1) * 1_000_000}
