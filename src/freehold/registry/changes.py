# SPDX-License-Identifier: Apache-2.0
"""The change feed: which application or device changed, in order, for the caches of every process.

A change is written in the transaction that makes it, so the feed can neither miss one nor tell of one that
was rolled back. The feed is short; a reader that fell behind is told so and forgets everything.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, insert, select

from freehold.core.clock import now_us
from freehold.core.database import Database
from freehold.registry.tables import changes

KEPT = 10_000
"""Changes that the feed holds; hours of editing, or one import of this many devices."""

Change = tuple[str, str | None]
"""(application name, device name or None for the application itself)"""


def record(connection: Connection, changed: Iterable[Change]) -> None:
    """Note `changed` in the running transaction and drop what is old."""
    now = now_us()
    rows = [{"application": application, "device": device, "time": now} for application, device in changed]
    if rows:
        connection.execute(insert(changes), rows)
        connection.execute(delete(changes).where(changes.c.id <= newest(connection) - KEPT))


def newest(connection: Connection) -> int:
    """Id of the last change that `connection` can see; 0 when there is none."""
    return connection.execute(select(func.max(changes.c.id))).scalar() or 0


@dataclass(frozen=True, slots=True)
class News:
    """Changes after a position, up to `position`. `missed`: there were more, and nobody knows which."""

    position: int
    changed: list[tuple[int, Change]]
    missed: bool = False


class Feed:
    """Reads the feed. `moved` may be called in the event loop; the rest blocks."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._watch: sqlite3.Connection | None = None
        self._version = -1

    def open(self) -> int:
        """Start watching; the position from which to `read`."""
        url = self._database.engine.url
        if url.get_backend_name() == "sqlite" and url.database:
            # A connection of its own: `data_version` tells only of commits by others.
            self._watch = sqlite3.connect(url.database, timeout=0, isolation_level=None, check_same_thread=False)
        with self._database.read() as connection:
            return newest(connection)

    def moved(self) -> bool:
        """Whether the database may have changed since the last call: microseconds, reads shared memory.

        Engines that cannot tell (and a database locked at this moment) say yes.
        """
        if self._watch is None:
            return True
        try:
            (version,) = self._watch.execute("PRAGMA data_version").fetchone()
        except sqlite3.OperationalError:
            return True
        before, self._version = self._version, int(version)
        return before != self._version

    def read(self, position: int) -> News:
        """What changed after `position`."""
        c = changes.c
        with self._database.read() as connection:
            rows = connection.execute(select(c.id, c.application, c.device).where(c.id > position).order_by(c.id))
            changed = [(row.id, (row.application, row.device)) for row in rows]
            last = changed[-1][0] if changed else newest(connection)
        # Ids are given without holes, so a hole was pruned; a smaller last id means another, restored database.
        missed = changed[0][0] != position + 1 if changed else last < position
        return News(last, changed, missed)

    def close(self) -> None:
        if self._watch is not None:
            self._watch.close()
            self._watch = None
