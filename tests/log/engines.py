# SPDX-License-Identifier: Apache-2.0
"""The engines that must keep the log's contract. A new engine adds one entry to `ENGINES` and no test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from freehold.core.lifecycle import Component
from freehold.core.settings import Log as LogSettings
from freehold.log.interfaces import EventLog, LogReader
from freehold.log.sqlite import writing
from freehold.log.sqlite.engine import SqliteLog, SqliteLogReader


class ReadingSide(LogReader, Component, Protocol):
    """A reader with a life of its own, as the pipeline and the API have one."""


@dataclass(frozen=True)
class Engine:
    """How to make one. `place` is a directory that the tests give and a child process can be told."""

    name: str
    log: Callable[[Path, LogSettings], EventLog]
    reader: Callable[[Path], ReadingSide]
    hastened: Callable[[], AbstractContextManager[None]]
    """What happens once in a while (checkpoints, segment changes) happens all the time within."""


@contextmanager
def _sqlite_hastened() -> Iterator[None]:
    usual = writing.CHECKPOINT_PAGES, writing.CHECKPOINT_NOW_PAGES
    writing.CHECKPOINT_PAGES, writing.CHECKPOINT_NOW_PAGES = 20, 100
    try:
        yield
    finally:
        writing.CHECKPOINT_PAGES, writing.CHECKPOINT_NOW_PAGES = usual


ENGINES: dict[str, Engine] = {
    "sqlite": Engine("sqlite", SqliteLog, SqliteLogReader, _sqlite_hastened),
}
