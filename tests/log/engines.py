# SPDX-License-Identifier: Apache-2.0
"""The engines that must keep the log's contract. A new engine adds one entry to `ENGINES` and no test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from freehold.core.lifecycle import Component
from freehold.core.settings import Log as LogSettings
from freehold.log.interfaces import EventLog, LogReader
from freehold.log.sqlite import writer
from freehold.log.sqlite.engine import SqliteLog, SqliteLogReader


class ReadingSide(LogReader, Component, Protocol):
    """A reader with a life of its own, as the pipeline and the API have one."""


@dataclass(frozen=True)
class Engine:
    """How to make one. `place` is a directory that the tests give and a child process can be told."""

    name: str
    log: Callable[[Path, LogSettings], EventLog]
    reader: Callable[[Path], ReadingSide]
    hasten: Callable[[], None]
    """Make what happens once in a while (checkpoints, segment changes) happen all the time in this process."""


def _hasten_sqlite() -> None:
    writer.CHECKPOINT_PAGES = 20
    writer.CHECKPOINT_NOW_PAGES = 100


ENGINES: dict[str, Engine] = {
    "sqlite": Engine("sqlite", SqliteLog, SqliteLogReader, _hasten_sqlite),
}
