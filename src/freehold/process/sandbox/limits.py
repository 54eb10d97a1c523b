# SPDX-License-Identifier: Apache-2.0
"""How much a processor may use, in one place for all kinds of workers."""

from __future__ import annotations

from dataclasses import dataclass

from freehold.core.settings import Process

PROCESSES = 64
"""Threads that a processor may have. Processes of its own it may not start where seccomp is there."""
FILE_BYTES = 16_777_216
"""Largest file, and size of the private /tmp."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one worker.

    `cpu_seconds` and `wall_seconds` are for one event: the first stops Python code inside the worker, with a
    traceback; past `hard_cpu_seconds` (code in C that does not listen) or `wall_seconds` (sleep, deadlock)
    the worker is killed. `start_seconds` is for starting and loading the script.
    """

    cpu_seconds: float
    memory_bytes: int
    output_bytes: int
    wall_seconds: float
    start_seconds: float = 30.0

    @property
    def hard_cpu_seconds(self) -> float:
        return 2 * self.cpu_seconds + 1.0

    @classmethod
    def of(cls, settings: Process) -> Limits:
        """Wall time is ten times CPU time: on a busy machine a worker, which is nice, waits for its turns."""
        return cls(
            cpu_seconds=settings.cpu_seconds_per_event,
            memory_bytes=settings.memory_bytes,
            output_bytes=settings.output_bytes,
            wall_seconds=max(5.0, 10 * settings.cpu_seconds_per_event),
        )
