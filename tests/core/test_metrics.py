# SPDX-License-Identifier: Apache-2.0
"""Metrics: every page is valid Prometheus text, and merging adds up."""

from __future__ import annotations

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from freehold.core.metrics import MetricSet, Sample, merge

Values = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def parse(page: bytes) -> Values:
    """Sample name and labels → value. Fails on an invalid page, and on a sample that is there twice."""
    found: Values = {}
    for family in text_string_to_metric_families(page.decode()):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found
            found[key] = sample.value
    return found


def _page(counters: dict[str, list[Sample]], gauges: dict[str, list[Sample]] | None = None) -> bytes:
    metrics = MetricSet()
    for name, samples in counters.items():
        metrics.counter(name, f"what {name} counts", partial(list, samples))
    for name, samples in (gauges or {}).items():
        metrics.gauge(name, f"what {name} measures", partial(list, samples))
    return metrics.exposition()


def test_counters_and_gauges_are_read_when_asked() -> None:
    metrics = MetricSet()
    count = 0
    metrics.counter("events", "events that were accepted", lambda: [({}, count)])
    metrics.gauge("connections", "open connections", lambda: [({"protocol": "mqtt"}, 3), ({"protocol": "http"}, 4)])
    count = 7
    assert parse(metrics.exposition()) == {
        ("freehold_events_total", ()): 7,
        ("freehold_connections", (("protocol", "mqtt"),)): 3,
        ("freehold_connections", (("protocol", "http"),)): 4,
    }
    count = 8
    assert parse(metrics.exposition())["freehold_events_total", ()] == 8


def test_the_page_says_what_each_is() -> None:
    text = _page({"events": [({}, 1)]}, {"connections": [({}, 2)]}).decode()
    assert "# TYPE freehold_events_total counter" in text
    assert "# HELP freehold_events_total what events counts" in text
    assert "# TYPE freehold_connections gauge" in text


def test_a_metric_without_samples_is_no_error() -> None:
    assert parse(_page({"events": []}, {"connections": []})) == {}


@pytest.mark.parametrize("pages", [0, 1, 2, 5])
def test_merging_adds_equal_samples(pages: int) -> None:
    page = _page(
        {"events": [({"app": "a"}, 1), ({"app": "b"}, 2)], "plain": [({}, 5)]},
        {"connections": [({"app": "a"}, 10)]},
    )
    assert parse(merge([page] * pages)) == {key: value * pages for key, value in parse(page).items() if pages}


def test_merging_joins_families_and_keeps_what_only_one_has() -> None:
    one = _page({"events": [({"app": "a"}, 1)], "mine": [({}, 5)]})
    two = _page({"events": [({"app": "b"}, 2)], "yours": [({}, 6)]})
    merged = merge([one, two])
    assert parse(merged) == {
        ("freehold_events_total", (("app", "a"),)): 1,
        ("freehold_events_total", (("app", "b"),)): 2,
        ("freehold_mine_total", ()): 5,
        ("freehold_yours_total", ()): 6,
    }
    assert merged.count(b"# TYPE freehold_events_total counter") == 1


def test_a_merged_page_merges_again() -> None:
    page = _page({"events": [({"app": "a"}, 1)]}, {"up": [({}, 1)]})
    assert parse(merge([merge([page, page]), page])) == {key: 3 * value for key, value in parse(page).items()}


label_values = st.one_of(
    st.text(max_size=12),
    st.sampled_from(['"', "\\", "\n", '\\"\n', "}", "{", ",", "=", "\\n", "\ud800", "\0", "\x85", "a b", "# HELP x"]),
)


@given(st.dictionaries(label_values, st.integers(0, 1 << 50), max_size=6))
def test_hostile_label_values_stay_in_their_quotes(values: dict[str, int]) -> None:
    """Devices and owners choose names; a page must not break, nor a sample pass for another's."""
    samples = [({"name": name}, float(number)) for name, number in values.items()]
    distinct = {name.encode("utf-8", "backslashreplace").decode(): number for name, number in values.items()}
    if len(distinct) < len(values):
        return  # two that differ only in how a lone surrogate is written
    page = _page({"events": samples})
    expected = {("freehold_events_total", (("name", name),)): number for name, number in distinct.items()}
    assert parse(page) == expected
    assert parse(merge([page, page])) == {key: 2 * number for key, number in expected.items()}


def test_many_label_sets_merge() -> None:
    samples: list[Sample] = [({"app": f"app-{n}"}, n) for n in range(1000)]
    page = _page({"events": samples})
    assert parse(merge([page, page])) == {key: 2 * value for key, value in parse(page).items()}


def test_numbers_keep_their_size() -> None:
    page = _page({"bytes": [({}, 2**53 - 1)]}, {"share": [({}, 0.125)], "negative": [({}, -3)]})
    assert set(parse(merge([page])).values()) == {2**53 - 1, 0.125, -3}
