# SPDX-License-Identifier: Apache-2.0
"""Identifiers: UUIDv7 for events (time-ordered, RFC 9562 5.7), UUIDv4 for resources, random secrets.

`uuid7` costs a tenth of `str(uuid.uuid4())`, because it draws randomness once a process and then counts
(RFC 9562 6.2, method 1): what changes from id to id are the last twelve digits and, each millisecond, the time.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import time
import uuid

_MASK62 = (1 << 62) - 1
_counter = 0
_middle = ""
_last_ms = 0
_head = ""


def _reseed() -> None:
    """New random bits: 26 that stay for this process, and a start for the 48-bit counter.

    The start leaves the counter's upper half free, so that it never wraps and ids stay in order.
    """
    global _counter, _middle, _last_ms
    _last_ms = 0
    stays = int.from_bytes(os.urandom(4), "big")
    _middle = f"-7{stays & 0xFFF:03x}-{0x8000 | stays >> 12 & 0x3FFF:04x}-"
    _counter = int.from_bytes(os.urandom(6), "big") >> 1


_reseed()
# A forked child would go on with its parent's counter and give the same ids.
os.register_at_fork(after_in_child=_reseed)


def uuid7() -> str:
    """A UUIDv7 as canonical text; never falls behind an id given earlier by this process."""
    global _counter, _last_ms, _head
    ms = time.time_ns() // 1_000_000
    if ms > _last_ms:
        _last_ms = ms
        digits = "%012x" % ms  # noqa: UP031 - half the price of an f-string, on the path of every event
        _head = digits[:8] + "-" + digits[8:] + _middle
    _counter += 1
    return _head + "%012x" % _counter  # noqa: UP031


def uuid7_tail(event_id: str) -> int:
    """The 62 distinguishing bits of an id made by `uuid7`, as a non-negative integer that fits in 63 bits.

    Other ids (events that come from elsewhere) are folded into the same range, stable across processes.
    """
    if len(event_id) == 36 and event_id[14] == "7":
        try:
            return int(event_id[19:23] + event_id[24:], 16) & _MASK62
        except ValueError:
            pass  # not hexadecimal: an id of somebody else's form
    # An id may hold anything that JSON can, lone surrogates too.
    digest = hashlib.blake2b(event_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") & _MASK62


def new_uid() -> str:
    """Identity of a resource (application, device, tenant): random, says nothing about its age."""
    return str(uuid.uuid4())


def new_secret(prefix: str = "") -> str:
    """160 random bits as URL-safe text behind an optional prefix: what Freehold hands out as a secret."""
    return prefix + secrets.token_urlsafe(20)
