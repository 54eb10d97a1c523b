# SPDX-License-Identifier: Apache-2.0
"""The engines that must keep the telemetry store's contract. A new engine adds one entry and no test."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from freehold.store.interfaces import TelemetryReader, TelemetryWriter
from freehold.store.sqlite.engine import SqliteTelemetry
from freehold.store.sqlite.reader import SqliteTelemetryReader

NEVER = 1 << 62


@dataclass(frozen=True)
class Engine:
    """How to make one. `place` is a directory that the tests give and a child process can be told."""

    name: str
    writer: Callable[[Path], TelemetryWriter]
    reader: Callable[[Path, int], TelemetryReader]
    """The second argument bounds the points of an answer."""
    commits: Callable[[Any], int]
    """How often it made something durable."""
    settle: Callable[[Any], Awaitable[object]]
    """Do now what the engine does in its own time: rollups, sealing, compaction."""


def _file(place: Path) -> Path:
    return place / "telemetry.db"


ENGINES: dict[str, Engine] = {
    "sqlite": Engine(
        "sqlite",
        lambda place: SqliteTelemetry(_file(place), dead_letters=50),
        lambda place, most: SqliteTelemetryReader(_file(place), max_points=most),
        lambda store: store.counters.commits,
        lambda store: store.roll_up(before=NEVER),
    ),
}
