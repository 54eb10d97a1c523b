# SPDX-License-Identifier: Apache-2.0
"""What people write in a telemetry URL: times, durations, and the form that they want the answer in.

Pure functions. Each raises `telemetry.query.invalid` with the parameter's name in the detail.
"""

from __future__ import annotations

import re

from freehold.core.errors import QUERY_INVALID, FreeholdError
from freehold.store.fields import shown
from freehold.store.rows import LATEST, read_time

_UNITS = {
    "us": 1,
    "ms": 1000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
    "w": 604_800_000_000,
}
_DURATION = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)(us|ms|s|m|h|d|w)?")
_RELATIVE = re.compile(r"(?:now)?([+-])(.+)")
_NUMBER = re.compile(r"-?[0-9]{1,19}(?:\.[0-9]{1,9})?")

LONGEST = 40

JSON = "application/json"
CSV = "text/csv"
ARROW = "application/vnd.apache.arrow.stream"
FORMATS = {"json": JSON, "csv": CSV, "arrow": ARROW}


def parse_time(name: str, text: str, now: int) -> int:
    """RFC 3339, a number since 1970 (seconds; ms, µs and ns by their size), `now`, `-1h` or `now-1h` → µs."""
    text = text.strip()
    if text == "now":
        return now
    if (relative := _RELATIVE.fullmatch(text)) and _DURATION.fullmatch(relative[2]):
        span = parse_duration(name, relative[2])
        return _within(now - span if relative[1] == "-" else now + span)
    try:
        if _NUMBER.fullmatch(text):
            time = read_time(float(text) if "." in text else int(text))
        else:
            # In a URL a plus sign means a blank, which is how offsets from UTC often arrive.
            time = read_time(text[:LONGEST].replace(" ", "+"))
    except ValueError:
        raise _invalid(name, text, "a time: RFC 3339, seconds since 1970, `now` or like `-1h`") from None
    return _within(time)


def _within(time: int) -> int:
    return min(max(time, 0), LATEST)


def parse_duration(name: str, text: str) -> int:
    """`10s`, `1.5h`, or a number of seconds → µs, more than none."""
    found = _DURATION.fullmatch(text.strip())
    span = round(float(found[1]) * _UNITS[found[2] or "s"]) if found else 0
    if not 0 < span < LATEST:
        raise _invalid(name, text, "a duration like `10s`, `5m`, `1h` or `7d`")
    return span


def choose_format(accept: str, name: str | None) -> str:
    """The media type to answer with: by `?format=`, else by the header `Accept` (RFC 9110, 12.5.1), else JSON."""
    if name is not None:
        return FORMATS[name]
    if not accept.strip():
        return JSON
    ranges = (_media_range(part) for part in accept[:1000].split(","))
    for media, quality in sorted(ranges, key=lambda pair: -pair[1]):
        for offered in FORMATS.values():
            if quality > 0 and media in ("*/*", offered, offered.split("/", 1)[0] + "/*"):
                return offered
    raise QUERY_INVALID.error(f"the header Accept allows none of {', '.join(FORMATS.values())}")


def _media_range(text: str) -> tuple[str, float]:
    media, *parameters = (part.strip().lower() for part in text.split(";"))
    quality = next((value[2:] for value in parameters if value.startswith("q=")), "1")
    try:
        return media, float(quality)
    except ValueError:
        return media, 0.0


def _invalid(name: str, text: str, wanted: str) -> FreeholdError:
    return QUERY_INVALID.error(f"`{name}` is {shown(text)}, not {wanted}")
