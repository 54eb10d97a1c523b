# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.console.figures import Figures, figures, rates
from freehold.console.services import Sample


def sample(time: float, accepted: int, stored: int = 0, refused: int = 0, connections: int = 0) -> Sample:
    return Sample(time, accepted, stored, refused, connections)


def test_nothing_is_known_before_the_first_sample() -> None:
    assert figures([]) == figures([sample(5, 100)]) == Figures(0, 0.0, 0.0, 0.0, 0)
    assert rates([]) == rates([sample(5, 100)]) == []


def test_rates_are_over_the_last_seconds_only() -> None:
    history = [sample(second, 1000 if second > 90 else 0, connections=3) for second in range(100)]
    assert figures(history).accepted_rate == 0.0
    history.append(sample(100, 1500, stored=250, refused=7, connections=4))
    assert figures(history) == Figures(4, 100.0, 50.0, 7 / 5, 7)


def test_a_role_that_starts_again_gives_no_negative_rate() -> None:
    history = [sample(1, 5000), sample(2, 5100), sample(3, 10)]
    assert figures(history).accepted_rate == 0.0
    assert [row[1] for row in rates(history)] == [100.0, 0.0]


@pytest.mark.parametrize(("after", "count"), [(0, 9), (5, 5), (9, 1), (10, 0), (99, 0)])
def test_only_what_is_new_is_sent(after: float, count: int) -> None:
    history = [sample(second, 10 * second) for second in range(1, 11)]
    found = rates(history, after)
    assert len(found) == count
    assert all(row == (row[0], 10.0, 0.0, 0.0) for row in found)


@given(st.lists(st.tuples(st.floats(0, 1e9), st.integers(0, 10**12)), max_size=20))
def test_any_history_gives_figures_that_can_be_shown(history: list[tuple[float, int]]) -> None:
    samples = [sample(time, total) for time, total in sorted(history)]
    assert figures(samples).accepted_rate >= 0
    assert all(row[1] >= 0 for row in rates(samples))
