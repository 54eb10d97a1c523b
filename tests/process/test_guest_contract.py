# SPDX-License-Identifier: Apache-2.0
"""What `main` gets, and what becomes of what it returns: pure functions, no process."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.process.guest.channel import BINARY, JSON, TEXT
from freehold.process.guest.contract import (
    LATEST,
    MOST_RESULTS,
    NAMELESS,
    Broken,
    pack,
    to_microseconds,
    unwrap,
)

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def given_to_main(payload: Any) -> tuple[dict[str, Any], Any]:
    return unwrap(memoryview(json.dumps(payload).encode()), JSON, takes_event=False)


def packed(result: Any, names: Any = NAMELESS) -> list[Any]:
    """Results with the places that were left out filled in."""
    parts = json.loads(pack(result, names))
    return [part + [None] * (4 - len(part)) for part in parts]


class TestWhatMainGets:
    def test_an_object_as_it_is(self) -> None:
        assert given_to_main({"temp": 22, "at": [1]}) == ({"temp": 22, "at": [1]}, NAMELESS)

    @given(json_values.filter(lambda value: not isinstance(value, dict)))
    def test_anything_else_under_value(self, value: Any) -> None:
        assert given_to_main(value) == ({"value": value}, NAMELESS)

    def test_myt_message_gives_its_data_and_names(self) -> None:
        message = {"measurement": "sensorData", "sensor": "pi1", "data": {"temp": 22}}
        assert given_to_main(message) == ({"temp": 22}, ("sensorData", "pi1", None))

    def test_myt_message_may_have_a_time(self) -> None:
        message = {"measurement": "m", "sensor": "s", "data": {}, "time": "2026-11-22T02:00:00Z"}
        assert given_to_main(message) == ({}, ("m", "s", 1_795_312_800_000_000))

    def test_a_sensor_that_is_a_number_becomes_text(self) -> None:
        assert given_to_main({"measurement": "m", "sensor": 7, "data": {}})[1] == ("m", "7", None)

    @pytest.mark.parametrize(
        "message",
        [
            {"measurement": "m", "data": {}},
            {"sensor": "s", "data": {}},
            {"measurement": "m", "sensor": "s", "data": 5},
            {"measurement": 5, "sensor": "s", "data": {}},
            {"measurement": "m", "sensor": {}, "data": {}},
            {"measurement": "m", "sensor": "s"},
        ],
    )
    def test_what_only_resembles_myt_stays_whole(self, message: dict[str, Any]) -> None:
        assert given_to_main(message) == (message, NAMELESS)

    def test_an_empty_payload_is_an_empty_dict(self) -> None:
        assert unwrap(memoryview(b""), JSON, takes_event=False) == ({}, NAMELESS)

    @pytest.mark.parametrize("payload", [b"{", b"22 23", b'{"a":1}x', b"\xff", b'{"a":'])
    def test_broken_json_is_told(self, payload: bytes) -> None:
        with pytest.raises(Broken, match="not JSON"):
            unwrap(memoryview(payload), JSON, takes_event=False)

    def test_nesting_past_the_stack_is_told(self) -> None:
        with pytest.raises(Broken, match="nested too deeply"):
            unwrap(memoryview(b"[" * 100_000 + b"]" * 100_000), JSON, takes_event=False)

    def test_text_for_scripts_that_take_event(self) -> None:
        assert unwrap(memoryview("21,5 °C".encode()), TEXT, takes_event=True) == ({"text": "21,5 °C"}, NAMELESS)

    @pytest.mark.parametrize("kind", [TEXT, BINARY])
    def test_bytes_for_scripts_that_take_event(self, kind: int) -> None:
        assert unwrap(memoryview(b"\xff\x00"), kind, takes_event=True) == ({"data_base64": "/wA="}, NAMELESS)

    @pytest.mark.parametrize("kind", [TEXT, BINARY])
    def test_scripts_for_myt_get_json_only(self, kind: int) -> None:
        with pytest.raises(Broken, match=r"main\(data, event\)"):
            unwrap(memoryview(b"x"), kind, takes_event=False)


class TestWhatMainReturns:
    def test_a_dict_is_one_result(self) -> None:
        assert packed({"a": 1}) == [[{"a": 1}, None, None, None]]

    def test_none_drops(self) -> None:
        assert packed(None) == []

    @pytest.mark.parametrize("kind", [list, tuple])
    def test_a_list_splits(self, kind: type) -> None:
        assert [part[0] for part in packed(kind([{"a": 1}, {"b": 2}]))] == [{"a": 1}, {"b": 2}]

    def test_an_empty_list_drops(self) -> None:
        assert packed([]) == []

    def test_names_of_the_message_stay_with_every_result(self) -> None:
        assert packed([{"a": 1}, {"b": 2}], ("m", "s", 5)) == [[{"a": 1}, "m", "s", 5], [{"b": 2}, "m", "s", 5]]

    def test_an_envelope_sets_what_it_names(self) -> None:
        envelope = {"measurement": "room", "sensor": "x", "time": 1_700_000_000, "data": {"a": 1}}
        assert packed(envelope, ("m", "s", 5)) == [[{"a": 1}, "room", "x", 1_700_000_000_000_000]]

    def test_an_envelope_leaves_what_it_does_not_name(self) -> None:
        assert packed({"data": {"a": 1}}, ("m", "s", 5)) == [[{"a": 1}, "m", "s", 5]]

    @pytest.mark.parametrize("result", [{"data": 5}, {"data": {}, "other": 1}, {"measurement": "m"}])
    def test_what_is_no_envelope_is_data(self, result: dict[str, Any]) -> None:
        assert packed(result) == [[result, None, None, None]]

    @pytest.mark.parametrize(
        ("result", "word"),
        [
            (5, "an int"),
            ("text", "a str"),
            (True, "a bool"),
            (object(), "an object"),
            ((part for part in [{}]), "a generator"),
        ],
    )
    def test_anything_else_is_told(self, result: Any, word: str) -> None:
        with pytest.raises(Broken, match=word):
            pack(result, NAMELESS)

    def test_a_list_of_anything_else_is_told(self) -> None:
        with pytest.raises(Broken, match="a list with a str in it"):
            pack([{}, "x"], NAMELESS)

    def test_splits_are_bounded(self) -> None:
        assert len(packed([{}] * MOST_RESULTS)) == MOST_RESULTS
        with pytest.raises(Broken, match="1001 results"):
            pack([{}] * (MOST_RESULTS + 1), NAMELESS)

    @pytest.mark.parametrize("name", ["", "x" * 257, 5, ["m"]])
    @pytest.mark.parametrize("key", ["measurement", "sensor"])
    def test_names_are_checked(self, key: str, name: Any) -> None:
        with pytest.raises(Broken, match="1 to 256"):
            pack({key: name, "data": {}}, NAMELESS)

    @given(st.dictionaries(st.text(), json_values))
    def test_any_dict_of_json_comes_out_as_it_went_in(self, result: dict[str, Any]) -> None:
        ((data, *_),) = packed({"data": result})
        assert data == result

    @pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
    def test_45_nan_and_infinity_become_null(self, number: float) -> None:
        assert packed({"a": number, "b": [number], "c": 1.5}) == [
            [{"a": None, "b": [None], "c": 1.5}, None, None, None]
        ]


class TestTime:
    @pytest.mark.parametrize(
        ("value", "microseconds"),
        [
            (None, None),
            (0, 0),
            (1_795_312_800, 1_795_312_800_000_000),
            (1_795_312_800.5, 1_795_312_800_500_000),
            (1_795_312_800_123, 1_795_312_800_123_000),
            (1_795_312_800_123_456, 1_795_312_800_123_456),
            (1_795_312_800_123_456_789, 1_795_312_800_123_456),
            ("2026-11-22T02:00:00Z", 1_795_312_800_000_000),
            ("2026-11-22t04:00:00.5+02:00", 1_795_312_800_500_000),
            ("2026-11-22 02:00:00.1234567z", 1_795_312_800_123_456),
            (datetime(2026, 11, 22, 2, tzinfo=UTC), 1_795_312_800_000_000),
            (datetime(2026, 11, 22, 4, tzinfo=timezone(timedelta(hours=2))), 1_795_312_800_000_000),
        ],
    )
    def test_54_device_time_is_read(self, value: Any, microseconds: int | None) -> None:
        assert to_microseconds(value) == microseconds

    @pytest.mark.parametrize(
        "value",
        [
            *(-1, -1e9, 1e30, math.nan, math.inf, True, [], {}, b"2026"),
            *("", "now", "2026-11-22", "2026-11-22T02:00:00", "2026-13-01T00:00:00Z", "1969-12-31T23:59:59Z"),
            *("2026-W47-7T02:00:00Z", "20261122T020000Z", "9" * 10_000, "٢٠٢٦-11-22T02:00:00Z"),
            datetime(2026, 11, 22),
        ],
    )
    def test_what_is_no_time_is_told(self, value: Any) -> None:
        with pytest.raises(Broken, match="time"):
            to_microseconds(value)

    @given(st.floats() | st.integers() | st.text())
    def test_a_time_is_in_range_or_told(self, value: Any) -> None:
        try:
            found = to_microseconds(value)
        except Broken:
            return
        assert found is not None
        assert 0 <= found <= LATEST
