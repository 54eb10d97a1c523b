# SPDX-License-Identifier: Apache-2.0
"""msgspec and the standard library must make the same of everything: the sandbox may have only the latter."""

from __future__ import annotations

import json
import math
from collections import OrderedDict, namedtuple
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.process.guest import codec

Pair = namedtuple("Pair", "left right")


class Scalar:
    """What numpy's scalars look like: a value behind `item`, and `tolist`."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def item(self) -> Any:
        return self._value

    tolist = item


class Float64(float):
    """numpy.float64 is a float of its own type."""


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(values)
def test_both_write_the_same(value: Any) -> None:
    assert json.loads(codec.encode(value)) == json.loads(codec.encode_slowly(value))


@given(values.map(json.dumps))
def test_both_read_the_same(text: str) -> None:
    fast, slow = codec.decode(text.encode()), codec.decode_slowly(text.encode())
    assert json.dumps(fast) == json.dumps(slow)  # NaN is not equal to itself, its text is


def test_msgspec_is_in_use_here() -> None:
    assert codec.encode is not codec.encode_slowly


@pytest.mark.parametrize("encode", [codec.encode, codec.encode_slowly])
@pytest.mark.parametrize(
    ("value", "stands_for"),
    [
        (Float64(1.5), 1.5),
        (Float64("nan"), None),
        (Scalar(7), 7),
        (Scalar([1, 2.5]), [1, 2.5]),
        (Scalar(math.nan), None),
        (datetime(2026, 11, 22, 2, tzinfo=UTC), "2026-11-22T02:00:00"),
        (date(2026, 11, 22), "2026-11-22"),
        (Decimal("1.50"), 1.5),
        (Fraction(1, 4), 0.25),
        ({1}, [1]),
        ((1, 2), [1, 2]),
        (Pair(1, 2), [1, 2]),
        (OrderedDict(a=1), {"a": 1}),
        ({1: 2}, {"1": 2}),
        ({None: 2}, {"null": 2}),
        ({True: 2}, {"true": 2}),
        (10**30, 10**30),
        (1e308, 1e308),
        ("Grüße", "Grüße"),
    ],
)
def test_45_what_libraries_return_becomes_plain(encode: Any, value: Any, stands_for: Any) -> None:
    found = json.loads(encode({"v": value}))["v"]
    if isinstance(value, datetime):
        found = found[: len(stands_for)]  # one writes Z, the other +00:00
    assert found == stands_for


@pytest.mark.parametrize("encode", [codec.encode, codec.encode_slowly])
@pytest.mark.parametrize(
    "value", [object(), lambda: None, {(1, 2): 3}, {"a": object()}, "\ud800", pytest.param(10**5000, id="huge")]
)
def test_what_nothing_stands_for_is_refused(encode: Any, value: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        encode({"v": value})


@pytest.mark.parametrize("encode", [codec.encode, codec.encode_slowly])
def test_a_cycle_is_refused(encode: Any) -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises((RecursionError, ValueError)):
        encode(value)


@pytest.mark.parametrize("decode", [codec.decode, codec.decode_slowly])
@pytest.mark.parametrize(("text", "value"), [(b"1e999", math.inf), (b'"\\ud800"', "\ud800"), (b"-0.0", -0.0)])
def test_odd_json_is_read(decode: Any, text: bytes, value: Any) -> None:
    assert decode(memoryview(text)) == value
