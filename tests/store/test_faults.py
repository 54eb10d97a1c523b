# SPDX-License-Identifier: Apache-2.0
"""The embedded store on a disk that fails, at every kind of operation, that is full, and that loses its power.

A disk that fails costs the batches that meet the failure and no others: those are refused, the health page
says why, and it all ends by itself when the disk works again.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import random
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from freehold.core.errors import STORE_UNAVAILABLE, FreeholdError
from freehold.store.sqlite.engine import SqliteTelemetry
from freehold.store.sqlite.reader import SqliteTelemetryReader
from tests.conftest import missing_part
from tests.log.disk import KINDS, Disk, Kind
from tests.store.numbered import Sender, batch, check
from tests.store.telemetry import APP

SEED = 20_262
ROUNDS = 4
SOAK_ROUNDS = 400

_disks = itertools.count()


@pytest.fixture(autouse=True)
def _hasten(monkeypatch: pytest.MonkeyPatch) -> None:
    """What happens once in a while happens all the time: checkpoints, rollups."""
    monkeypatch.setattr("freehold.store.sqlite.schema.CHECKPOINT_PAGES", 20)
    monkeypatch.setattr("freehold.store.sqlite.session.ROLL_AFTER", 0)
    monkeypatch.setattr("freehold.store.sqlite.engine.UPKEEP_SECONDS", 0.01)


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
def disk() -> Iterator[Disk]:
    made = Disk(f"store-disk-{next(_disks)}", SEED)
    yield made
    made.unregister()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "telemetry.db"


@pytest.mark.parametrize("kind", KINDS)
@rounds(ROUNDS, SOAK_ROUNDS)
async def test_a_failing_disk_costs_only_what_it_refuses(path: Path, disk: Disk, kind: Kind, seed: int) -> None:
    chance = random.Random(f"{kind}{seed}")
    store = SqliteTelemetry(path, vfs=disk.name)
    await store.start()
    sender = Sender(store, chance)
    await sender.run(chance.randint(0, 20))
    disk.fail(kind, before=chance.randrange(20), count=chance.choice((1, 2, 5, 30)))
    await sender.run(40)
    disk.heal()
    await sender.run(10)
    assert store.health() is None
    await store.stop()
    assert await check(path, sender.acknowledged) == sender.acknowledged


@pytest.mark.parametrize("kind", KINDS)
async def test_health_names_the_reason_until_the_disk_works_again(path: Path, disk: Disk, kind: Kind) -> None:
    store = SqliteTelemetry(path, vfs=disk.name)
    await store.start()
    await store.write(batch(0, 5))
    disk.fail(kind)
    for _ in range(3):
        with pytest.raises(FreeholdError, match=r"store\.unavailable"):
            await store.write(batch(5, 5))
        health = store.health()
        assert health is not None
        assert health.startswith("the telemetry store cannot write: ")
        assert ("full" if kind in ("short-write", "enospc") else "I/O error") in health
    disk.heal()
    async with asyncio.timeout(30):
        while store.health() is not None:  # nobody writes: it finds out by itself
            await asyncio.sleep(0.01)
    await store.write(batch(5, 5))
    await store.stop()
    assert await check(path, 10) == 10


@pytest.mark.parametrize("kind", KINDS)
async def test_upkeep_on_a_failing_disk(path: Path, disk: Disk, kind: Kind) -> None:
    store = SqliteTelemetry(path, vfs=disk.name)
    await store.start()
    await store.write(batch(0, 300))
    disk.fail(kind)
    for attempt in (
        store.retain(age_us=0, rollup_age_us=0, dead_letters=1),
        store.purge(APP),
        store.roll_up(before=1 << 62),
    ):
        with pytest.raises(FreeholdError, match=r"store\.unavailable"):
            await attempt
    disk.heal()
    await store.write(batch(300, 10))
    assert (await store.positions(APP)) == {0: 310}
    await store.stop()
    assert await check(path, 310) == 310


@pytest.mark.parametrize("kind", KINDS)
async def test_a_disk_that_fails_at_the_first_start(tmp_path: Path, disk: Disk, kind: Kind) -> None:
    """It starts all the same and says so; wherever it stopped, it goes on from there when the disk works."""
    failures = 0
    for operation in range(0, 40, 3):
        path = tmp_path / f"{operation}.db"
        disk.fail(kind, before=operation)
        store = SqliteTelemetry(path, vfs=disk.name)
        await store.start()
        failures += store.health() is not None
        disk.heal()
        await store.write(batch(0, 3))
        assert store.health() is None
        await store.stop()
        assert await check(path, 3) == 3
    assert failures >= 3


@rounds(ROUNDS, SOAK_ROUNDS)
async def test_a_power_cut_loses_nothing_acknowledged(path: Path, disk: Disk, tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    store = SqliteTelemetry(path, vfs=disk.name)
    await store.start()
    sender = Sender(store, chance)
    cuts = _cuts(disk, sender, tmp_path, sorted(chance.sample(range(800), 6)))
    await sender.run(100)
    await store.stop()
    assert len(cuts) >= 3
    for left, acknowledged in cuts:
        await check(left, acknowledged)


@rounds(ROUNDS, SOAK_ROUNDS)
async def test_a_power_cut_after_failed_syncs(path: Path, disk: Disk, tmp_path: Path, seed: int) -> None:
    """What a failed sync left in the page cache only must not come to lie under batches acknowledged later."""
    chance = random.Random(seed)
    store = SqliteTelemetry(path, vfs=disk.name)
    await store.start()
    sender = Sender(store, chance)
    cuts: list[tuple[Path, int]] = []
    for burst in range(4):
        await sender.run(chance.randint(1, 20))
        disk.fail("eio-sync", before=chance.randrange(2), count=chance.choice((1, 2, 4)))
        await sender.run(chance.randint(3, 8))
        disk.heal()
        cuts += _cuts(disk, sender, tmp_path / str(burst), sorted(chance.sample(range(120), 2)))
        await sender.run(20)
    await store.stop()
    assert sender.refused
    for left, acknowledged in cuts:
        await check(left, acknowledged)


def _cuts(disk: Disk, sender: Sender, where: Path, operations: list[int]) -> list[tuple[Path, int]]:
    """Have the disk cut at these operations. The list grows: (the file that is left, what was acknowledged by then)."""
    made: list[tuple[Path, int]] = []

    def take(files: dict[str, bytes]) -> None:
        acknowledged = sender.acknowledged
        left = where / f"cut-{len(made)}"
        left.mkdir(parents=True)
        for file, content in files.items():
            (left / Path(file).name).write_bytes(content)
        made.append((left / "telemetry.db", acknowledged))

    for operation in operations:
        disk.cut(operation, take)
    return made


# --- a disk that is really full ---------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB."""
    if os.geteuid() != 0:
        missing_part("mounting a small file system needs root")
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        missing_part(f"mounting a small file system: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


async def _fill(store: SqliteTelemetry) -> int:
    """Write until the disk is full; returns how many events were acknowledged."""
    for first in range(0, 1_000_000, 200):
        try:
            await store.write(batch(first, 200))
        except FreeholdError as full:
            if full.refusal is not STORE_UNAVAILABLE:
                raise
            return first
    raise AssertionError("the disk is never full")


async def _well(store: SqliteTelemetry) -> None:
    async with asyncio.timeout(30):
        while store.health() is not None:
            await asyncio.sleep(0.01)


@asynccontextmanager
async def running(path: Path) -> AsyncIterator[SqliteTelemetry]:
    store = SqliteTelemetry(path)
    await store.start()
    try:
        yield store
    finally:
        await store.stop()


async def test_a_full_disk_refuses_and_goes_on_when_there_is_room(small_disk: Path) -> None:
    path, ballast = small_disk / "telemetry.db", small_disk / "ballast"
    ballast.write_bytes(bytes(2_000_000))
    async with running(path) as store:
        reader = SqliteTelemetryReader(path)
        written = await _fill(store)
        assert written
        health = store.health()
        assert health is not None
        assert "full" in health
        assert (await reader.stats(APP)).points == 4 * written  # what was stored can still be read
        await reader.close()
        ballast.unlink()
        await _well(store)  # nobody writes: it finds out by itself
        await store.write(batch(written, 10))
    assert await check(path, written + 10) == written + 10


async def test_a_start_on_a_full_disk(small_disk: Path) -> None:
    """It starts, so that the others do; it can be read; it writes when there is room."""
    path, ballast = small_disk / "telemetry.db", small_disk / "ballast"
    ballast.write_bytes(bytes(2_500_000))
    async with running(path) as store:
        written = await _fill(store)
    with contextlib.suppress(OSError), ballast.open("ab", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    async with running(path) as store:
        with pytest.raises(FreeholdError, match=r"store\.unavailable"):
            await store.write(batch(written, 5000))
        reader = SqliteTelemetryReader(path)
        assert (await reader.stats(APP)).points == 4 * written
        await reader.close()
        ballast.unlink()
        await _well(store)
        await store.write(batch(written, 10))
    assert await check(path, written + 10) == written + 10


async def test_retention_makes_room(small_disk: Path) -> None:
    """A shorter retention gives the space back, if there is some left to work in."""
    path, ballast = small_disk / "telemetry.db", small_disk / "ballast"
    ballast.write_bytes(bytes(1_500_000))
    async with running(path) as store:
        written = await _fill(store)
        ballast.unlink()
        await _well(store)
        assert await store.retain(age_us=0, rollup_age_us=0, dead_letters=1) == 4 * written
    assert path.stat().st_size < 300_000
