# SPDX-License-Identifier: Apache-2.0
"""Between forms and resources."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.console import resources
from freehold.console.progress import MOST, Progress
from freehold.console.series import kind, series_for_page
from freehold.console.trial import diff
from freehold.core.errors import FreeholdError
from freehold.registry.interfaces import Resource
from freehold.store.interfaces import SeriesInfo

words = st.from_regex(r"[A-Za-z0-9_.\-]{1,10}", fullmatch=True)


def code_or_result(function: Callable[..., Any], *arguments: str) -> tuple[str, Any]:
    try:
        return "", function(*arguments)
    except FreeholdError as refused:
        return refused.refusal.code, None


@given(st.dictionaries(words, words | st.just(""), max_size=5))
def test_labels_read_back(labels: dict[str, str]) -> None:
    assert resources.parse_labels(resources.labels_text(labels)) == labels


@given(st.text(max_size=50))
def test_any_text_is_labels_or_a_refusal(text: str) -> None:
    code, labels = code_or_result(resources.parse_labels, text)
    assert code == "resource.invalid" or all(labels)


@pytest.mark.parametrize(("text", "lines"), [("", []), (" a \n\nb\r\na\n", ["a", "b"]), ("a, b", ["a, b"])])
def test_lines(text: str, lines: list[str]) -> None:
    assert resources.parse_lines(text) == lines


@pytest.mark.parametrize(
    ("spec", "on"),
    [({}, True), ({"core": {"disabled": True}}, False), ({"core": {"disabled": "yes"}}, True), ({"core": []}, True)],
)
def test_enabled(spec: dict[str, Any], on: bool) -> None:
    assert resources.enabled(Resource({}, spec, {})) is on


def test_switching_keeps_what_else_is_in_core() -> None:
    document = {"metadata": {}, "spec": {"core": {"mine": 1}}}
    assert resources.with_enabled(document, False)["spec"] == {"core": {"mine": 1, "disabled": True}}
    assert resources.with_enabled(document, True)["spec"] == {"core": {"mine": 1}}
    assert resources.with_enabled({"spec": {"core": 5}}, True)["spec"] == {}


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        ({}, []),
        ({"gatewaySelector": {"matchNames": ["a", 5, "b"]}}, ["a", "b"]),
        ({"gatewaySelector": []}, []),
        ({"gatewaySelector": {"matchNames": "a"}}, []),
    ],
)
def test_gateways_whatever_the_spec_holds(spec: dict[str, Any], names: list[str]) -> None:
    assert resources.gateways(spec) == names


def test_a_body_is_a_copy_with_the_version_of_the_form() -> None:
    resource = Resource({"name": "a", "resourceVersion": "2"}, {"deep": {"list": [1]}}, {})
    document = resources.body(resource, "1")
    assert document["metadata"]["resourceVersion"] == "1"
    document["spec"]["deep"]["list"].append(2)
    assert resource.spec == {"deep": {"list": [1]}}


values = st.recursive(
    st.none() | st.booleans() | st.text(max_size=3),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3) | st.just("metadata"), inner),
)


@given(st.text(max_size=40) | values.map(json.dumps))
def test_any_text_is_a_document_or_a_refusal(text: str) -> None:
    code, document = code_or_result(resources.parse_document, text, "1")
    assert code == "resource.invalid" or document["metadata"]["resourceVersion"] == "1"


def test_progress_is_bounded_and_kept_apart() -> None:
    progress = Progress()
    report = progress.reporter("ada", "job")
    report("x" * 1000)
    assert progress.line("ada", "job") == "x" * 200
    assert progress.line("bob", "job") == progress.line("ada", "other") == ""
    for number in range(MOST):
        progress.reporter("bob", str(number))("line")
    assert progress.line("ada", "job") == ""
    progress.forget("bob", "5")
    progress.forget("bob", "5")
    assert progress.line("bob", "5") == ""


@pytest.mark.parametrize(("value", "name"), [(True, "bool"), (1, "number"), (1.5, "number"), ("x", "text")])
def test_kinds_of_series(value: object, name: str) -> None:
    assert kind(value) == name


def test_the_page_gets_a_bounded_number_of_series_the_newest_first() -> None:
    many = [SeriesInfo(f"d{number}", "m", "f", number, 1.0) for number in range(3000)]
    page = series_for_page("plant", many)
    assert len(page["series"]) == 2000
    assert page["series"][0]["device"] == "d2999"


def test_a_diff_says_what_kind_each_line_is() -> None:
    assert list(diff("a\nb\n", "a\nc\n", "1", "2")) == [
        ("at", "--- 1"), ("at", "+++ 2"), ("at", "@@ -1,2 +1,2 @@"), ("", " a"), ("del", "-b"), ("add", "+c"),
    ]  # fmt: skip
    assert list(diff("same", "same", "1", "2")) == []
