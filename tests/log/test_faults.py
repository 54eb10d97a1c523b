# SPDX-License-Identifier: Apache-2.0
"""The embedded log on a disk that fails, at every kind of operation, and that loses its power.

A disk that fails costs the submissions that meet the failure and no others: those are refused, the health
page says why, and it all ends by itself when the disk works again.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from freehold.core.errors import DATA_DIRECTORY, LOG_UNAVAILABLE, FreeholdError
from freehold.core.settings import Log as LogSettings
from freehold.log.sqlite.engine import SqliteLog
from tests.log.disk import KINDS, Disk, Kind
from tests.log.engines import ENGINES
from tests.log.numbered import Name, check, record

SETTINGS = LogSettings(partitions=2)
KEYS = ("a", "b", "c")
SEED = 20_261
ROUNDS = 4
SOAK_ROUNDS = 400

_disks = itertools.count()


@pytest.fixture(autouse=True)
def _frequent_checkpoints() -> Iterator[None]:
    with ENGINES["sqlite"].hastened():
        yield


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    print(f"seed {request.param}")
    return int(request.param)


def rounds(count: int, soak: int) -> pytest.MarkDecorator:
    """`count` seeds always, `soak` others in the long run."""
    seeds: list[object] = [SEED + n for n in range(count)]
    seeds += [pytest.param(SEED + n, marks=pytest.mark.soak) for n in range(count, soak)]
    return pytest.mark.parametrize("seed", seeds, indirect=True)


@pytest.fixture
def disk(request: pytest.FixtureRequest) -> Iterator[Disk]:
    made = Disk(f"disk-{next(_disks)}", SEED)
    yield made
    made.unregister()


class Load:
    """Submits numbered records of several keys, and knows what became of each."""

    def __init__(self, log: SqliteLog, chance: random.Random) -> None:
        self._log, self._chance = log, chance
        self._numbers = dict.fromkeys(KEYS, 0)
        self.acknowledged: list[Name] = []
        self.refused: list[Name] = []

    async def run(self, submissions: int) -> None:
        """Several in flight at once, in submissions of different widths."""
        left = submissions
        while left > 0:
            flight = min(left, self._chance.randint(1, 4))
            left -= flight
            await asyncio.gather(*(self._submit() for _ in range(flight)))

    async def _submit(self) -> None:
        names = [self._next() for _ in range(self._chance.choice((1, 1, 2, 6)))]
        routes = [self._log.route("t", key) for key, _ in names]
        try:
            await self._log.submit(routes, [record(*name) for name in names])
        except FreeholdError as refusal:
            if refusal.refusal is not LOG_UNAVAILABLE:
                raise
            self.refused += names
        else:
            self.acknowledged += names

    def _next(self) -> Name:
        key = self._chance.choice(KEYS)
        self._numbers[key] += 1
        return key, self._numbers[key]


async def _checked(place: Path, acknowledged: list[Name]) -> set[Name]:
    """Open what is in `place` on the ordinary disk; it must hold what was acknowledged, and take more."""
    log = SqliteLog(place, SETTINGS)
    await log.start()
    try:
        found = await check(log, "t", acknowledged)
        await log.append("t", "z", record("z", 1))
        assert await check(log, "t", acknowledged) == found | {("z", 1)}
    finally:
        await log.stop()
    return found


@pytest.mark.parametrize("kind", KINDS)
@rounds(ROUNDS, SOAK_ROUNDS)
async def test_a_failing_disk_costs_only_what_it_refuses(place: Path, disk: Disk, kind: Kind, seed: int) -> None:
    chance = random.Random(f"{kind}{seed}")
    log = SqliteLog(place, SETTINGS, vfs=disk.name)
    await log.start()
    load = Load(log, chance)
    await load.run(chance.randint(0, 20))
    disk.fail(kind, before=chance.randrange(20), count=chance.choice((1, 2, 5, 30)))
    await load.run(40)
    disk.heal()
    if chance.random() < 0.5:
        await log.retain(age_us=10**15, bytes_per_topic=1 << 50)  # whatever else the writer does, too
    await load.run(10)
    assert log.health() is None
    assert set(load.acknowledged) == await check(log, "t", load.acknowledged)
    await log.stop()
    assert set(load.acknowledged) == await _checked(place, load.acknowledged)


@pytest.mark.parametrize("kind", KINDS)
async def test_refusals_name_the_reason_until_the_disk_works_again(place: Path, disk: Disk, kind: Kind) -> None:
    log = SqliteLog(place, SETTINGS, vfs=disk.name)
    await log.start()
    await log.append("t", "k", b"before")
    disk.fail(kind)
    for _ in range(3):
        with pytest.raises(FreeholdError) as refused:
            await log.append("t", "k", b"meanwhile")
        assert refused.value.refusal is LOG_UNAVAILABLE
        health = log.health()
        assert health is not None
        assert health.startswith("the log cannot be written: ")
        assert ("full" if kind in ("short-write", "enospc") else "I/O error") in health
    disk.heal()
    await log.append("t", "k", b"after")
    assert log.health() is None
    await log.stop()


async def test_retention_and_deletion_on_a_failing_disk(place: Path, disk: Disk) -> None:
    log = SqliteLog(place, SETTINGS, vfs=disk.name)
    await log.start()
    load = Load(log, random.Random(SEED))
    await load.run(30)
    for kind in KINDS:
        disk.fail(kind)
        for attempt in (log.retain(age_us=0, bytes_per_topic=0), log.delete_topic("t")):
            with pytest.raises(FreeholdError) as refused:
                await attempt
            assert refused.value.refusal is LOG_UNAVAILABLE
        disk.heal()
        await load.run(3)
    assert set(load.acknowledged) == await check(log, "t", load.acknowledged)
    assert await log.retain(age_us=0, bytes_per_topic=0) > 0
    await log.delete_topic("t")
    assert await log.topics() == []
    await log.stop()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_disk_that_fails_at_the_first_start(place: Path, disk: Disk, kind: Kind) -> None:
    """Wherever it stops, the next start makes a whole log of what is there."""
    failures = 0
    for operation in range(0, 24, 2):
        there = place / str(operation)
        disk.fail(kind, before=operation)
        log = SqliteLog(there, SETTINGS, vfs=disk.name)
        try:
            await log.start()
        except FreeholdError as refusal:
            failures += refusal.refusal is DATA_DIRECTORY
        else:
            await log.stop()
        disk.heal()
        assert await _checked(there, []) == set()
    assert failures >= 3


@rounds(ROUNDS, SOAK_ROUNDS)
async def test_a_power_cut_loses_nothing_acknowledged(place: Path, disk: Disk, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    log = SqliteLog(place, SETTINGS, vfs=disk.name)
    await log.start()
    load = Load(log, chance)
    cuts = _cuts(disk, load, tmp_path, sorted(chance.sample(range(600), 6)))
    await load.run(100)
    await log.stop()
    assert len(cuts) >= 3
    for left, acknowledged in cuts:
        await _checked(left, acknowledged)


@rounds(ROUNDS, SOAK_ROUNDS)
async def test_a_power_cut_after_failed_syncs(place: Path, disk: Disk, tmp_path: Path, seed: int) -> None:
    """What a failed sync left in the page cache only must not come to lie under records acknowledged later."""
    chance = random.Random(seed)
    log = SqliteLog(place, SETTINGS, vfs=disk.name)
    await log.start()
    load = Load(log, chance)
    cuts: list[tuple[Path, list[Name]]] = []
    for burst in range(4):
        await load.run(chance.randint(1, 20))
        disk.fail("eio-sync", before=chance.randrange(2), count=chance.choice((1, 2, 5)))
        await load.run(chance.randint(3, 8))
        disk.heal()
        operations = sorted(chance.sample(range(120), 2))
        made = _cuts(disk, load, tmp_path / str(burst), operations)
        await load.run(20)
        cuts += made
    await log.stop()
    assert load.refused
    for left, acknowledged in cuts:
        await _checked(left, acknowledged)


def _cuts(disk: Disk, load: Load, where: Path, operations: list[int]) -> list[tuple[Path, list[Name]]]:
    """Have the disk cut at these operations. The list grows: (what is left, what was acknowledged by then)."""
    made: list[tuple[Path, list[Name]]] = []

    def take(files: dict[str, bytes]) -> None:
        acknowledged = list(load.acknowledged)
        left = where / f"cut-{len(made)}"
        left.mkdir(parents=True)
        for path, content in files.items():
            (left / Path(path).name).write_bytes(content)
        made.append((left, acknowledged))

    for operation in operations:
        disk.cut(operation, take)
    return made
