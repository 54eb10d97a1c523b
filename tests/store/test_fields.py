# SPDX-License-Identifier: Apache-2.0
"""Flattening: what users of telemetry platforms expect, the bounds, and that nothing at all gets an exception out."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.store.fields import LONGEST_TEXT, MOST_FIELDS, MOST_ITEMS, clean, flatten, shown
from tests.store.telemetry import typed

ROOM = 200


def fields_of(data: Any, room: int = ROOM) -> tuple[dict[str, Any], list[str]]:
    problems: list[str] = []
    return dict(flatten(data, room, problems)), problems


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({}, {}),
        ({"temp": 22, "p": 15.5, "on": True, "name": "pi1"}, {"temp": 22, "p": 15.5, "on": True, "name": "pi1"}),
        ({"a": None, "b": 1}, {"b": 1}),
        ({"a": {"b": {"c": {"d": 1}}}}, {"a.b.c.d": 1}),
        ({"a": {"b": {"c": {"d": {"e": 1}}}}}, {"a.b.c.d": '{"e":1}'}),
        ({"a": {"b": {"c": {"d": [1, 2]}}}}, {"a.b.c.d": "[1,2]"}),
        ({"a": {"x": 1, "y": {"z": "t"}}, "b": 2}, {"a.x": 1, "a.y.z": "t", "b": 2}),
        ({"a": {}}, {}),
        ({"a": []}, {}),
        ({"a": {"b": {"c": {"d": {}}}}}, {}),
        ({"a": [1, 2.5, True, "x", None]}, {"a.0": 1, "a.1": 2.5, "a.2": True, "a.3": "x"}),
        ({"a": (1, 2)}, {"a.0": 1, "a.1": 2}),
        ({"a": [[1, 2], [3]]}, {"a": "[[1,2],[3]]"}),
        ({"a": [{"b": 1}]}, {"a": '[{"b":1}]'}),
        ({"a": list(range(MOST_ITEMS))}, {f"a.{n}": n for n in range(MOST_ITEMS)}),
        ({"a": list(range(MOST_ITEMS + 1))}, {"a": json.dumps(list(range(MOST_ITEMS + 1)), separators=(",", ":"))}),
        ({"a": 2**63 - 1, "b": -(2**63)}, {"a": 2**63 - 1, "b": -(2**63)}),
        ({"a": 2**63, "b": -(2**63) - 1, "c": 10**30}, {"a": float(2**63), "b": float(-(2**63) - 1), "c": 1e30}),
        ({"a": 10**400, "b": 1}, {"b": 1}),
        ({"a": float("nan"), "b": float("inf"), "c": -float("inf"), "d": 1e308}, {"d": 1e308}),
        ({"a": {"b": float("nan"), "c": 2}}, {"a.c": 2}),
        ({"a": [1, float("inf")]}, {"a.0": 1}),
        ({"größe": "groß", "温度": 1}, {"größe": "groß", "温度": 1}),
        ({"x\ud800": "a\udc00"}, {"x\ufffd": "a\ufffd"}),
        ({"x) VALUES (1); DROP TABLE": 1}, {"x) VALUES (1); DROP TABLE": 1}),
        ({"": 1, "\x00": "\x00"}, {"": 1, "\x00": "\x00"}),
        ({1: 2, None: 3, (1, 2): 4}, {"1": 2, "None": 3, "(1, 2)": 4}),
        ({"a.b": 1, "a": {"b": 2}}, {"a.b": 2}),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_flatten(data: Any, expected: dict[str, Any]) -> None:
    fields, problems = fields_of(data)
    assert problems == []
    assert fields == expected
    assert typed(list(fields.values())) == typed(list(expected.values()))


def test_the_order_is_that_of_the_payload() -> None:
    assert list(fields_of({"z": 1, "a": {"y": 1, "b": 2}, "m": 3})[0]) == ["z", "a.y", "a.b", "m"]


@pytest.mark.parametrize(
    "text", ["x" * LONGEST_TEXT, "é" * (LONGEST_TEXT // 2), "😀" * (LONGEST_TEXT // 4)], ids=["1", "2", "4"]
)
def test_a_text_may_be_as_long_as_the_bound_in_bytes(text: str) -> None:
    assert fields_of({"a": text, "b": 1}) == ({"a": text, "b": 1}, [])
    fields, problems = fields_of({"a": text + "x", "b": 1})
    assert fields == {"b": 1}
    assert problems == ["the text in field 'a' is longer than 8192 bytes"]


def test_a_list_too_long_for_fields_and_text_is_a_problem() -> None:
    fields, problems = fields_of({"a": list(range(5000)), "b": 1})
    assert fields == {"b": 1}
    assert problems == ["the text in field 'a' is longer than 8192 bytes"]


def test_names_have_room_beside_the_measurement() -> None:
    assert fields_of({"n" * 10: 1}, room=10) == ({"n" * 10: 1}, [])
    fields, problems = fields_of({"n" * 11: 1, "ok": 2}, room=10)
    assert fields == {"ok": 2}
    assert problems == ["the name of field 'nnnnnnnnnnn' is too long: 255 characters with measurement"]


def test_many_short_names_are_not_one_long_name() -> None:
    data = {f"n{number}": number for number in range(100)}
    assert fields_of(data, room=5) == (data, [])


def test_a_row_has_a_bounded_number_of_fields() -> None:
    data = {f"f{n}": n for n in range(MOST_FIELDS)}
    assert fields_of(data) == (data, [])
    fields, problems = fields_of(data | {"one more": 1})
    assert fields == data
    assert problems == ["257 fields are more than the 256 of one row"]


@pytest.mark.parametrize("value", [b"bytes", object(), {1, 2}, 1j])
def test_what_json_does_not_know_is_a_problem_of_its_field_only(value: object) -> None:
    fields, problems = fields_of({"a": value, "b": {"c": value}, "d": 1})
    assert fields == {"d": 1}
    assert len(problems) == 2
    assert problems[0].startswith(f"field 'a' holds a {type(value).__name__}")


def test_a_loop_in_the_data_is_a_problem_of_its_field_only() -> None:
    loop: dict[str, Any] = {}
    loop["a"] = loop
    fields, problems = fields_of({"loop": loop, "b": 1})
    assert fields == {"b": 1}
    assert len(problems) == 1


def test_hostile_names_are_cut_and_quoted_in_problems() -> None:
    _, problems = fields_of({"\n\x1b[31m" + "n" * 5000: b""})
    assert problems[0].startswith(r"field '\n\x1b[31mnnn")
    assert len(problems[0]) < 150


@pytest.mark.parametrize(
    ("text", "expected"),
    [("plain", "plain"), ("\ud83d\ude00", "😀"), ("\ud83dx", "\ufffdx"), ("é", "é"), ("", "")],
)
def test_clean(text: str, expected: str) -> None:
    assert clean(text) == expected


def test_shown_is_quoted_and_bounded() -> None:
    assert shown("a'b") == '"a\'b"'
    assert len(shown("x" * 10_000)) == 63


ANYTHING = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(st.characters(exclude_categories=())),
        st.binary(max_size=5),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=40), st.dictionaries(st.text(st.characters(exclude_categories=()), max_size=9), inner)
    ),
    max_leaves=60,
)


@given(st.dictionaries(st.one_of(st.text(st.characters(exclude_categories=())), st.integers()), ANYTHING))
def test_whatever_comes_every_field_keeps_the_bounds(data: dict[Any, Any]) -> None:
    fields, problems = fields_of(data)
    assert len(fields) <= MOST_FIELDS
    for name, value in fields.items():
        assert len(name) <= ROOM
        name.encode()
        match value:
            case bool():
                pass
            case int():
                assert -(2**63) <= value < 2**63
            case float():
                assert abs(value) < float("inf")
            case str():
                assert len(value.encode()) <= LONGEST_TEXT
            case _:
                pytest.fail(f"{value!r} is no value")
    for problem in problems:
        assert problem.isprintable()
        assert len(problem) < 400


@given(st.dictionaries(st.text(st.characters(codec="ascii"), min_size=1, max_size=5), st.floats(allow_nan=False)))
def test_plain_data_is_its_own_fields(data: dict[str, float]) -> None:
    fields, problems = fields_of(data)
    assert problems == []
    assert fields == {name: value for name, value in data.items() if abs(value) < float("inf")}
