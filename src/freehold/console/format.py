# SPDX-License-Identifier: Apache-2.0
"""How the console writes numbers, times, hostile names and payloads. Pure functions, used as Jinja filters.

`static/js/format.js` and `dom.js` do the same in the browser, for what arrives live.
"""

from __future__ import annotations

import json
import re
from typing import Any

from markupsafe import Markup, escape

from freehold.core.clock import to_rfc3339

THIN_SPACE = "\N{NARROW NO-BREAK SPACE}"

LONGEST_PAYLOAD = 4096
"""Bytes of a payload that a page shows; the rest is counted."""

_CODE = re.compile(r"`([^`]+)`")

# Control characters and those that reorder or hide text: a device named with one could pass for another.
_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff]"
)


def visible(text: object, limit: int = 200) -> str:
    """`text` with what cannot be seen made visible (`⟨U+202E⟩`), cut to `limit` characters."""
    plain = str(text)
    cut = plain if len(plain) <= limit else plain[:limit] + "…"
    return _HIDDEN.sub(lambda found: f"⟨U+{ord(found.group()):04X}⟩", cut)


def number(value: float | int, digits: int = 4) -> str:
    """1284 → `1 284`, 0.123456 → `0.1235`."""
    if isinstance(value, int) or (value == int(value) and abs(value) < 1e15):
        return f"{int(value):,}".replace(",", THIN_SPACE)
    size = abs(value)
    if size >= 1e9 or size < 1e-4:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return f"{mantissa}e{int(exponent):+d}"
    places = 1 if size >= 1000 else 2 if size >= 10 else digits
    return f"{value:,.{places}f}".rstrip("0").rstrip(".").replace(",", THIN_SPACE)


def prose(text: str) -> Markup:
    """A sentence of ours in HTML: what stands in backticks becomes code; everything is escaped."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))


def value(anything: object) -> str:
    """Any stored value: numbers as `number` does, truth as JSON writes it, text made visible."""
    if isinstance(anything, bool):
        return "true" if anything else "false"
    if isinstance(anything, int | float):
        return number(anything)
    return visible(anything)


def rate(per_second: float) -> str:
    """A rate that changes all the time: few digits."""
    return number(round(per_second)) if per_second >= 10 else f"{per_second:.1f}".removesuffix(".0")


def ago(seconds: float) -> str:
    """3.2 → `3 s ago`."""
    if seconds < 1:
        return "now"
    for bound, unit, name in ((60, 1, "s"), (3600, 60, "min"), (86_400, 3600, "h")):
        if seconds < bound:
            return f"{int(seconds // unit)} {name} ago"
    return f"{int(seconds // 86_400)} d ago"


def iso(time_us: int) -> str:
    """Microseconds since 1970 → RFC 3339, for `<time datetime>`."""
    return to_rfc3339(time_us)


def size(count: int) -> str:
    """Bytes as people say them: 1536 → `1.5 KiB`."""
    amount = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if amount < 1024 or unit == "GiB":
            return f"{int(amount)} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1024
    raise AssertionError("unreachable")


def pretty_json(anything: Any) -> str:
    """Indented JSON of a value that came from JSON."""
    return json.dumps(anything, indent=2, ensure_ascii=False)


def payload(data: bytes, content_type: str) -> str:
    """A payload as people read it: JSON indented, text as text, everything else as hex, all bounded."""
    shown, rest = data[:LONGEST_PAYLOAD], len(data) - LONGEST_PAYLOAD
    more = f"\n… {size(rest)} more" if rest > 0 else ""
    if "json" in content_type.lower() and not more:
        try:
            return visible_lines(pretty_json(json.loads(data)))
        except (ValueError, RecursionError):
            pass  # declared as what it is not
    try:
        text = shown.decode("utf-8", "strict" if not more else "ignore")
    except UnicodeDecodeError:
        return hexdump(shown) + more
    return (visible_lines(text) if _is_text(text) else hexdump(shown)) + more


def preview(data: bytes, limit: int = 160) -> str:
    """One line of a payload for a table."""
    try:
        text = data[: limit * 4].decode("utf-8", "ignore" if len(data) > limit * 4 else "strict")
    except UnicodeDecodeError:
        text = "\0"
    if not _is_text(text):
        return f"{size(len(data))}: {data[:16].hex(' ')}" + (" …" if len(data) > 16 else "")
    return visible(" ".join(text.split()), limit)


def hexdump(data: bytes) -> str:
    """`0000  68 65 6c 6c 6f   hello` in lines of 16 bytes."""
    lines = []
    for start in range(0, len(data), 16):
        part = data[start : start + 16]
        letters = "".join(chr(byte) if 32 <= byte < 127 else "·" for byte in part)
        lines.append(f"{start:04x}  {part.hex(' '):<47}  {letters}")
    return "\n".join(lines)


def _is_text(text: str) -> bool:
    return not any(ord(character) < 32 and character not in "\t\r\n" for character in text)


def visible_lines(text: str) -> str:
    """Text of several lines with what cannot be seen made visible, line by line."""
    return "\n".join(visible(line, 2000) for line in text.expandtabs(4).splitlines())
