# SPDX-License-Identifier: Apache-2.0
"""The resource shape as clients send it: names, strict metadata, JSON that is JSON."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.core.errors import FreeholdError
from freehold.registry.metadata import (
    check_application_name,
    check_device_name,
    check_json,
    read_application,
    read_device,
    same_json,
)


def is_invalid(call: Any, *arguments: Any) -> str:
    with pytest.raises(FreeholdError) as refused:
        call(*arguments)
    assert refused.value.refusal.code == "resource.invalid"
    return refused.value.detail


@pytest.mark.parametrize(
    "name", ["a", "app1", "0", "a-b.c", "a" * 63, "x.y.z.example", ("a" * 63 + ".") * 3 + "b" * 61]
)
def test_application_names_are_host_names(name: str) -> None:
    check_application_name(name)


@pytest.mark.parametrize(
    "name",
    ["", "App", "a_b", "-a", "a-", "a..b", ".a", "a.", "a b", "a/b", "ä", "a\n", "a" * 64, "a." * 127 + "aa", "a@b"],
)
def test_other_application_names_are_refused(name: str) -> None:
    assert "metadata.name" in is_invalid(check_application_name, name)


@pytest.mark.parametrize("name", ["a", "Device 1", "bar/baz", "a@b", "%2F", "..", "ü" * 127, "x" * 255, "🛰", "+#"])
def test_device_names_are_any_text(name: str) -> None:
    check_device_name(name)


@pytest.mark.parametrize("name", ["", "x" * 256, "ü" * 128, "a\0", "a\nb", "\x1b[31m", "\x7f", "\x85", "\ud800"])
def test_drogue_69_other_device_names_are_refused(name: str) -> None:
    assert "metadata.name" in is_invalid(check_device_name, name)


def test_a_full_body_is_read() -> None:
    desired = read_device(
        {
            "metadata": {
                "name": "d",
                "application": "a",
                "uid": "u",
                "resourceVersion": "v",
                "creationTimestamp": "2022-01-01T00:00:00Z",
                "deletionTimestamp": None,
                "generation": 3,
                "finalizers": ["f"],
                "labels": {"l": "1"},
                "annotations": {"n": ""},
            },
            "spec": {"any": ["thing", 1.5, None, True]},
            "status": {"x": {}},
            "apiVersion": "ignored, as Drogue does",
        }
    )
    assert (desired.name, desired.application) == ("d", "a")
    assert (desired.when.uid, desired.when.resource_version) == ("u", "v")
    assert (desired.finalizers, desired.labels, desired.annotations) == (["f"], {"l": "1"}, {"n": ""})
    assert desired.spec == {"any": ["thing", 1.5, None, True]}
    assert desired.status == {"x": {}}


@pytest.mark.parametrize("extra", ["label", "Name", "selfLink", "namespace", ""])
def test_drogue_66_unknown_metadata_is_refused_and_named(extra: str) -> None:
    assert f"metadata.{extra}" in is_invalid(read_application, {"metadata": {"name": "a", extra: "x"}})


def test_drogue_66_an_application_is_in_no_application() -> None:
    assert "metadata.application" in is_invalid(read_application, {"metadata": {"name": "a", "application": "b"}})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", 1),
        ("name", None),
        ("uid", 1),
        ("resourceVersion", []),
        ("generation", "1"),
        ("generation", 1.0),
        ("generation", True),
        ("finalizers", "f"),
        ("finalizers", [1]),
        ("finalizers", None),
        ("labels", []),
        ("labels", {"a": 1}),
        ("labels", {"a": None}),
        ("annotations", {"a": []}),
        ("creationTimestamp", "yesterday"),
        ("creationTimestamp", 5),
        ("creationTimestamp", "2022-01-01T00:00:00"),
        ("deletionTimestamp", ""),
    ],
)
def test_metadata_of_another_type_is_refused_and_named(field: str, value: object) -> None:
    assert f"metadata.{field}" in is_invalid(read_application, {"metadata": {"name": "a", field: value}})


@pytest.mark.parametrize("part", ["metadata", "spec", "status"])
@pytest.mark.parametrize("value", [None, [], "", 1, True])
def test_parts_that_are_no_objects_are_refused(part: str, value: object) -> None:
    assert part in is_invalid(read_application, {"metadata": {"name": "a"}, part: value})


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), "\ud800", nested(100_000), b"bytes"])
def test_what_json_cannot_carry_is_refused(value: object) -> None:
    is_invalid(check_json, {"spec": {"x": value}})
    is_invalid(read_application, {"metadata": {"name": "a"}, "spec": {"x": value}})


def test_half_a_character_as_a_key_is_refused() -> None:
    is_invalid(read_application, {"metadata": {"name": "a", "labels": {"\udfff": ""}}})


@pytest.mark.parametrize(
    ("left", "right"), [(1, True), (0, False), (1, 1.0), ({"a": 1}, {"a": True}), ([], {}), (None, False), ("1", 1)]
)
def test_json_values_of_other_types_are_not_the_same(left: object, right: object) -> None:
    assert not same_json(left, right)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(json_values)
def test_a_json_value_is_the_same_as_itself_and_not_as_a_list_of_it(value: object) -> None:
    assert same_json(value, value)
    assert not same_json(value, [value])


@given(st.dictionaries(st.text(), json_values, max_size=3), st.dictionaries(st.text(), json_values, max_size=3))
def test_spec_and_status_are_kept_as_they_are(spec: dict[str, Any], status: dict[str, Any]) -> None:
    desired = read_application({"metadata": {"name": "a"}, "spec": spec, "status": status})
    assert same_json(desired.spec, spec)
    assert same_json(desired.status, status)


@given(json_values)
def test_any_json_as_metadata_is_read_or_refused(value: object) -> None:
    try:
        read_device({"metadata": value})
    except FreeholdError as refused:
        assert refused.refusal.code == "resource.invalid"  # noqa: PT017
