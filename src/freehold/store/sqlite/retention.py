# SPDX-License-Identifier: Apache-2.0
"""Deleting what is past its age, and everything of an application, in steps of some milliseconds.

Each function does one step inside a transaction of the writer's thread; between two steps writes get
through. Before the first step of a retention the floor is raised, in a transaction of its own: from then on
readers and writer agree that nothing lies before it, however much of it is still in the file.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass

import apsw
import msgspec

from freehold.store.sqlite import schema
from freehold.store.sqlite.rollup import count_points
from freehold.store.sqlite.schema import SLOTS
from freehold.store.sqlite.session import Session

STEP_ROWS = 2000
"""Rows that one step deletes: some ten milliseconds."""

LOOK_COSTS = 10
"""What finding nothing to delete costs, in rows."""

VACUUM_PAGES = 500
"""Free pages that one step gives back to the disk."""

NEVER = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Source:
    """A row of `sources`, as far as deleting needs it."""

    id: int
    application: str
    fields: int


def sources(session: Session, application: str | None = None) -> list[Source]:
    """Of one application, or all."""
    where, values = ("", ()) if application is None else ("WHERE application = ?", (application,))
    found = schema.rows(session.connection, f"SELECT id, application, fields FROM sources {where}", values)
    return [Source(id, owner, len(msgspec.json.decode(fields))) for id, owner, fields in found]


def raise_floor(session: Session, name: str, time: int) -> bool:
    """Let `time` be the floor of 'raw' values or 'rollup's. False when minutes before it are still stale."""
    if name == "raw":
        if schema.row(session.connection, "SELECT 1 FROM stale_minutes WHERE bucket < ? LIMIT 1", (time,)):
            return False
        session.floor = max(session.floor, time)
    sql = "INSERT INTO floors VALUES (?, ?) ON CONFLICT DO UPDATE SET time = max(time, excluded.time)"
    schema.run(session.connection, sql, (name, time))
    return True


def sweep(session: Session, todo: deque[Source], *, raw: int = NEVER, rollup: int = NEVER) -> int:
    """One step through `todo`: raw rows and rollups before these times. Returns how many values went.

    Sources that are done leave `todo`; one that nothing is left of leaves the file.
    """
    gone, budget = 0, STEP_ROWS
    while todo and budget > 0:
        source = todo[0]
        values, deleted, more = _delete_points(session.connection, source, raw)
        if not more:
            rollups, more = _delete_rollups(session.connection, source, rollup)
            deleted += rollups
        if not more:
            _drop_if_empty(session, source)
            todo.popleft()
        gone += values
        budget -= deleted + LOOK_COSTS
    return gone


def _delete_points(connection: apsw.Connection, source: Source, before: int) -> tuple[int, int, bool]:
    """The oldest raw rows of a source. Returns how many values and rows went, and whether there is more."""
    ahead = "SELECT time FROM points WHERE source = ? AND time < ? ORDER BY time, seq LIMIT 1 OFFSET ?"
    found = schema.row(connection, ahead, (source.id, before, STEP_ROWS))
    # Up to and with the time found: rows of one time go together, or the step would never get past them.
    end = before if found is None else found[0] + 1
    columns = " + ".join(f"count(v{slot})" for slot in range(source.fields)) or "0"
    where = "FROM points WHERE source = ? AND time < ?"
    (values,) = schema.row(connection, f"SELECT {columns} {where}", (source.id, end))
    schema.run(connection, f"DELETE {where}", (source.id, end))
    deleted = connection.changes()
    count_points(connection, Counter({source.application: -values}))
    return values, deleted, found is not None


def _delete_rollups(connection: apsw.Connection, source: Source, before: int) -> tuple[int, bool]:
    """The oldest minutes and hours of a source's series. Returns how many went, and whether there is more."""
    deleted, more = 0, False
    for series in range(source.id * SLOTS, source.id * SLOTS + source.fields):
        for table in ("minutes", "hours"):
            ahead = f"SELECT bucket FROM {table} WHERE series = ? AND bucket < ? ORDER BY bucket LIMIT 1 OFFSET ?"
            found = schema.row(connection, ahead, (series, before, STEP_ROWS // SLOTS))
            end = before if found is None else found[0]
            schema.run(connection, f"DELETE FROM {table} WHERE series = ? AND bucket < ?", (series, end))
            deleted += connection.changes()
            more = more or found is not None
    return deleted, more


def _drop_if_empty(session: Session, source: Source) -> None:
    first = source.id * SLOTS
    for sql, values in (
        ("SELECT 1 FROM points WHERE source = ? LIMIT 1", (source.id,)),
        ("SELECT 1 FROM minutes WHERE series BETWEEN ? AND ? LIMIT 1", (first, first + SLOTS - 1)),
        ("SELECT 1 FROM hours WHERE series BETWEEN ? AND ? LIMIT 1", (first, first + SLOTS - 1)),
    ):
        if schema.row(session.connection, sql, values):
            return
    for sql in (
        "DELETE FROM stale_minutes WHERE source = ?",
        "DELETE FROM stale_hours WHERE source = ?",
        "DELETE FROM sources WHERE id = ?",
    ):
        schema.run(session.connection, sql, (source.id,))
    session.forget_sources()


def bound_letters(session: Session, most: int) -> None:
    """The newest `most` dead letters of each application stay."""
    for (application,) in schema.rows(session.connection, "SELECT DISTINCT application FROM dead_letters"):
        session.bound_letters(application, most)


def give_back(session: Session) -> bool:
    """Free pages to the disk, while they are a tenth of the file. Returns whether there is more."""
    free, pages = (session.connection.pragma(name) for name in ("freelist_count", "page_count"))
    if free * 10 < pages:
        return False
    schema.run(session.connection, f"PRAGMA incremental_vacuum({VACUUM_PAGES})")
    return True


# --- a whole application ----------------------------------------------------------------------------


def begin_purge(session: Session, application: str) -> None:
    """Remember that this application is to go, in case a crash comes between."""
    sql = "INSERT INTO applications (application, purging) VALUES (?, 1) ON CONFLICT DO UPDATE SET purging = 1"
    schema.run(session.connection, sql, (application,))


def purging(session: Session) -> list[str]:
    sql = "SELECT application FROM applications WHERE purging"
    return [application for (application,) in schema.rows(session.connection, sql)]


def delete_letters(session: Session, application: str) -> bool:
    sql = "DELETE FROM dead_letters WHERE rowid IN (SELECT rowid FROM dead_letters WHERE application = ? LIMIT ?)"
    schema.run(session.connection, sql, (application, STEP_ROWS // 10))
    return session.connection.changes() > 0


def end_purge(session: Session, application: str) -> None:
    for table in ("device_states", "applications"):
        schema.run(session.connection, f"DELETE FROM {table} WHERE application = ?", (application,))
    schema.run(session.connection, "DELETE FROM positions WHERE topic = ?", (application,))
