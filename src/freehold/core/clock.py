# SPDX-License-Identifier: Apache-2.0
"""Time as Freehold writes it: integer microseconds since 1970 UTC, and RFC 3339 text made from them.

One place, because two things depend on how time is read: `now_us` never gives the same value twice in a
process, so that two events of one device in the same microsecond stay two points (contract myt.md 2.3,
case 25), and formatting is on the hot path, so the text of the running second is made once.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_last_us = 0
_running: tuple[int, str] = (-1, "")
"""The second that was last written, and its text: one object, so that no thread sees the halves of two."""

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def now_us() -> int:
    """Microseconds since the epoch, strictly increasing within this process.

    Not thread-safe by design: a lock would cost more than the call. A process that stamps from several
    threads may see one value twice; nothing but the tie-break of equal times rests on it.
    """
    global _last_us
    now = time.time_ns() // 1000
    if now <= _last_us:
        now = _last_us + 1
    _last_us = now
    return now


def to_rfc3339(time_us: int) -> str:
    """`2026-11-22T02:00:00.123456Z` (RFC 3339, 5.6), always UTC, always six digits."""
    global _running
    second, fraction = divmod(time_us, 1_000_000)
    known, text = _running
    if second != known:
        text = (_EPOCH + timedelta(seconds=second)).isoformat()[:19]
        _running = (second, text)
    return f"{text}.{fraction:06d}Z"


def from_rfc3339(text: str) -> int:
    """Microseconds of an RFC 3339 time; digits past the sixth are cut.

    Raises ValueError on anything else, and on a leap second, which has no place among the microseconds.
    """
    if not _RFC3339.fullmatch(text):  # `fromisoformat` alone takes weeks, bare dates and times without offset
        raise ValueError("not a time with its offset from UTC (RFC 3339, 5.6)")
    delta = datetime.fromisoformat(text.upper()) - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
