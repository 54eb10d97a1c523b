# SPDX-License-Identifier: Apache-2.0
"""Tables of the embedded log, and how its connections are opened.

A group commit writes one row of `batches` for each partition that it touches, whatever the number of
records: at 50 records a commit that is a tenth of the B-tree work of a row a record (Kafka keeps record
batches for the same reason). `seq` orders batches over all partitions, so that one look at its maximum
tells a reader whether anything is new. The index covers everything but the payload: positions, times and
sizes are answered without touching a blob page.

What a commit costs is mostly the pages that it dirties: `AUTOINCREMENT` would add one, a row a partition adds
two each, which is why the default is one partition.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apsw

from freehold.core.errors import DATA_DIRECTORY

LOG_FILE = "log.db"
GROUPS_FILE = "groups.db"

LOG_VERSION = 1
LOG_SCHEMA = """
CREATE TABLE topics (topic TEXT PRIMARY KEY, partitions INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE streams (
    id INTEGER PRIMARY KEY,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    floor INTEGER NOT NULL DEFAULT 0, -- next offset when the stream has no batch left
    UNIQUE (topic, partition)
);
CREATE TABLE batches (
    seq INTEGER PRIMARY KEY, -- given by the writer, never twice
    stream INTEGER NOT NULL,
    base INTEGER NOT NULL,
    count INTEGER NOT NULL,
    time INTEGER NOT NULL,
    size INTEGER NOT NULL,
    data BLOB NOT NULL
);
CREATE TABLE seq_floor (seq INTEGER NOT NULL); -- one row: highest `seq` that removals may have taken
INSERT INTO seq_floor VALUES (0);
CREATE INDEX batches_position ON batches (stream, base, count, time, size);
"""

GROUPS_VERSION = 1
GROUPS_SCHEMA = """
CREATE TABLE positions (
    grp TEXT NOT NULL, topic TEXT NOT NULL, partition INTEGER NOT NULL, next INTEGER NOT NULL,
    PRIMARY KEY (grp, topic, partition)
) WITHOUT ROWID;
"""

NEWEST = "SELECT coalesce(max(seq), 0) FROM batches"

BUSY_MS = 15_000


def open_writer(path: Path, schema: str, version: int, vfs: str | None = None) -> apsw.Connection:
    """Open for writing, made if need be. Durable: `synchronous=FULL` fsyncs at each commit.

    Several processes may do so at once. Raises `DATA_DIRECTORY` for a file of a newer format.
    """
    connection = apsw.Connection(str(path), vfs=vfs)
    try:
        connection.set_busy_timeout(BUSY_MS)
        _use_wal(connection)
        connection.pragma("synchronous", "full")
        if connection.pragma("user_version") == 0:
            _make(connection, schema, version)
        _check(connection, path, version)
    except BaseException:
        connection.close()
        raise
    return connection


def open_reader(path: Path, version: int = LOG_VERSION) -> apsw.Connection | None:
    """Open for reading; None while the writer has not made the file yet. Raises `DATA_DIRECTORY` as above."""
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    except apsw.CantOpenError:
        return None
    try:
        connection.set_busy_timeout(BUSY_MS)
        # A reader in WAL mode must be able to write the shared index, so the file cannot be opened read-only.
        connection.pragma("query_only", True)
        if _check(connection, path, version) == 0:
            connection.close()
            return None
    except apsw.BusyError:
        connection.close()
        return None
    except BaseException:
        connection.close()
        raise
    return connection


def _use_wal(connection: apsw.Connection) -> None:
    # Two that make one file at the same moment: SQLite reports a lock here at once, whatever the time-out says.
    deadline = time.monotonic() + BUSY_MS / 1000
    while True:
        try:
            connection.pragma("journal_mode", "wal")
            return
        except apsw.BusyError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.005)


def _make(connection: apsw.Connection, schema: str, version: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        if connection.pragma("user_version") == 0:  # else another process was quicker
            connection.execute(schema)
            connection.pragma("user_version", version)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _check(connection: apsw.Connection, path: Path, version: int) -> int:
    found: int = connection.pragma("user_version")
    if found > version:
        raise DATA_DIRECTORY.error(f"{path.name} has format {found}; this version knows up to {version}")
    return found


def ask(connection: apsw.Connection, sql: str, values: Sequence[Any] = ()) -> list[Any]:
    """All rows of a small question."""
    return connection.execute(sql, values).fetchall()


def ask_one(connection: apsw.Connection, sql: str, values: Sequence[Any] = ()) -> Any:
    """The first column of the first row, None when there is no row."""
    row = connection.execute(sql, values).fetchone()
    return row[0] if row else None
