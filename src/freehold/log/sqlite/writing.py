# SPDX-License-Identifier: Apache-2.0
"""The writing connection: transactions that leave no trace when they fail, and a WAL that stays bounded.

A disk that fails must cost the transaction that met it and nothing else. So after a failure the file is opened
anew, and the former connection is closed only then: with no connection left, SQLite would rebuild the WAL's
index from the file, and take for committed what the disk refused and only the page cache still shows. Later
transactions would lie behind that, and a power cut would take them, acknowledged or not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import apsw
import structlog

from freehold.core.errors import FreeholdError
from freehold.log.sqlite import schema
from freehold.log.sqlite.checkpointer import Checkpointer

_log = structlog.get_logger(__name__)

CHECKPOINT_PAGES = 4_000
"""WAL pages (of 4 KiB: 16 MB) after which a checkpoint runs beside the writer."""

CHECKPOINT_NOW_PAGES = 20_000
"""WAL pages after which the writer itself finishes the checkpoint, so that the WAL can start anew."""


class WritingConnection:
    """For one thread at a time. `forget` is called when what was read through it may not be so any more."""

    def __init__(self, path: Path, vfs: str | None, forget: Callable[[], None]) -> None:
        self._path, self._vfs, self._forget = path, vfs, forget
        self._connection: apsw.Connection | None = None
        self._checkpointer = Checkpointer(path, vfs)
        self._wal_pages = 0
        self._complaint = ("", "")

    @property
    def current(self) -> apsw.Connection:
        if self._connection is None:
            raise RuntimeError("the log is not open")
        return self._connection

    def open(self) -> None:
        """Open the file, made if need be. Blocking. Raises what SQLite raises, and `DATA_DIRECTORY`."""
        self._renew()
        # After a crash the WAL, too, may hold what the page cache kept though its fsync failed. Nothing may be
        # appended behind that; so it is moved into the file, and the WAL starts empty.
        self._checkpoint(apsw.SQLITE_CHECKPOINT_TRUNCATE)

    def close(self) -> None:
        """Blocking."""
        self._checkpointer.close()
        if self._connection is not None:
            try:
                self._connection.close()
            except apsw.Error as cause:  # of the last checkpoint: all is in the WAL, where the next start finds it
                self._complain("the log did not close well", cause)
            self._connection = None

    @contextmanager
    def transaction(self) -> Iterator[apsw.Connection]:
        """`BEGIN IMMEDIATE` … `COMMIT`; any failure rolls back and leaves a connection that works again."""
        try:
            connection = self.current
            connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            self._recover()
            raise

    def bound_wal(self) -> None:
        """After a transaction. Raises nothing: what was committed is durable, whatever becomes of the WAL."""
        if self._wal_pages >= CHECKPOINT_NOW_PAGES:
            # The checkpointer has done most of it, but under steady load never the last pages. Here, between
            # two commits, nothing can be added, so the checkpoint completes and the WAL starts anew.
            self._checkpoint(apsw.SQLITE_CHECKPOINT_PASSIVE)
        elif self._wal_pages >= CHECKPOINT_PAGES:
            self._checkpointer.wake()

    def _checkpoint(self, mode: int) -> None:
        try:
            self.current.wal_checkpoint(mode=mode)
        except apsw.BusyError:
            pass  # the checkpointer or a reader is at it: the next commit tries again
        except apsw.Error as cause:
            self._complain("checkpoint of the log failed", cause)

    def _recover(self) -> None:
        try:
            self._renew()
        except (apsw.Error, OSError, FreeholdError) as cause:
            # The former connection stays, rolled back; the next transaction that fails tries again.
            self._complain("the log cannot be opened again yet", cause)

    def _renew(self) -> None:
        self._forget()
        former = self._connection
        if former is not None and former.in_transaction:
            with suppress(apsw.Error):  # then closing it rolls back
                former.execute("ROLLBACK")
        connection = schema.open_writer(self._path, schema.LOG_SCHEMA, schema.LOG_VERSION, self._vfs)
        connection.wal_autocheckpoint(0)
        connection.set_wal_hook(self._on_wal)
        self._connection = connection
        if former is not None:
            former.close(force=True)

    def _complain(self, event: str, cause: Exception) -> None:
        # A disk that fails does so at each of thousands of commits: say it once.
        if (event, str(cause)) != self._complaint:
            self._complaint = (event, str(cause))
            _log.warning(event, error=repr(cause))

    def _on_wal(self, _connection: apsw.Connection, _name: str, pages: int) -> int:
        self._wal_pages = pages
        return apsw.SQLITE_OK
