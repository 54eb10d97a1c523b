# SPDX-License-Identifier: Apache-2.0
"""The host's watch over a worker that owes an answer: the last word where the worker's own limits do not reach.

Code in C does not hear the timer inside the worker, and `sleep` uses no CPU time. So the host looks four times
a second at what the kernel has counted, and at the clock.
"""

from __future__ import annotations

import asyncio
import signal
from typing import Any

from freehold.process.guest.budget import EXIT_BUSY_WHILE_IDLE
from freehold.process.sandbox.launch import Launched
from freehold.process.sandbox.limits import Limits

LOOK = 0.25
"""Seconds between two looks."""


class Lost(Exception):
    """The worker must be replaced. `hung`: it was still at an event, else it ended or talks garbage.

    The text is for the owner; it is empty when the exit code says more.
    """

    def __init__(self, reason: str = "", *, hung: bool = False) -> None:
        super().__init__(reason)
        self.hung = hung


async def watch(process: Launched, reading: asyncio.Future[Any], limits: Limits) -> None:
    """Return when `reading` is done. Raises `Lost` when one event takes too long."""
    await asyncio.wait({reading}, timeout=LOOK)
    waited, used_before = LOOK, -1.0
    while not reading.done():
        used = process.cpu_seconds()
        if used_before < 0:
            used_before = used
        if used - used_before > limits.hard_cpu_seconds:
            raise Lost(f"used more than {limits.cpu_seconds:g} s of CPU time and did not stop", hung=True)
        if waited >= limits.wall_seconds:
            raise Lost(f"did not finish within {limits.wall_seconds:g} s", hung=True)
        await asyncio.wait({reading}, timeout=LOOK)
        waited += LOOK


def ending(code: int) -> str:
    """What an exit code says about a worker that ended by itself."""
    if code == EXIT_BUSY_WHILE_IDLE:
        return "a thread of the script kept the processor busy between events"
    if code > 128:
        try:
            return f"ended its worker with {signal.Signals(code - 128).name}"
        except ValueError:
            pass  # not a signal that this machine knows
    return f"ended its worker (exit code {code})"
