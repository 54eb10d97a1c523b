# SPDX-License-Identifier: Apache-2.0
"""Moves WAL pages into the database file in a thread of its own, so that commits do not wait for it."""

from __future__ import annotations

import threading
from pathlib import Path

import apsw
import structlog

from freehold.log.sqlite import schema

_log = structlog.get_logger(__name__)


class Checkpointer:
    """Woken by the writer whenever the WAL is long; does what it can beside readers and writer."""

    def __init__(self, path: Path, vfs: str | None) -> None:
        self._path, self._vfs = path, vfs
        self._connection: apsw.Connection | None = None
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="log-checkpoint", daemon=True)

    def wake(self) -> None:
        """Checkpoint soon. From the writer's thread only."""
        if not self._thread.is_alive() and not self._closing:
            self._thread.start()
        self._wake.set()

    def close(self) -> None:
        """End the thread after what it is doing. Blocking; the writer's thread must have ended."""
        self._closing = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        problem = ""
        while True:
            self._wake.wait()
            if self._closing:
                break
            self._wake.clear()
            try:
                self._open().wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
                problem = ""
            except apsw.BusyError:
                continue  # the writer itself is at it
            except apsw.Error as cause:
                # The WAL only grows until the next try; the writer's own bound is the second chance.
                if repr(cause) != problem:
                    problem = repr(cause)
                    _log.warning("checkpoint of the log failed", error=problem)
        if self._connection is not None:
            self._connection.close()

    def _open(self) -> apsw.Connection:
        if self._connection is None:
            self._connection = apsw.Connection(str(self._path), vfs=self._vfs)
            self._connection.set_busy_timeout(schema.BUSY_MS)
        return self._connection
