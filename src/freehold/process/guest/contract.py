# SPDX-License-Identifier: Apache-2.0
"""What `main` gets and what it may return (contract myt.md 1.14, and the richer form of docs/processors.md).

* A message in MyT's shape (`measurement`, `sensor`, `data`, perhaps `time`) gives its `data`; rows keep the rest.
* Other JSON gives itself; what is not an object comes as `{"value": ...}`.
* Other payloads give `{"text": ...}` or `{"data_base64": ...}`, to scripts that take `event` only.
"""

from __future__ import annotations

import re
from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

from .channel import JSON, TEXT
from .codec import decode, encode

ENVELOPE = frozenset({"measurement", "sensor", "time", "data"})
LONGEST_NAME = 256
MOST_RESULTS = 1000
"""Parts into which one event may be split."""
LATEST = 253_402_300_799_999_999
"""9999-12-31T23:59:59.999999Z in microseconds."""

Names = tuple[str | None, str | None, int | None]
"""Measurement, sensor and time (microseconds) of a message in MyT's shape."""
NAMELESS: Names = (None, None, None)


class Broken(Exception):
    """The payload or the result is not of the agreed form; the text goes to the owner as it is."""


def unwrap(payload: memoryview, kind: int, *, takes_event: bool) -> tuple[dict[str, Any], Names]:
    """What `main` gets as `data`, and the names that the message brings. Raises `Broken`."""
    if kind == JSON:
        return _unwrap_json(payload)
    if not takes_event:
        raise Broken("the payload is not JSON; only main(data, event) gets such payloads")
    if kind == TEXT:
        try:
            return {"text": str(payload, "utf-8")}, NAMELESS
        except UnicodeDecodeError:
            pass  # the content type promised text, the bytes are not: they come as bytes
    return {"data_base64": b64encode(payload).decode()}, NAMELESS


def _unwrap_json(payload: memoryview) -> tuple[dict[str, Any], Names]:
    if not payload:
        return {}, NAMELESS
    try:
        value = decode(payload)
    except RecursionError:
        raise Broken("the payload is nested too deeply") from None
    except ValueError as error:
        raise Broken(f"the payload is not JSON: {error}") from None
    if not isinstance(value, dict):
        return {"value": value}, NAMELESS
    if "measurement" in value and "sensor" in value and isinstance(value.get("data"), dict):
        measurement, sensor = value["measurement"], value["sensor"]
        if isinstance(measurement, str) and isinstance(sensor, str | int | float):
            return value["data"], (measurement or None, str(sensor) or None, to_microseconds(value.get("time")))
    return value, NAMELESS


def pack(result: Any, names: Names) -> bytes:
    """What `main` returned as a JSON array of `[data, measurement, sensor, time]`. Raises `Broken`."""
    if isinstance(result, dict):
        if names is NAMELESS and "data" not in result:
            return b"[[" + encode(result) + b"]]"
        return b"[" + _one(result, names) + b"]"
    if result is None:
        return b"[]"
    if isinstance(result, (list, tuple)):
        if len(result) > MOST_RESULTS:
            raise Broken(f"main returned {len(result)} results; at most {MOST_RESULTS} are taken")
        return b"[" + b",".join([_one(part, names) for part in result]) + b"]"
    raise Broken(f"main returned {_type_of(result)}; it must return a dict, a list of dicts, or None to drop the event")


def _one(result: Any, names: Names) -> bytes:
    if not isinstance(result, dict):
        raise Broken(f"main returned a list with {_type_of(result)} in it; only dicts may be in it")
    measurement, sensor, time = names
    if not (ENVELOPE.issuperset(result) and isinstance(result.get("data"), dict)):
        return encode([result, _name(measurement), _name(sensor), time])
    return encode(
        [
            result["data"],
            _name(result.get("measurement", measurement)),
            _name(result.get("sensor", sensor)),
            time if result.get("time") is None else to_microseconds(result["time"]),
        ]
    )


def _name(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_NAME:
        raise Broken(f"`measurement` and `sensor` must be text of 1 to {LONGEST_NAME} characters")
    return value


def to_microseconds(value: Any) -> int | None:
    """RFC 3339 text, a datetime with its zone, or a number since 1970 UTC in s, ms, µs or ns.

    The unit follows from the size, as in the store: 1e11 seconds and 1e14 milliseconds are the year 5138.
    """
    if value is None:
        return None
    if isinstance(value, str):
        moment = _parse(value)
    elif isinstance(value, datetime):
        moment = value
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        return _scale(value)
    else:
        raise Broken(f"`time` is {_type_of(value)}; it must be RFC 3339 text or a number")
    if moment.tzinfo is None:
        raise Broken("`time` needs its offset from UTC, as in 2026-11-22T02:00:00Z")
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return _in_range((delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds)


_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)?", re.ASCII)


def _parse(text: str) -> datetime:
    if not _RFC3339.fullmatch(text[:64]):
        raise Broken(f"`time` {text[:64]!r} is not RFC 3339, as in 2026-11-22T02:00:00Z")
    try:
        return datetime.fromisoformat(text.upper())
    except ValueError as error:
        raise Broken(f"`time` {text[:64]!r}: {error}") from None


def _scale(value: float) -> int:
    for bound, factor in ((1e11, 1_000_000), (1e14, 1000), (1e17, 1)):
        if abs(value) < bound:
            return _in_range(round(value * factor))
    if abs(value) < 1e20:
        return _in_range(int(value) // 1000)
    raise Broken("`time` lies outside of the years 1970 to 9999")  # NaN ends here too


def _in_range(microseconds: int) -> int:
    if not 0 <= microseconds <= LATEST:
        raise Broken("`time` lies outside of the years 1970 to 9999")
    return microseconds


def _type_of(value: Any) -> str:
    name = type(value).__name__
    return f"an {name}" if name[:1] in "aeiou" else f"a {name}"
