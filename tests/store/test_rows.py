# SPDX-License-Identifier: Apache-2.0
"""Events → rows: payloads without a processor, results of processors, times, identities, and what is refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.core.ids import uuid7
from freehold.events.models import Event
from freehold.process.interfaces import Measured
from freehold.store.rows import LATEST, MOST_ROWS, read_time, rows_of
from tests.store.telemetry import APP, T0

IDS = [uuid7() for _ in range(50)]


def event(data: object = None, *, content_type: str = "application/json", id: str = IDS[0], **rest: Any) -> Event:
    payload = data if isinstance(data, bytes) else msgspec.json.encode(data)
    given = {
        "id": id,
        "time": T0,
        "application": "shop",
        "applicationuid": APP,
        "device": "pi1",
        "deviceuid": "",
        "sender": "pi1",
        "senderuid": "",
        "subject": "state",
        "datacontenttype": content_type,
        "data": payload,
        "instance": "test",
    }
    return Event(**(given | rest))


# --- without a processor ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "fields"),
    [
        ({"temp": 22.5, "n": 1}, {"temp": 22.5, "n": 1}),
        (42, {"value": 42}),
        (22.5, {"value": 22.5}),
        (True, {"value": True}),
        ("text", {"value": "text"}),
        ([1, 2], {"value.0": 1, "value.1": 2}),
        ([[1], [2]], {"value": "[[1],[2]]"}),
        ({"a": {"b": 1}}, {"a.b": 1}),
        ({"measurement": "m", "sensor": "s"}, {"measurement": "m", "sensor": "s"}),
        ({"measurement": 1, "sensor": "s", "data": {"x": 1}}, {"measurement": 1, "sensor": "s", "data.x": 1}),
        (
            {"measurement": "m", "sensor": "s", "data": {"x": 1}, "unit": "C"},
            {"measurement": "m", "sensor": "s", "data.x": 1, "unit": "C"},
        ),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_json_payload_is_one_row(payload: object, fields: dict[str, object]) -> None:
    rows, problems = rows_of(event(payload), None)
    assert problems == []
    (row,) = rows
    assert row.fields == fields
    assert (row.application, row.device, row.measurement, row.time) == (APP, "pi1", "state", T0)


@pytest.mark.parametrize("payload", [None, {}, [], {"a": None}, b"", {"measurement": "m", "sensor": "s", "data": {}}])
def test_nothing_measured_is_no_row_and_no_fault(payload: object) -> None:
    rows, problems = rows_of(event(payload), None)
    assert problems == []
    assert [dict(row.fields) for row in rows] in ([], [{"sensor": "s"}])


def test_a_list_of_objects_is_a_row_each() -> None:
    rows, problems = rows_of(event([{"x": 1}, {"x": 2, "y": 3}, {}]), None)
    assert problems == []
    assert [row.fields for row in rows] == [{"x": 1}, {"x": 2, "y": 3}]
    assert len({row.seq for row in rows}) == 2


def test_too_many_rows_in_one_event_are_said() -> None:
    rows, problems = rows_of(event([{"x": n} for n in range(MOST_ROWS + 5)]), None)
    assert len(rows) == MOST_ROWS
    assert problems == ["1005 rows are more than the 1000 of one event"]


@pytest.mark.parametrize(
    ("content_type", "payload", "fields"),
    [
        ("application/json", b"1e400", {}),
        ("application/json", b'{"a":1e400,"b":2}', {"b": 2}),
        ("application/json", b'{"a":%d}' % 10**30, {"a": 1e30}),
        ("application/vnd.acme+json", b'{"a":1}', {"a": 1}),
        ("text/plain", b"22.5", {"value": 22.5}),
        ("text/plain; charset=utf-8", b"42", {"value": 42}),
        ("text/plain", b"true", {"value": True}),
        ("text/plain", "warm ☀".encode(), {"value": "warm ☀"}),
        ("text/plain", b'{"a":1}', {"value": '{"a":1}'}),
        ("text/plain", b'"quoted"', {"value": '"quoted"'}),
        ("text/plain", b"\xff\xfe", {"value": "\ufffd\ufffd"}),
    ],
)
def test_content_types(content_type: str, payload: bytes, fields: dict[str, object]) -> None:
    rows, problems = rows_of(event(payload, content_type=content_type), None)
    assert problems == []
    assert [row.fields for row in rows] == ([fields] if fields else [])


@pytest.mark.parametrize("content_type", ["application/octet-stream", "image/png", "application/cbor", "x" * 5000])
def test_a_binary_payload_is_no_mistake_and_no_row(content_type: str) -> None:
    """It is for whoever reads the events; a dead letter for each would hide the real ones."""
    assert rows_of(event(b"\x00\x01", content_type=content_type), None) == ([], [])


def test_json_that_is_none_is_said() -> None:
    rows, problems = rows_of(event(b"{oops"), None)
    assert rows == []
    assert problems[0].startswith("the payload is not JSON: ")


# --- MyT's envelope ---------------------------------------------------------------------------------


def test_a_myt_message_names_measurement_and_sensor() -> None:
    message = {"measurement": "sensorData", "sensor": "pi1", "data": {"temp": 22, "pressure": 15, "device": "pi1"}}
    ((row,), problems) = rows_of(event(message), None)
    assert problems == []
    assert row.measurement == "sensorData"
    assert row.fields == {"temp": 22, "pressure": 15, "device": "pi1"}
    assert row.time == T0


@pytest.mark.parametrize(
    ("data", "fields"),
    [
        ({"temp": 22}, {"temp": 22, "sensor": "cellar"}),
        ({"sensor": "own", "temp": 1}, {"sensor": "own", "temp": 1}),
    ],
)
def test_a_sensor_behind_a_device_is_a_field(data: dict[str, object], fields: dict[str, object]) -> None:
    ((row,), problems) = rows_of(event({"measurement": "m", "sensor": "cellar", "data": data}), None)
    assert (row.device, row.fields, problems) == ("pi1", fields, [])


def test_a_list_of_myt_messages_keeps_each_ones_time() -> None:
    messages = [{"measurement": "m", "sensor": "pi1", "data": {"x": n}, "time": T0 // 10**6 - n} for n in range(3)]
    rows, problems = rows_of(event(messages), None)
    assert problems == []
    assert [row.time for row in rows] == [T0 - n * 1_000_000 for n in range(3)]


def test_a_time_that_cannot_be_read_is_said_and_the_others_are_stored() -> None:
    good = {"measurement": "m", "sensor": "pi1", "data": {"x": 1}}
    rows, problems = rows_of(event([good | {"time": "yesterday"}, good, good | {"time": None}]), None)
    assert [row.time for row in rows] == [T0, T0]
    assert problems == ["the time 'yesterday' is neither RFC 3339 nor a number since 1970 UTC"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2023-11-14T22:13:20Z", 1_700_000_000_000_000),
        ("2023-11-14T23:13:20.5+01:00", 1_700_000_000_500_000),
        (1_700_000_000, 1_700_000_000_000_000),
        (1_700_000_000.25, 1_700_000_000_250_000),
        (1_700_000_000_123, 1_700_000_000_123_000),
        (1_700_000_000_123_456, 1_700_000_000_123_456),
        (1_700_000_000_123_456_789, 1_700_000_000_123_456),
        (0, 0),
        (-5, -5_000_000),
    ],
)
def test_read_time(value: object, expected: int) -> None:
    assert read_time(value) == expected


@pytest.mark.parametrize(
    "value", ["", "2023-11-14T22:13:20", "now", True, [], {}, float("nan"), float("inf"), "x" * 999]
)
def test_read_time_refuses(value: object) -> None:
    with pytest.raises(ValueError, match="neither RFC 3339 nor a number"):
        read_time(value)


# --- results of processors ---------------------------------------------------------------------------


def test_a_processor_decides_measurement_time_and_sensor() -> None:
    made = Measured({"temp": 44}, measurement="room", sensor="s7", time=T0 - 5)
    ((row,), problems) = rows_of(event({"temp": 22}), [made])
    assert problems == []
    assert (row.measurement, row.time, row.fields) == ("room", T0 - 5, {"temp": 44, "sensor": "s7"})


def test_an_event_that_the_processor_dropped_has_no_rows() -> None:
    assert rows_of(event({"temp": 22}), []) == ([], [])


def test_a_split_event_has_rows_with_identities_of_their_own() -> None:
    rows, problems = rows_of(event({"temp": 22}), [Measured({"x": n}) for n in range(100)])
    assert problems == []
    assert [row.fields["x"] for row in rows] == list(range(100))
    assert len({row.seq for row in rows}) == 100


def test_identities_come_from_the_event_and_are_the_same_each_time() -> None:
    first = rows_of(event({"x": 1}), [Measured({"x": 1}), Measured({"x": 2})])
    again = rows_of(event({"x": 1}), [Measured({"x": 1}), Measured({"x": 2})])
    assert first == again


def test_parts_of_neighbouring_events_never_share_an_identity() -> None:
    """Ids of one process count up, so part 1 of an event must not be what part 0 of the next one is."""
    seen: set[int] = set()
    for id in IDS:
        rows, _ = rows_of(event({"x": 1}, id=id), [Measured({"x": n}) for n in range(200)])
        seen.update(row.seq for row in rows)
        assert all(0 <= row.seq < 2**62 for row in rows)
    assert len(seen) == 200 * len(IDS)


@pytest.mark.parametrize("time", [-1, LATEST, 10**30])
def test_a_time_that_the_store_cannot_hold_is_said(time: int) -> None:
    rows, problems = rows_of(event({"x": 1}), [Measured({"x": 1}, time=time), Measured({"x": 2})])
    assert [row.fields for row in rows] == [{"x": 2}]
    assert len(problems) == 1


def test_a_time_older_than_retention_is_said() -> None:
    rows, problems = rows_of(event({"x": 1}), [Measured({"x": 1}, time=5)], oldest=T0 - 10)
    assert rows == []
    assert problems == [
        f"the time 5 µs is older than what the store keeps ({T0 - 10} µs); is the device's clock right?"
    ]
    assert rows_of(event({"x": 1}), [Measured({"x": 1}, time=T0 - 10)], oldest=T0 - 10)[1] == []


def test_a_measurement_without_room_for_a_field_is_said() -> None:
    rows, problems = rows_of(event({"x": 1}), [Measured({"x": 1}, measurement="m" * 255), Measured({"x": 2})])
    assert [row.fields for row in rows] == [{"x": 2}]
    assert problems[0].endswith("is longer than 254 characters")
    ((row,), problems) = rows_of(event({"x": 1}), [Measured({"x": 1, "yy": 2}, measurement="m" * 254)])
    assert row.fields == {"x": 1}
    assert len(problems) == 1


def test_what_cannot_be_stored_is_said_and_the_rest_is_stored() -> None:
    ((row,), problems) = rows_of(event({"x": 1}), [Measured({"x": 1, "long": "t" * 9000, "odd": b"b"})])
    assert row.fields == {"x": 1}
    assert len(problems) == 2


@given(st.binary(max_size=300), st.sampled_from(["application/json", "text/plain", "application/octet-stream", ""]))
def test_no_payload_gets_an_exception_out(payload: bytes, content_type: str) -> None:
    rows, problems = rows_of(event(payload, content_type=content_type), None)
    for row in rows:
        assert row.fields
    assert all(problem.isprintable() for problem in problems)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=5),
        st.dictionaries(st.sampled_from(["measurement", "sensor", "data", "time", "a", ""]), inner),
    ),
    max_leaves=30,
)


@given(JSON)
def test_all_json_is_rows_or_problems(payload: object) -> None:
    rows, problems = rows_of(event(payload), None)
    assert len(rows) <= MOST_ROWS
    for row in rows:
        assert 0 <= row.time < LATEST
        assert len(row.measurement) < 255
    assert all(problem.isprintable() for problem in problems)
