# SPDX-License-Identifier: Apache-2.0
"""What people write in a telemetry URL, and what they are told when it cannot be read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.core.errors import QUERY_INVALID, FreeholdError
from freehold.store.params import ARROW, CSV, JSON, choose_format, parse_duration, parse_time
from freehold.store.rows import LATEST
from tests.store.telemetry import DAY, HOUR, MINUTE, SECOND

NOW = 1_700_000_000 * SECOND


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", NOW),
        ("-1h", NOW - HOUR),
        ("now-1h", NOW - HOUR),
        ("+30s", NOW + 30 * SECOND),
        ("-7d", NOW - 7 * DAY),
        ("-1.5m", NOW - 90 * SECOND),
        ("1700000000", NOW),
        ("1700000000.5", NOW + SECOND // 2),
        ("1700000000000", NOW),
        ("1700000000000000", NOW),
        ("2023-11-14T22:13:20Z", NOW),
        ("2023-11-14T23:13:20+01:00", NOW),
        ("2023-11-14T23:13:20 01:00", NOW),
        (" 2023-11-14T22:13:20.000001Z ", NOW + 1),
        ("0", 0),
        ("-99999d", 0),
        ("999999999999", 999_999_999_999_000),
        ("+418000w", LATEST),
    ],
)
def test_parse_time(text: str, expected: int) -> None:
    assert parse_time("start", text, NOW) == expected


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2023-11-14", "-1y", "-", "now-", "1e9", "1,5", "0x10", "--1h", "١٢٣"]
)
def test_parse_time_names_what_is_wrong(text: str) -> None:
    with pytest.raises(FreeholdError, match=r"telemetry\.query\.invalid: `end` is ") as caught:
        parse_time("end", text, NOW)
    assert caught.value.refusal.status == 400


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10s", 10 * SECOND),
        ("10", 10 * SECOND),
        ("1.5h", HOUR + 30 * MINUTE),
        ("250ms", 250_000),
        ("7us", 7),
        ("1d", DAY),
        ("2w", 14 * DAY),
        (" 5m ", 5 * MINUTE),
    ],
)
def test_parse_duration(text: str, expected: int) -> None:
    assert parse_duration("every", text) == expected


@pytest.mark.parametrize("text", ["", "0", "0s", "-1m", "m", "1y", "1m1s", "999999999999999w", "0.1us", "1" * 16])
def test_parse_duration_names_what_is_wrong(text: str) -> None:
    with pytest.raises(FreeholdError, match="`every` is "):
        parse_duration("every", text)


def outcome(parse: Callable[..., Any], *arguments: object) -> Any:
    """What `parse` returns, or the refusal that it raises; any other exception fails the test."""
    try:
        return parse(*arguments)
    except FreeholdError as refused:
        return refused


ODD = st.one_of(st.text(max_size=60), st.from_regex(r"(now)?[+-]?[0-9.]{0,20}(us|ms|s|m|h|d|w)?", fullmatch=True))


@given(ODD)
def test_any_text_is_a_time_or_a_refusal(text: str) -> None:
    match outcome(parse_time, "start", text, NOW):
        case FreeholdError() as refused:
            assert refused.detail.isprintable()
        case time:
            assert 0 <= time <= LATEST


@given(ODD)
def test_any_text_is_a_duration_or_a_refusal(text: str) -> None:
    match outcome(parse_duration, "every", text):
        case FreeholdError() as refused:
            assert refused.detail.isprintable()
        case span:
            assert 0 < span < LATEST


@pytest.mark.parametrize(
    ("accept", "name", "expected"),
    [
        ("", None, JSON),
        ("*/*", None, JSON),
        ("text/csv", None, CSV),
        ("TEXT/CSV; charset=utf-8", None, CSV),
        ("text/*", None, CSV),
        ("application/*", None, JSON),
        ("application/vnd.apache.arrow.stream", None, ARROW),
        ("text/html, application/xhtml+xml, */*;q=0.8", None, JSON),
        ("application/json;q=0.5, text/csv;q=0.9", None, CSV),
        ("application/json;q=0, text/csv;q=0.1", None, CSV),
        ("text/csv;q=bad, application/json;q=0.1", None, JSON),
        ("text/csv", "arrow", ARROW),
        ("image/png", "json", JSON),
    ],
)
def test_choose_format(accept: str, name: str | None, expected: str) -> None:
    assert choose_format(accept, name) == expected


@pytest.mark.parametrize("accept", ["image/png", "application/json;q=0", "text/html;level=1"])
def test_a_form_that_we_do_not_have_is_refused(accept: str) -> None:
    with pytest.raises(FreeholdError, match="Accept"):
        choose_format(accept, None)


@given(st.text(max_size=200))
def test_any_accept_header_is_answered_or_refused(accept: str) -> None:
    match outcome(choose_format, accept, None):
        case FreeholdError() as refused:
            assert refused.refusal is QUERY_INVALID
        case media:
            assert media in (JSON, CSV, ARROW)
