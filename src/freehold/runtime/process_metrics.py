# SPDX-License-Identifier: Apache-2.0
"""What a role's process itself uses: CPU time, memory, descriptors.

CPU is a counter of seconds and not a percentage: a percentage needs two looks, and the first one of MyT's
was always 0 (contract myt.md 2.3, case 22). Children count too: a processor's CPU time is the pipeline's.
"""

from __future__ import annotations

import os
import resource
from pathlib import Path

from freehold.core.metrics import MetricSet, Sample


def register(metrics: MetricSet, role: str) -> None:
    """Add the process metrics, labelled with the role."""

    def sample(value: float) -> list[Sample]:
        return [({"role": role}, value)]

    metrics.counter("process_cpu_seconds", "CPU time of this role", lambda: sample(cpu_seconds()))
    metrics.gauge("process_resident_bytes", "Resident memory of this role", lambda: sample(resident_bytes()))
    metrics.gauge("process_open_files", "Open descriptors of this role", lambda: sample(open_files()))


def cpu_seconds() -> float:
    """User and system time of this process and of the children that ended."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def resident_bytes() -> int:
    """Resident memory now; the peak where the system does not tell (no /proc)."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def open_files() -> int:
    """Open descriptors; 0 where the system does not tell."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0
