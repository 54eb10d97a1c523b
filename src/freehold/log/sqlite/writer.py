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
from pathlib import Path

import apsw

from freehold.core.clock import now_us
from freehold.log.interfaces import Route
from freehold.log.sqlite import schema
from freehold.log.sqlite.batches import pack, split
from freehold.log.sqlite.retention import Cut
from freehold.log.sqlite.writing import WritingConnection

Submission = tuple[Sequence[Route], Sequence[bytes]]
Work = Callable[[], None]

_LAST_SEQ = "SELECT max(seq, coalesce((SELECT max(seq) FROM batches), 0)) FROM seq_floor"


class Writer:
    """Owns the writing connection. `commit` runs in the thread; everything else is safe from the loop."""

    def __init__(self, directory: Path, partitions: int, vfs: str | None) -> None:
        self._partitions = partitions
        self._work: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._file = WritingConnection(directory / schema.LOG_FILE, vfs, self._forget)
        self._streams: dict[Route, Stream] = {}
        self._places: dict[tuple[str, int], Stream] = {}
        self._seq: int | None = None

    def open(self) -> None:
        """Open the file, made if need be. Blocking. Raises what SQLite raises, and `DATA_DIRECTORY`."""
        self._file.open()
        self._thread.start()

    def partitions_by_topic(self) -> dict[str, int]:
        """Before the first `do` only: later the connection is the thread's."""
        return dict(schema.ask(self._file.current, "SELECT topic, partitions FROM topics"))

    def do(self, work: Work) -> None:
        """Run `work` in the writer's thread, after everything given before."""
        self._work.put(work)

    def close(self) -> None:
        """Finish what was given, then close. Blocking."""
        self._work.put(None)
        if self._thread.is_alive():
            self._thread.join()
        self._file.close()

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
        with self._file.transaction() as connection:
            seq = schema.ask_one(connection, _LAST_SEQ) if self._seq is None else self._seq
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
        self._file.bound_wal()

    def delete_slice(self, topic: str, rows: int) -> bool:
        """Remove up to `rows` batches of `topic`, and the topic when none is left. True when it is gone."""
        with self._file.transaction() as connection:
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
        self._file.bound_wal()
        return gone

    def cut_slice(self, cuts: deque[Cut], rows: int) -> int:
        """Remove up to `rows` batches as `cuts` say, and the cuts that are done from `cuts`. Returns the bytes."""
        removed = 0
        with self._file.transaction() as connection:
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
        self._file.bound_wal()
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
        connection.execute(f"UPDATE seq_floor SET seq = ({_LAST_SEQ})")

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            work()

    def _forget(self) -> None:
        # Streams made in a failed transaction are gone with it.
        self._streams.clear()
        self._places.clear()
        self._seq = None


class Stream:
    """One partition of a topic as the writer sees it: `next` is the offset that the next record gets."""

    __slots__ = ("id", "next")

    def __init__(self, id: int, next: int) -> None:
        self.id = id
        self.next = next
