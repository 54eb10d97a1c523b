# SPDX-License-Identifier: Apache-2.0
"""What one address may get wrong in a minute, and what one application may send in a second.

Both tables are bounded: an attacker with many addresses makes us forget, never grow.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

WINDOW_SECONDS = 60.0
ADDRESSES = 8192
APPLICATIONS = 8192


@dataclass(slots=True)
class _Window:
    ends: float
    guesses: int = 0
    repeats: int = 0


class FailureLimits:
    """Failed sign-ins by address.

    A *guess* is a failure that was never seen before, a *repeat* the very same one again. An address with too
    many guesses may not try anything that is not known to be right. Repeats teach an attacker nothing, so
    they only ever limit themselves: one device with an outdated secret, sending it for ever, does not lock
    out its neighbours behind the same router.
    """

    def __init__(
        self,
        per_minute: int,
        *,
        size: int = ADDRESSES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_minute = per_minute
        self._size = size
        self._clock = clock
        self._windows: dict[str, _Window] = {}

    def may_try(self, address: str) -> bool:
        """Whether `address` may still have unknown credentials checked."""
        window = self._current(address)
        return window is None or window.guesses < self._per_minute

    def may_repeat(self, address: str) -> bool:
        """Whether a failure that is known already is still answered with its reason."""
        window = self._current(address)
        return window is None or window.guesses + window.repeats < self._per_minute

    def guessed(self, address: str) -> None:
        self._open(address).guesses += 1

    def repeated(self, address: str) -> None:
        self._open(address).repeats += 1

    def _current(self, address: str) -> _Window | None:
        key = network(address)
        window = self._windows.get(key)
        if window is not None and self._clock() >= window.ends:
            del self._windows[key]
            return None
        return window

    def _open(self, address: str) -> _Window:
        window = self._current(address)
        if window is None:
            if len(self._windows) >= self._size:
                # Windows are as long as each other, so the first that was opened is the first that ends.
                del self._windows[next(iter(self._windows))]
            window = self._windows[network(address)] = _Window(self._clock() + WINDOW_SECONDS)
        return window

    def __len__(self) -> int:
        return len(self._windows)


def network(address: str) -> str:
    """What is limited for `address`: itself, or its /64 where it is IPv6 (one customer has all of that)."""
    if ":" not in address:
        return address
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(IPv6Address(int(parsed) >> 64 << 64))


class Seldom:
    """Says yes once a minute for each key, so that a flood of refusals writes one line to the log."""

    def __init__(self, *, size: int = ADDRESSES, clock: Callable[[], float] = time.monotonic) -> None:
        self._size = size
        self._clock = clock
        self._until: dict[str, float] = {}

    def first(self, key: str) -> bool:
        """True for the first call with `key` in a minute."""
        now = self._clock()
        if now < self._until.get(key, 0.0):
            return False
        self._until.pop(key, None)  # to the end: the first in the table is the first that ends
        if len(self._until) >= self._size:
            del self._until[next(iter(self._until))]
        self._until[key] = now + WINDOW_SECONDS
        return True

    def __len__(self) -> int:
        return len(self._until)


@dataclass(slots=True)
class _Bucket:
    level: float
    time: float


class Quotas:
    """Events per second by application: a token bucket that holds one second's worth.

    A batch passes while the bucket is not empty and may leave it in debt: so any batch can pass, and the
    rate holds on average. `per_second` is at least 1.
    """

    def __init__(
        self,
        per_second: int,
        *,
        size: int = APPLICATIONS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_second = per_second
        self._size = size
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    def allows(self, application: str) -> bool:
        """Whether `application` (uid) may send now."""
        return self._filled(application).level > 0

    def take(self, application: str, events: int) -> None:
        self._filled(application).level -= events

    def _filled(self, application: str) -> _Bucket:
        now = self._clock()
        bucket = self._buckets.get(application)
        if bucket is None:
            if len(self._buckets) >= self._size:
                del self._buckets[next(iter(self._buckets))]
            bucket = self._buckets[application] = _Bucket(float(self._per_second), now)
            return bucket
        grown = bucket.level + (now - bucket.time) * self._per_second
        bucket.level = min(float(self._per_second), grown)
        bucket.time = now
        return bucket

    def __len__(self) -> int:
        return len(self._buckets)
