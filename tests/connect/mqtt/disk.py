# SPDX-License-Identifier: Apache-2.0
"""A grip on the disk under a house's log: it can be held (slow), or made to fail, between two commits."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import apsw

from freehold.log.sqlite.writer import Submission
from tests.contract.house import PATIENCE, House


class Disk:
    """Wraps the writer's `commit`, in the writer's own thread; what it commits is committed for real."""

    def __init__(self, house: House) -> None:
        self._writer = house.log._writer
        self._commit = self._writer.commit
        self._free = threading.Event()
        self._free.set()
        self._fails = False
        self._writer.commit = self._controlled  # type: ignore[method-assign]
        self.waiting = 0
        """Commits that wait for the disk now."""

    def _controlled(self, submissions: Sequence[Submission]) -> None:
        self.waiting += 1
        try:
            if not self._free.wait(PATIENCE):
                raise AssertionError("the disk was held for too long")
        finally:
            self.waiting -= 1
        if self._fails:
            raise apsw.FullError("database or disk is full")
        self._commit(submissions)

    def hold(self) -> None:
        """From now on commits wait."""
        self._free.clear()

    def release(self) -> None:
        self._free.set()

    @contextmanager
    def held(self) -> Iterator[None]:
        self.hold()
        try:
            yield
        finally:
            self.release()

    @contextmanager
    def failing(self) -> Iterator[None]:
        self._fails = True
        try:
            yield
        finally:
            self._fails = False
