# SPDX-License-Identifier: Apache-2.0
"""The one thread that writes: it commits all batches that wait as one transaction, then what came meanwhile.

So a transaction is as large as the disk is slow (group commit), and nothing is acknowledged before `COMMIT`
returned, which with `synchronous=FULL` is after the fsync. Upkeep (rollups, retention) comes as short jobs
between two commits.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import apsw
import structlog

from freehold.core.errors import SHUTTING_DOWN, STORE_UNAVAILABLE, FreeholdError
from freehold.store.interfaces import Batch
from freehold.store.sqlite import schema
from freehold.store.sqlite.counters import Counters
from freehold.store.sqlite.session import Session

_log = structlog.get_logger(__name__)

T = TypeVar("T")
Job = Callable[[Session], Any]
Work = tuple[Batch | Job, Future[Any]]

COMMIT_ROWS = 20_000
"""Rows after which no further batch joins a transaction."""


class Writer:
    """Owns the writing connection. `open` and `close` block; the rest is safe from any thread."""

    def __init__(self, path: Path, *, dead_letters: int, vfs: str | None = None) -> None:
        self._path, self._vfs = path, vfs
        self._dead_letters = dead_letters
        self._work: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._session: Session | None = None
        self._next: Work | None = None
        self._closed = False
        self._ending = False
        self._wal_moved = False
        self.problem: str | None = None
        """What the last transaction failed with; None while they succeed."""
        self.counters = Counters()

    def open(self) -> None:
        """Make or migrate the file, and start. Raises `DATA_DIRECTORY`, `store.unavailable`.

        A disk that is full or fails is no reason not to start: `problem` tells, and it may work again.
        """
        try:
            self._move_wal(self._reopened())
        except (apsw.FullError, apsw.IOError) as cause:
            self._failed(cause)
        except apsw.Error as cause:
            raise _unavailable(cause) from cause
        self._thread.start()

    def write(self, batch: Batch) -> Future[None]:
        """Resolves when `batch` is durable; fails with `store.unavailable`."""
        return self._put(batch)

    def run(self, job: Callable[[Session], T]) -> Future[T]:
        """Do `job` in a transaction of its own, after what was given before. Keep it below some ten ms."""
        return self._put(job)

    def close(self) -> None:
        """Finish what was given, then close the file."""
        self._closed = True
        self._work.put(None)
        if self._thread.is_alive():
            self._thread.join()
        if self._session is not None:
            self._session.connection.close()
            self._session = None

    def _put(self, what: Batch | Job) -> Future[Any]:
        future: Future[Any] = Future()
        if self._closed:
            future.set_exception(SHUTTING_DOWN.error("the telemetry store is closed"))
        else:
            self._work.put((what, future))
        return future

    # --- from here on: the writer's thread -------------------------------------------------------

    def _run(self) -> None:
        while not self._ending and (work := self._next or self._work.get()) is not None:
            self._next = None
            what, future = work
            if isinstance(what, Batch):
                self._commit(self._joined(work))
            else:
                self._settle(future, partial(self._transaction, what))

    def _joined(self, first: Work) -> list[Work]:
        """`first` and the batches right behind it; what else was taken from the queue comes next."""
        together, rows = [first], 0
        while rows < COMMIT_ROWS:
            rows += len(together[-1][0].rows)  # type: ignore[union-attr]  # batches only
            try:
                work = self._work.get_nowait()
            except queue.Empty:
                break
            if work is None:
                self._ending = True
                break
            if not isinstance(work[0], Batch):
                self._next = work
                break
            together.append(work)
        return together

    def _commit(self, together: Sequence[Work]) -> None:
        batches = [batch for batch, _ in together if isinstance(batch, Batch)]
        futures = [future for _, future in together]
        try:
            self._transaction(lambda session: session.apply(batches))
        except FreeholdError as unavailable:
            _fail(futures, unavailable)
        except Exception:
            # Somebody gave what the contract does not know. Batch by batch, looking at each value, so that nobody
            # else's rows stay out for it.
            for batch, future in zip(batches, futures, strict=True):
                self._settle(future, partial(self._apply_carefully, batch))
        else:
            self.counters.rows += sum(len(batch.rows) for batch in batches)
            for future in futures:
                _resolve(future, None)

    def _apply_carefully(self, batch: Batch) -> None:
        self._transaction(lambda session: session.apply([batch], careful=True))
        self.counters.rows += len(batch.rows)

    def _settle(self, future: Future[Any], work: Callable[[], Any]) -> None:
        try:
            result = work()
        except Exception as cause:
            _fail([future], cause)
        else:
            _resolve(future, result)

    def _transaction(self, job: Callable[[Session], T]) -> T:
        """`job` between `BEGIN IMMEDIATE` and `COMMIT`; any failure rolls back and starts a new session."""
        try:
            session = self._session or self._reopened()
            if not self._wal_moved:
                self._move_wal(session)
            schema.run(session.connection, "BEGIN IMMEDIATE")
            result = job(session)
            schema.run(session.connection, "COMMIT")
        except apsw.Error as cause:
            self._failed(cause)
            self._start_anew()
            raise _unavailable(cause) from cause
        except Exception:
            self._take_back()
            raise
        self.counters.commits += 1
        if self.problem is not None:
            self.problem = None
            _log.info("the telemetry store writes again")
        return result

    def _move_wal(self, session: Session) -> None:
        """Before the first transaction: after a crash the WAL may hold what the page cache kept though its fsync
        failed. Nothing may be appended behind that; so it is moved into the file, and the WAL starts empty."""
        with suppress(apsw.BusyError):  # moved, but a reader of another process still looks at it
            session.connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        self._wal_moved = True

    def _failed(self, cause: apsw.Error) -> None:
        if self.problem is None:
            _log.error("the telemetry store cannot write", error=repr(cause))
        self.problem = f"the telemetry store cannot write: {cause}"

    def _take_back(self) -> None:
        """After a fault of ours: the file is well, the transaction and what the session knows of it are not."""
        try:
            if self._session is not None:
                connection = self._session.connection
                _give_up_transaction(connection)
                self._session = self._new_session(connection)
        except apsw.Error:
            self._start_anew()

    def _start_anew(self) -> None:
        # What failed may have been the file itself: a new connection reads its state from disk again. Sources
        # made in the failed transaction are forgotten with the session.
        try:
            self._reopened()
        except (apsw.Error, FreeholdError) as cause:
            _log.error("the telemetry store cannot be opened again yet", error=repr(cause))

    def _reopened(self) -> Session:
        former, self._session = self._session, None
        if former is not None:
            _give_up_transaction(former.connection)
        try:
            self._session = self._new_session(schema.open_writer(self._path, self._vfs))
        finally:
            # Not before: with no connection left, the next one would rebuild the WAL's index from the file, and
            # take for committed what the disk refused and only the page cache still shows.
            if former is not None:
                former.connection.close(force=True)
        return self._session

    def _new_session(self, connection: apsw.Connection) -> Session:
        return Session(connection, self._dead_letters, self.counters)


def _give_up_transaction(connection: apsw.Connection) -> None:
    try:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    except apsw.Error:
        pass  # SQLite has rolled back by itself, or does so when the connection is closed


def _unavailable(cause: apsw.Error) -> FreeholdError:
    return STORE_UNAVAILABLE.error(str(cause))


def _resolve(future: Future[Any], result: Any) -> None:
    if future.set_running_or_notify_cancel():
        future.set_result(result)


def _fail(futures: Sequence[Future[Any]], cause: Exception) -> None:
    for future in futures:
        if future.set_running_or_notify_cancel():
            future.set_exception(cause)
