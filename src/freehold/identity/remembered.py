# SPDX-License-Identifier: Apache-2.0
"""A few seconds of memory for sign-in look-ups, so that a page with twenty requests costs one query.

Keys are keyed hashes, never secrets. What is revoked in this process is forgotten at once; what another
process revokes, after `SECONDS` at the latest.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from freehold.identity.models import Principal

SECONDS = 5.0
SIZE = 1024


class Remembered:
    """Bounded map of hash → principal whose entries live for `SECONDS`. Safe between threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, size: int = SIZE) -> None:
        self._clock = clock
        self._size = size
        self._lock = threading.Lock()
        self._entries: OrderedDict[bytes, tuple[float, Principal]] = OrderedDict()
        self._epoch = 0

    @property
    def epoch(self) -> int:
        """Changes whenever something is forgotten; take it before the query whose result you `put`."""
        return self._epoch

    def get(self, key: bytes) -> Principal | None:
        with self._lock:
            until, principal = self._entries.get(key, (0.0, None))
            return principal if self._clock() < until else None

    def put(self, key: bytes, principal: Principal, epoch: int) -> None:
        """Keep `principal`, unless something was forgotten since `epoch`: it may have been this one."""
        with self._lock:
            if epoch != self._epoch:
                return
            self._entries[key] = (self._clock() + SECONDS, principal)
            self._entries.move_to_end(key)
            if len(self._entries) > self._size:
                self._entries.popitem(last=False)

    def forget(self) -> None:
        """Forget everything: revoking is rare and the next look-ups cost one query each."""
        with self._lock:
            self._epoch += 1
            self._entries.clear()
