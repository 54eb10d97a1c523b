# SPDX-License-Identifier: Apache-2.0
"""CPU time per event, watched by a timer that ticks while the processor burns CPU and costs nothing else.

Arming a timer per event would cost two system calls each. Instead ITIMER_PROF ticks eight times per limit,
and the handler looks whether the same event is still running: after eight ticks it raises in the script.
This stops Python code in the main thread. A loop inside a C function, or another thread for which the main
one waits, does not see it; the host's watchdog ends those.
"""

from __future__ import annotations

import os
import select
import signal
from types import FrameType

TICKS = 8
"""Ticks per limit: an event is stopped after 8 to 9 eighths of its limit."""
IDLE_TICKS = 4 * TICKS
EXIT_BUSY_WHILE_IDLE = 75


class CpuTimeExceeded(BaseException):
    """Raised in the script. Not an Exception, so that `except Exception:` does not swallow it."""


class Budget:
    """`at` is the serial number of the running event, or the negative of another number between events.

    Every event and every pause has a number of its own; the batch loop sets it.
    """

    __slots__ = ("_seen", "_ticks", "_wake", "at")

    def __init__(self) -> None:
        self.at = -1
        self._seen = -1
        self._ticks = 0
        self._wake = -1

    def start(self, seconds: float) -> None:
        """Tick from now on; an event may use `seconds` of CPU time, all threads of the script together."""
        # The kernel hands a tick to the thread that burns, and Python runs handlers in the main thread only:
        # without this a main thread that waits for the next batch would never hear of it.
        self._wake, woken = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(woken, False)
        signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        signal.signal(signal.SIGPROF, self._tick)
        signal.setitimer(signal.ITIMER_PROF, seconds / TICKS, seconds / TICKS)

    def wait(self, descriptor: int) -> None:
        """Return when `descriptor` can be read."""
        waiting = select.poll()
        waiting.register(descriptor, select.POLLIN)
        waiting.register(self._wake, select.POLLIN)
        while all(ready != descriptor for ready, _ in waiting.poll()):
            os.read(self._wake, 65_536)

    def _tick(self, _signal: int, _frame: FrameType | None) -> None:
        if self.at != self._seen:
            self._seen, self._ticks = self.at, 0
            return
        self._ticks += 1
        if self.at >= 0:
            if self._ticks >= TICKS:
                raise CpuTimeExceeded
        elif self._ticks >= IDLE_TICKS:
            # A thread that the script left behind burns CPU between events. Nobody waits for an answer
            # now, so nothing is lost by ending; the host starts again for the next batch.
            os._exit(EXIT_BUSY_WHILE_IDLE)
