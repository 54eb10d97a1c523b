# SPDX-License-Identifier: Apache-2.0
"""The database file: tables, their format's number, and how connections are opened.

Values lie in rows as wide as events are, not one row a value: `points` has one row for each event and
sixteen values (a *source* is such a group of up to sixteen fields of one device and measurement). Measured
against one row a value, that is 4.8 against 14 µs an event of four fields, half the bytes on disk, and a
fifth of the pages written when many devices share a batch. `WITHOUT ROWID` keeps the rows of a source
together in the order of time, which is how they are read.

SQLite's types are those of values: integers and floats as they are, text as text, a bool as a blob of one
byte. Numbers sort before text and blobs, so `v < ''` says that `v` is a number, without a function call.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import apsw

from freehold.core.errors import DATA_DIRECTORY

SLOTS = 16
"""Values in one row of `points`."""

MINUTE = 60_000_000
HOUR = 3_600_000_000

FALSE, TRUE = b"\x00", b"\x01"

CACHE_KIB = 32_768
BUSY_MS = 15_000

CHECKPOINT_PAGES = 4000
"""WAL pages (of 4 KiB: 16 MB) at which a commit also checkpoints. The default of 1000 doubles the cost of
a batch that touches a thousand devices, because every page is moved more often."""

WAL_BYTES = 67_108_864
"""What remains of a WAL that a long read made longer."""

_ROLLUP = """(
    series INTEGER NOT NULL, -- source * 16 + slot
    bucket INTEGER NOT NULL, -- start of the minute or hour, microseconds
    count INTEGER NOT NULL, -- values of every type
    numbers INTEGER NOT NULL,
    sum REAL NOT NULL, -- of numbers, as are min and max
    min, max,
    last NOT NULL, -- of every type
    PRIMARY KEY (series, bucket)
) WITHOUT ROWID"""

_STALE = """(
    source INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    due INTEGER NOT NULL, -- wall clock, microseconds, at which to roll up
    writes INTEGER NOT NULL, -- tells whether the bucket was written to while it was rolled up
    PRIMARY KEY (source, bucket)
) WITHOUT ROWID"""

_FORMAT_1 = f"""
CREATE TABLE sources (
    id INTEGER PRIMARY KEY,
    application TEXT NOT NULL, device TEXT NOT NULL, measurement TEXT NOT NULL,
    part INTEGER NOT NULL, -- counts on when a device and measurement has more than 16 fields
    fields TEXT NOT NULL, -- JSON array of names, in the order of the slots
    UNIQUE (application, device, measurement, part)
);
CREATE TABLE points (
    source INTEGER NOT NULL, time INTEGER NOT NULL, seq INTEGER NOT NULL,
    {", ".join(f"v{slot}" for slot in range(SLOTS))},
    PRIMARY KEY (source, time, seq)
) WITHOUT ROWID;
CREATE TABLE minutes {_ROLLUP};
CREATE TABLE hours {_ROLLUP};
CREATE TABLE stale_minutes {_STALE};
CREATE INDEX stale_minutes_due ON stale_minutes (due);
CREATE TABLE stale_hours {_STALE};
CREATE INDEX stale_hours_due ON stale_hours (due);
CREATE TABLE applications (
    application TEXT PRIMARY KEY,
    points INTEGER NOT NULL DEFAULT 0, -- values in raw rows whose minute is rolled up
    purging INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE TABLE positions (
    topic TEXT NOT NULL, partition INTEGER NOT NULL, next INTEGER NOT NULL, PRIMARY KEY (topic, partition)
) WITHOUT ROWID;
CREATE TABLE device_states (
    application TEXT NOT NULL, device TEXT NOT NULL, last_event INTEGER NOT NULL, last_channel TEXT NOT NULL,
    connected INTEGER, PRIMARY KEY (application, device)
) WITHOUT ROWID;
CREATE TABLE dead_letters (
    application TEXT NOT NULL, event_id TEXT NOT NULL, time INTEGER NOT NULL, device TEXT NOT NULL,
    channel TEXT NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL, event BLOB NOT NULL,
    processor_version INTEGER NOT NULL, PRIMARY KEY (application, event_id)
);
CREATE INDEX dead_letters_age ON dead_letters (application, time);
CREATE TABLE floors (
    name TEXT PRIMARY KEY, -- 'raw' and 'rollup'
    time INTEGER NOT NULL -- what is older was deleted, or is about to be
) WITHOUT ROWID;
"""

MIGRATIONS: dict[int, Callable[[apsw.Connection], None]] = {
    0: lambda connection: run(connection, _FORMAT_1),
}
"""Format n → what makes format n + 1 of it. Format 0 is a new file."""

FORMAT = max(MIGRATIONS) + 1


def open_writer(path: Path, vfs: str | None = None) -> apsw.Connection:
    """The connection that writes; the file is made or migrated. Raises `DATA_DIRECTORY` for a newer format."""
    connection = apsw.Connection(str(path), vfs=vfs)
    try:
        connection.set_busy_timeout(BUSY_MS)
        # Only in a new file does this count: what retention frees goes back to the disk bit by bit.
        connection.pragma("auto_vacuum", "incremental")
        _use_wal(connection)
        connection.pragma("synchronous", "full")
        connection.pragma("cache_size", -CACHE_KIB)
        connection.pragma("temp_store", "memory")
        connection.pragma("journal_size_limit", WAL_BYTES)
        connection.wal_autocheckpoint(CHECKPOINT_PAGES)
        found = format_of(connection, path)
        for step in range(found, FORMAT):
            with connection:
                MIGRATIONS[step](connection)
                connection.pragma("user_version", step + 1)
    except BaseException:
        connection.close()
        raise
    return connection


def open_reader(path: Path, vfs: str | None = None) -> apsw.Connection | None:
    """A connection that only reads; None while the writer has not made the file. Raises `DATA_DIRECTORY` as above."""
    try:
        # Not SQLITE_OPEN_READONLY: a reader of a WAL file marks in the shared index what it is reading.
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE, vfs=vfs)
    except apsw.CantOpenError:
        if path.exists():
            raise
        return None
    try:
        connection.set_busy_timeout(BUSY_MS)
        connection.pragma("query_only", True)
        connection.pragma("temp_store", "memory")
        if format_of(connection, path) < FORMAT:
            connection.close()  # being made right now; the writer migrates before it starts
            return None
    except BaseException:
        connection.close()
        raise
    return connection


def format_of(connection: apsw.Connection, path: Path) -> int:
    found: int = connection.pragma("user_version")
    if found > FORMAT:
        raise DATA_DIRECTORY.error(f"{path.name} has format {found}; this version knows up to {FORMAT}")
    return found


def run(connection: apsw.Connection, sql: str, values: Sequence[Any] = ()) -> None:
    """Execute to the end: a cursor of `apsw` stops at each row it could give."""
    for _ in connection.execute(sql, values):
        pass


def rows(connection: apsw.Connection, sql: str, values: Sequence[Any] = ()) -> list[Any]:
    return connection.execute(sql, values).fetchall()


def row(connection: apsw.Connection, sql: str, values: Sequence[Any] = ()) -> Any:
    """The first row, None when there is none."""
    return connection.execute(sql, values).fetchone()


def _use_wal(connection: apsw.Connection) -> None:
    # While somebody else opens the file, SQLite reports a lock here at once, whatever the time-out says.
    deadline = time.monotonic() + BUSY_MS / 1000
    while True:
        try:
            connection.pragma("journal_mode", "wal")
            return
        except apsw.BusyError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.005)
