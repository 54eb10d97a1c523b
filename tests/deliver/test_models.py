# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.deliver.models import LONGEST_CURSOR, Selection, parse_cursor, render_cursor

from .conftest import make_event

positions = st.dictionaries(st.integers(0, 63), st.integers(0, 2**63 - 1), min_size=1, max_size=64)


@given(positions)
def test_a_cursor_reads_back_as_it_was_written(given_positions: dict[int, int]) -> None:
    text = render_cursor(given_positions)
    assert len(text) <= LONGEST_CURSOR
    assert parse_cursor(text) == given_positions


@given(st.text(max_size=60))
def test_any_text_is_a_cursor_or_none_and_never_an_exception(text: str) -> None:
    parsed = parse_cursor(text)
    assert parsed is None or all(value >= 0 for value in parsed.values())


@pytest.mark.parametrize(
    "text",
    [
        *("", "0", "0.", ".1", "0.1-", "a.b", "0.-1", "0.1 ", "٣.٤", "0.99999999999999999999"),
        "0190a1b2-7c0a-7b0e-9d53-0d6b0d5f9a11",
        "0.1-" * 1000 + "0.1",
    ],
)
def test_what_is_no_cursor(text: str) -> None:
    assert parse_cursor(text) is None


@pytest.mark.parametrize(
    ("selection", "taken"),
    [
        (Selection(), True),
        (Selection(device="boiler"), True),
        (Selection(device="Boiler"), False),
        (Selection(channel="telemetry"), True),
        (Selection(channel="state"), False),
        (Selection(type="io.drogue.event.v1"), True),
        (Selection(type="io.drogue.connection.v1"), False),
        (Selection(device="boiler", channel="state"), False),
    ],
)
def test_a_selection_takes_what_matches_all_of_it(selection: Selection, taken: bool) -> None:
    assert selection.takes(make_event()) is taken
    assert Selection(device="x").everything is False
    assert Selection().everything is True
