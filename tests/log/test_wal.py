# SPDX-License-Identifier: Apache-2.0
"""The write-ahead log of the embedded engine stays bounded, whatever the load and whoever reads."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import apsw
import pytest

from freehold.core.settings import Log as LogSettings
from freehold.log.sqlite import schema, writing
from freehold.log.sqlite.engine import SqliteLog, SqliteLogReader
from tests.log.disk import Disk
from tests.log.installation import ALL, read_all, values_of

PAGE = 4096
FRAME = PAGE + 24
SOON, NOW = 40, 200
LARGEST_COMMIT = 70
"""Pages that one commit of these tests dirties at most."""


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "CHECKPOINT_PAGES", SOON)
    monkeypatch.setattr(writing, "CHECKPOINT_NOW_PAGES", NOW)


async def _load(log: SqliteLog, wal: Path, commits: int) -> int:
    """Commits without a pause; returns the largest size that the WAL had."""
    largest = 0
    for _ in range(commits):
        await log.submit([log.route("t", "k")] * 4, [b"x" * 20_000] * 4)
        largest = max(largest, wal.stat().st_size)
    return largest


async def test_the_wal_is_bounded_under_steady_load(place: Path) -> None:
    log = SqliteLog(place, LogSettings(partitions=1))
    await log.start()
    wal = place / (schema.LOG_FILE + "-wal")
    largest = await _load(log, wal, 150)  # some 3,500 pages
    assert largest <= (NOW + 2 * LARGEST_COMMIT) * FRAME
    await log.stop()
    assert not wal.exists()


async def test_the_wal_is_bounded_while_others_poll(place: Path) -> None:
    """Readers in short transactions put a checkpoint off, but not for ever."""
    log = SqliteLog(place, LogSettings(partitions=1))
    await log.start()
    reader = SqliteLogReader(place)
    seen = 0

    async def follow(side: SqliteLogReader) -> None:
        nonlocal seen
        consumer = side.consumer("g", "t")
        while True:
            chunks = await consumer.read(max_records=ALL, max_bytes=ALL, wait=1)
            seen += len(values_of(chunks))
            await side.stats("t")

    following = [asyncio.create_task(follow(side)) for side in (log, reader)]
    largest = await _load(log, place / (schema.LOG_FILE + "-wal"), 150)
    async with asyncio.timeout(60):
        while seen < 2 * 150 * 4:
            await asyncio.sleep(0.01)
    for task in following:
        task.cancel()
    assert largest <= 4 * (NOW + LARGEST_COMMIT) * FRAME
    await reader.stop()
    await log.stop()


async def test_a_reader_that_holds_a_snapshot_delays_nobody_and_costs_nothing_lasting(place: Path) -> None:
    log = SqliteLog(place, LogSettings(partitions=1))
    await log.start()
    wal = place / (schema.LOG_FILE + "-wal")
    await _load(log, wal, 1)
    holding = apsw.Connection(str(place / schema.LOG_FILE))
    cursor = holding.execute("SELECT * FROM batches, (VALUES (1), (2))")
    next(cursor)
    async with asyncio.timeout(60):
        grown = await _load(log, wal, 40)  # it grows, since the snapshot needs it, and the writer goes on
    assert grown > (NOW + LARGEST_COMMIT) * FRAME
    cursor.close()
    await _load(log, wal, 40)
    connection = apsw.Connection(str(place / schema.LOG_FILE))
    connection.execute("SELECT count(*) FROM batches").fetchall()
    frames, _ = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
    assert frames <= NOW + LARGEST_COMMIT
    connection.close()
    holding.close()
    await log.stop()


class _SlowDisk(Disk):
    """Its database file is slow to sync, so that a checkpoint lasts for many commits."""

    def sync(self, path: str) -> None:
        if path.endswith(".db"):
            time.sleep(0.05)
        super().sync(path)


async def test_a_checkpoint_that_runs_beside_it_fails_no_commit(place: Path) -> None:
    """The writer's own checkpoint finds the other at work; what it just committed is durable all the same."""
    disk = _SlowDisk("slow-database", 1)
    log = SqliteLog(place, LogSettings(partitions=1), vfs=disk.name)
    await log.start()
    await _load(log, place / (schema.LOG_FILE + "-wal"), 60)
    assert log.health() is None
    assert len(values_of(await read_all(log, "t"))) == 60 * 4
    await log.stop()
    disk.unregister()


async def test_the_wal_that_a_killed_writer_left_is_worked_off_at_the_start(place: Path) -> None:
    log = SqliteLog(place, LogSettings(partitions=1))
    await log.start()
    await _load(log, place / (schema.LOG_FILE + "-wal"), 5)
    left = place.parent / "left"
    left.mkdir()
    for name in (schema.LOG_FILE, schema.LOG_FILE + "-wal"):
        (left / name).write_bytes((place / name).read_bytes())
    await log.stop()
    assert (left / (schema.LOG_FILE + "-wal")).stat().st_size > 100_000
    after = SqliteLog(left, LogSettings(partitions=1))
    await after.start()
    assert (left / (schema.LOG_FILE + "-wal")).stat().st_size == 0
    assert len(values_of(await read_all(after, "t"))) == 5 * 4
    await after.stop()
