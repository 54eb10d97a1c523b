# SPDX-License-Identifier: Apache-2.0
"""An event, and what its processor made of it → the rows to store. Pure functions.

Nothing here raises for what a device or a processor sent: what fits is stored, and what does not is said in
sentences that make the event a dead letter, for a person to read and to retry after a change.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import msgspec

from freehold.core.clock import from_rfc3339
from freehold.core.ids import uuid7_tail
from freehold.events.content import declares_json, declares_text
from freehold.events.models import Event
from freehold.process.interfaces import Measured
from freehold.store.fields import LONGEST_NAME, clean, flatten, shown
from freehold.store.interfaces import Row

MOST_ROWS = 1000
"""Rows of one event."""

LATEST = 253_402_300_800_000_000
"""Year 10000, which RFC 3339 cannot write: times end before."""

_MYT = frozenset(("measurement", "sensor", "data"))
_MYT_WITH_TIME = _MYT | {"time"}

_MASK = (1 << 62) - 1
_STRIDE = 0x1E37_79B9_7F4A_7C15
"""Odd and far from 1: ids count up, and part n of one event must not meet the event that came n later."""

_decode = msgspec.json.Decoder().decode


def rows_of(event: Event, measured: Sequence[Measured] | None, *, oldest: int = 0) -> tuple[list[Row], list[str]]:
    """The rows of an event, and one sentence for each thing that could not be stored.

    `measured` is what the event's processor returned, None where there is no processor: then the payload is
    read as it came (`docs/telemetry.md` says how). Times before `oldest` (microseconds) are refused: the
    store would have deleted them already.
    """
    problems: list[str] = []
    if measured is None:
        measured = _read(event, problems)
    if len(measured) > MOST_ROWS:
        problems.append(f"{len(measured)} rows are more than the {MOST_ROWS} of one event")
        measured = measured[:MOST_ROWS]
    rows: list[Row] = []
    tail = uuid7_tail(event.id)
    for index, part in enumerate(measured):
        row = _row(event, part, (tail + index * _STRIDE) & _MASK, oldest, problems)
        if row is not None:
            rows.append(row)
    return rows, problems


def _row(event: Event, part: Measured, seq: int, oldest: int, problems: list[str]) -> Row | None:
    measurement = part.measurement or event.subject
    if not measurement.isascii():
        measurement = clean(measurement)
    time = event.time if part.time is None else part.time
    if not oldest <= time < LATEST:
        problems.append(_out_of_range(time, oldest))
        return None
    room = LONGEST_NAME - len(measurement)
    if room < 1:
        problems.append(f"the measurement's name {shown(measurement)} is longer than {LONGEST_NAME - 1} characters")
        return None
    fields = flatten(part.data, room, problems)
    if part.sensor is not None and part.sensor != event.device and "sensor" not in fields:
        fields.update(flatten({"sensor": part.sensor}, room, problems))
    if not fields:
        return None
    return Row(event.applicationuid, event.device, measurement, time, seq, fields)


def _out_of_range(time: int, oldest: int) -> str:
    if time >= LATEST:
        return f"the time {time} µs lies after the year 9999"
    if time < 0:
        return f"the time {time} µs lies before 1970"
    return f"the time {time} µs is older than what the store keeps ({oldest} µs); is the device's clock right?"


# --- payloads without a processor -------------------------------------------------------------------


def _read(event: Event, problems: list[str]) -> Sequence[Measured]:
    """What the payload measures; nothing for an empty one."""
    if not event.data:
        return ()
    kind = _kind(event.datacontenttype)
    if kind == "other":
        return ()  # no mistake: CBOR, say, is for whoever reads the events, until a processor makes fields of it
    try:
        payload = _parse(event.data)
    except ValueError as cause:
        if kind == "json":
            problems.append(f"the payload is not JSON: {cause}")
            return ()
        payload = event.data.decode("utf-8", "replace")
    if kind == "text" and not isinstance(payload, bool | int | float):
        payload = event.data.decode("utf-8", "replace")
    if isinstance(payload, list) and payload and all(isinstance(item, dict) for item in payload):
        return [part for item in payload if (part := _measured(item, problems)) is not None]
    part = _measured(payload if isinstance(payload, dict) else {"value": payload}, problems)
    return () if part is None else (part,)


@lru_cache(maxsize=256)
def _kind(content_type: str) -> str:
    if declares_json(content_type):
        return "json"
    return "text" if declares_text(content_type) else "other"


def _parse(data: bytes) -> Any:
    try:
        return _decode(data)
    except msgspec.ValidationError:
        return json.loads(data)  # JSON with a number that no double holds: infinite to `json`, then no value


def _measured(payload: dict[str, Any], problems: list[str]) -> Measured | None:
    """One object: MyT's envelope (contract myt.md 1.14, with a `time` beside), or fields as they are."""
    keys = payload.keys()
    if keys != _MYT and keys != _MYT_WITH_TIME:
        return Measured(payload)
    measurement, sensor, data = payload["measurement"], payload["sensor"], payload["data"]
    if not (isinstance(measurement, str) and isinstance(sensor, str) and isinstance(data, dict)):
        return Measured(payload)
    try:
        time = None if payload.get("time") is None else read_time(payload["time"])
    except ValueError as cause:
        problems.append(str(cause))
        return None
    return Measured(data, measurement, sensor, time)


def read_time(value: Any) -> int:
    """A device's time → microseconds: RFC 3339 text, or a number since 1970 UTC in s, ms, µs or ns.

    The unit follows from the size: devices send what their clock library gives them, and from 1973 to 5138
    no count of one unit can be one of another. Raises ValueError, with a sentence for the owner.
    """
    try:
        if isinstance(value, str):
            return from_rfc3339(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            for bound, factor in ((1e11, 1_000_000), (1e14, 1000), (1e17, 1)):
                if abs(value) < bound:
                    return round(value * factor)
            return int(value) // 1000
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"the time {shown(str(value))} is neither RFC 3339 nor a number since 1970 UTC")
