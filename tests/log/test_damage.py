# SPDX-License-Identifier: Apache-2.0
"""Damaged records of the embedded log: named exactly, never returned, and the rest is still there."""

from __future__ import annotations

import gc
from pathlib import Path

import apsw
import pytest

from freehold.core.settings import Log as LogSettings
from freehold.log.interfaces import Consumer, RecordDamaged
from freehold.log.sqlite import schema
from freehold.log.sqlite.engine import SqliteLog
from tests.log.engines import ENGINES
from tests.log.installation import ALL, Installation, read_on, values_of

COUNT = 10
VALUES = [b"record number %d" % n for n in range(COUNT)]


@pytest.fixture
def engine() -> object:
    return ENGINES["sqlite"]


async def _filled(installation: Installation) -> SqliteLog:
    """Three batches of ten records in one partition."""
    log = await installation.open(LogSettings(partitions=1))
    for _ in range(3):
        await log.submit([log.route("t", "k")] * COUNT, VALUES)
    assert isinstance(log, SqliteLog)
    return log


def _alter(place: Path, base: int, place_in_batch: int, flip: int = 0x10) -> None:
    """Flip bits of one stored byte, as a bad disk would."""
    connection = apsw.Connection(str(place / schema.LOG_FILE))
    connection.set_busy_timeout(5000)
    data = connection.execute("SELECT data FROM batches WHERE base = ?", (base,)).get
    assert isinstance(data, bytes)
    changed = bytearray(data)
    changed[place_in_batch] ^= flip
    connection.execute("UPDATE batches SET data = ? WHERE base = ?", (bytes(changed), base))
    connection.close()


async def _read_past_damage(consumer: Consumer) -> tuple[list[bytes], list[int]]:
    """All that can be read, and the offsets that cannot."""
    values: list[bytes] = []
    places: list[tuple[str, int, int]] = []
    while True:
        try:
            chunks = await consumer.read(max_records=7, max_bytes=ALL, wait=0)
        except RecordDamaged as damage:
            places.append((damage.topic, damage.partition, damage.offset))
            await consumer.seek({0: damage.offset + 1})
            continue
        if not chunks:
            damaged = [offset for *_, offset in places]
            assert places == [("t", 0, offset) for offset in sorted(set(damaged))]
            return values, damaged
        values += values_of(chunks)


HEAD = 8 * COUNT


@pytest.mark.parametrize("base", [0, 10, 20])
@pytest.mark.parametrize(
    ("place_in_batch", "record"),
    [
        (HEAD, 0),
        (HEAD + 3 * 15 + 4, 3),
        (HEAD + 10 * 15 - 1, 9),
        (0, 0),  # the length of the first
        (4 * 4, 4),
        (9 * 4 + 3, 9),  # a length of gigabytes
        (4 * COUNT, 0),  # a checksum
        (4 * COUNT + 5 * 4, 5),
    ],
)
async def test_one_damaged_record_costs_one_record(
    installation: Installation, base: int, place_in_batch: int, record: int
) -> None:
    log = await _filled(installation)
    _alter(installation.place, base, place_in_batch)
    consumer = log.consumer("g", "t")
    values, damaged = await _read_past_damage(consumer)
    assert damaged == [base + record]
    expected = VALUES * 3
    del expected[base + record]
    assert values == expected


async def test_two_damaged_records_in_one_batch(installation: Installation) -> None:
    log = await _filled(installation)
    _alter(installation.place, 10, HEAD + 2 * 15)
    _alter(installation.place, 10, HEAD + 7 * 15)
    values, damaged = await _read_past_damage(log.consumer("g", "t"))
    assert damaged == [12, 17]
    assert values == VALUES + [value for n, value in enumerate(VALUES) if n not in (2, 7)] + VALUES


async def test_a_damaged_record_is_refused_again_and_again(installation: Installation) -> None:
    log = await _filled(installation)
    _alter(installation.place, 10, HEAD)
    consumer = log.consumer("g", "t")
    await consumer.seek({0: 10})
    for _ in range(3):
        with pytest.raises(RecordDamaged, match=r"record t/0@10 is damaged"):
            await consumer.read(max_records=ALL, max_bytes=ALL, wait=0)
    assert consumer.positions() == {0: 10}


async def test_what_is_whole_comes_before_the_complaint(installation: Installation) -> None:
    log = await _filled(installation)
    _alter(installation.place, 10, HEAD + 15)
    consumer = log.consumer("g", "t")
    chunks = await consumer.read(max_records=ALL, max_bytes=ALL, wait=0)
    assert values_of(chunks) == [*VALUES, VALUES[0]]
    with pytest.raises(RecordDamaged) as found:
        await consumer.read(max_records=ALL, max_bytes=ALL, wait=0)
    assert found.value.offset == 11


async def test_a_batch_without_its_bytes(installation: Installation) -> None:
    log = await _filled(installation)
    connection = apsw.Connection(str(installation.place / schema.LOG_FILE))
    connection.execute("UPDATE batches SET data = x'' WHERE base = 10")
    connection.close()
    values, damaged = await _read_past_damage(log.consumer("g", "t"))
    assert damaged == list(range(10, 20))
    assert values == VALUES * 2


async def test_a_kept_exception_keeps_no_snapshot(installation: Installation) -> None:
    """Dead letters keep exceptions. One that held the reading cursor would let the WAL grow for ever."""
    log = await _filled(installation)
    _alter(installation.place, 0, HEAD)
    with pytest.raises(RecordDamaged) as kept:
        await log.consumer("g", "t").read(max_records=ALL, max_bytes=ALL, wait=0)
    await log.submit([log.route("t", "k")] * COUNT, VALUES)
    connection = apsw.Connection(str(installation.place / schema.LOG_FILE))
    gc.collect()
    assert schema.ask_one(connection, schema.NEWEST) == 4
    frames, moved = connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    connection.close()
    assert kept.value.offset == 0
    assert (frames, moved) == (0, 0)  # busy would have raised


async def test_damage_in_one_partition_stops_no_other(installation: Installation) -> None:
    log = await installation.open(LogSettings(partitions=4))
    keys = {log.route("t", f"k{n}").partition: f"k{n}" for n in range(100)}
    for partition, key in keys.items():
        await log.submit([log.route("t", key)] * COUNT, [b"%d" % partition] * COUNT)
    connection = apsw.Connection(str(installation.place / schema.LOG_FILE))
    connection.execute(
        "UPDATE batches SET data = x'00' WHERE stream = (SELECT id FROM streams WHERE topic = 't' AND partition = 2)"
    )
    connection.close()
    consumer = log.consumer("g", "t")
    values: list[bytes] = []
    complaints = 0
    for _ in range(8):
        try:
            values += values_of(await consumer.read(max_records=ALL, max_bytes=ALL, wait=0))
        except RecordDamaged as damage:
            complaints += damage.partition == 2  # and this consumer does not even seek past it
    assert complaints
    assert sorted(values) == sorted([b"0"] * COUNT + [b"1"] * COUNT + [b"3"] * COUNT)
    await consumer.seek({2: COUNT})
    assert await read_on(consumer) == []
