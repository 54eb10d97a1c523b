# SPDX-License-Identifier: Apache-2.0
"""The one thread that writes the log: it commits what waits, then what came meanwhile, and so on.

The thread and the event loop hand each other whole lists: the loop collects submissions while a commit
runs and passes them on when the commit returns, so neither holds a lock and a batch is as large as the
disk is slow (group commit). Nothing is acknowledged before `COMMIT` returned, which with
`synchronous=FULL` is after the fsync.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import apsw
import structlog

from freehold.core.clock import now_us
from freehold.core.errors import FreeholdError
from freehold.log.interfaces import Route
from freehold.log.sqlite import schema
from freehold.log.sqlite.batches import pack, split
from freehold.log.sqlite.checkpointer import Checkpointer
from freehold.log.sqlite.retention import Cut

_log = structlog.get_logger(__name__)

Submission = tuple[Sequence[Route], Sequence[bytes]]
Work = Callable[[], None]

CHECKPOINT_PAGES = 4_000
"""WAL pages (of 4 KiB: 16 MB) after which a checkpoint runs beside the writer."""

CHECKPOINT_NOW_PAGES = 20_000
"""WAL pages after which the writer itself finishes the checkpoint, so that the WAL can start anew."""


class Writer:
    """Owns the writing connection. `commit` runs in the thread; everything else is safe from the loop."""

    def __init__(self, directory: Path, partitions: int, vfs: str | None) -> None:
        self._path = directory / schema.LOG_FILE
        self._partitions = partitions
        self._vfs = vfs
        self._work: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._checkpointer = Checkpointer(self._path, vfs)
        self._connection: apsw.Connection | None = None
        self._streams: dict[Route, Stream] = {}
        self._places: dict[tuple[str, int], Stream] = {}
        self._wal_pages = 0
        self._complaint = ("", "")
        self._seq = 0

    def open(self) -> None:
        """Open the file (made or migrated). Blocking."""
        self._reopen()
        # After a crash the WAL may hold what the page cache kept though its fsync failed. Nothing may be
        # appended behind that; so it is moved into the file, and the WAL starts empty.
        self._checkpoint(apsw.SQLITE_CHECKPOINT_TRUNCATE)
        self._thread.start()

    def partitions_by_topic(self) -> dict[str, int]:
        return dict(schema.ask(self._connected(), "SELECT topic, partitions FROM topics"))

    def do(self, work: Work) -> None:
        """Run `work` in the writer's thread, after everything given before."""
        self._work.put(work)

    def close(self) -> None:
        """Finish what was given, then close. Blocking."""
        self._work.put(None)
        if self._thread.is_alive():
            self._thread.join()
        self._checkpointer.close()
        if self._connection is not None:
            try:
                self._connection.close()
            except apsw.Error as cause:  # of the last checkpoint: all is in the WAL, where the next start finds it
                self._complain("the log did not close well", cause)
            self._connection = None

    # --- from here on: the writer's thread -------------------------------------------------------

    def commit(self, submissions: Sequence[Submission]) -> None:
        """Make all submissions durable in one transaction. Raises what SQLite raises; then nothing was taken."""
        groups: dict[Route, list[bytes]] = {}
        for routes, values in submissions:
            for route, value in zip(routes, values, strict=True):
                group = groups.get(route)
                if group is None:
                    groups[route] = [value]
                else:
                    group.append(value)
        ends: dict[Stream, int] = {}
        seq = self._seq
        with Transaction(self) as connection:
            now = now_us()
            for route, records in groups.items():
                stream = self._streams.get(route) or self._stream(connection, route)
                base = ends.get(stream, stream.next)
                for part in split(records):
                    data = pack(part)
                    seq += 1
                    connection.execute(
                        "INSERT INTO batches VALUES (?,?,?,?,?,?,?)",
                        (seq, stream.id, base, len(part), now, len(data), data),
                    )
                    base += len(part)
                ends[stream] = base
        # Only now: a failed transaction must not leave a gap in the offsets.
        self._seq = seq
        for stream, base in ends.items():
            stream.next = base
        self._bound_wal()

    def delete_slice(self, topic: str, rows: int) -> bool:
        """Remove up to `rows` batches of `topic`, and the topic when none is left. True when it is gone."""
        with Transaction(self) as connection:
            self._keep_seq(connection)
            connection.execute(
                "DELETE FROM batches WHERE seq IN (SELECT b.seq FROM batches b JOIN streams s ON s.id = b.stream"
                " WHERE s.topic = ? LIMIT ?)",
                (topic, rows),
            )
            gone = connection.changes() < rows
            if gone:
                connection.execute("DELETE FROM streams WHERE topic = ?", (topic,))
                connection.execute("DELETE FROM topics WHERE topic = ?", (topic,))
                self._streams = {route: stream for route, stream in self._streams.items() if route.topic != topic}
                self._places = {place: stream for place, stream in self._places.items() if place[0] != topic}
        self._bound_wal()
        return gone

    def cut_slice(self, cuts: deque[Cut], rows: int) -> int:
        """Remove up to `rows` batches as `cuts` say, and the cuts that are done from `cuts`. Returns the bytes."""
        removed = 0
        with Transaction(self) as connection:
            self._keep_seq(connection)
            while cuts and rows > 0:
                cut = cuts[0]
                doomed = schema.ask(
                    connection,
                    "SELECT seq, base + count, size FROM batches WHERE stream = ?1 AND base < ?2"
                    " AND base + count <= ?2 AND seq <= ?3 ORDER BY base LIMIT ?4",
                    (cut.stream, cut.upto, cut.newest, rows),
                )
                for seq, end, size in doomed:
                    connection.execute("UPDATE streams SET floor = max(floor, ?) WHERE id = ?", (end, cut.stream))
                    connection.execute("DELETE FROM batches WHERE seq = ?", (seq,))
                    removed += size
                if len(doomed) < rows:
                    cuts.popleft()
                # A cut without a batch left costs its look, too.
                rows -= max(1, len(doomed))
        self._bound_wal()
        return removed

    def _stream(self, connection: apsw.Connection, route: Route) -> Stream:
        connection.execute(
            "INSERT OR IGNORE INTO topics (topic, partitions) VALUES (?, ?)",
            (route.topic, self._partitions),
        )
        connection.execute(
            "INSERT OR IGNORE INTO streams (topic, partition) VALUES (?, ?)",
            (route.topic, route.partition),
        )
        ((number, following),) = schema.ask(
            connection,
            "SELECT id, max(floor, coalesce((SELECT base + count FROM batches WHERE stream = id"
            " ORDER BY base DESC LIMIT 1), 0)) FROM streams WHERE topic = ? AND partition = ?",
            (route.topic, route.partition),
        )
        # Routes compare by identity, and one made before its topic was deleted may still be in use beside a new
        # one: both must count on the same stream.
        place = (route.topic, route.partition)
        stream = self._streams[route] = self._places.setdefault(place, Stream(number, following))
        return stream

    def _keep_seq(self, connection: apsw.Connection) -> None:
        """Before rows are removed: the newest may be among them, and its `seq` must not come again."""
        connection.execute("UPDATE seq_floor SET seq = ?", (self._seq,))

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            work()

    def _bound_wal(self) -> None:
        if self._wal_pages >= CHECKPOINT_NOW_PAGES:
            # The checkpointer has done most of it, but under steady load never the last pages. Here, between
            # two commits, nothing can be added, so the checkpoint completes and the WAL starts anew.
            self._checkpoint(apsw.SQLITE_CHECKPOINT_PASSIVE)
        elif self._wal_pages >= CHECKPOINT_PAGES:
            self._checkpointer.wake()

    def _checkpoint(self, mode: int) -> None:
        try:
            self._connected().wal_checkpoint(mode=mode)
        except apsw.BusyError:
            pass  # the checkpointer or a reader is at it: the next commit tries again
        except apsw.Error as cause:
            # What was committed is durable in the WAL all the same; it only grows until the next try.
            self._complain("checkpoint of the log failed", cause)

    def _connected(self) -> apsw.Connection:
        if self._connection is None:
            raise RuntimeError("the log is not open")
        return self._connection

    def recover(self) -> None:
        """After a failed transaction: what failed may have been the file, so a new connection reads it again."""
        try:
            self._reopen()
        except (apsw.Error, OSError, FreeholdError) as cause:
            self._complain("the log cannot be opened again yet", cause)

    def _reopen(self) -> None:
        # Streams made in a failed transaction are gone with it.
        self._streams.clear()
        self._places.clear()
        former = self._connection
        if former is not None and former.in_transaction:
            with suppress(apsw.Error):  # then closing it rolls back
                former.execute("ROLLBACK")
        connection = schema.open_writer(self._path, schema.LOG_SCHEMA, schema.LOG_VERSION, self._vfs)
        connection.wal_autocheckpoint(0)
        connection.set_wal_hook(self._on_wal)
        sql = "SELECT max(seq, coalesce((SELECT max(seq) FROM batches), 0)) FROM seq_floor"
        self._seq = schema.ask_one(connection, sql)
        self._connection = connection
        # Not before: with no connection left, the next one would rebuild the WAL's index from the file, and take
        # for committed what the disk refused and only the page cache still shows.
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


class Stream:
    """One partition of a topic as the writer sees it: `next` is the offset that the next record gets."""

    __slots__ = ("id", "next")

    def __init__(self, id: int, next: int) -> None:
        self.id = id
        self.next = next


class Transaction:
    """`BEGIN IMMEDIATE` … `COMMIT`; any failure rolls back and leaves a connection that works again."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def __enter__(self) -> apsw.Connection:
        self._connection = self._writer._connected()
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except BaseException:
            self._writer.recover()
            raise
        return self._connection

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            try:
                self._connection.execute("COMMIT")
            except BaseException:
                self._writer.recover()
                raise
        else:
            self._writer.recover()
