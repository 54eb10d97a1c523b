# SPDX-License-Identifier: Apache-2.0
"""The log on a real disk that is really full: a small file system in memory, mounted for the test."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from freehold.core.errors import LOG_UNAVAILABLE, FreeholdError
from freehold.log.interfaces import EventLog
from tests.conftest import missing_part, needs
from tests.log.engines import Engine
from tests.log.installation import FOUR, Installation
from tests.log.numbered import Name, check, record

SIZE = 6 << 20
BALLAST = 2 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    where = tmp_path / "small"
    where.mkdir()
    mounted = subprocess.run(
        [needs("mount"), "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(where)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode:
        missing_part(f"the right to mount ({mounted.stderr.strip()})")
    yield where
    subprocess.run([needs("umount"), str(where)], check=True)


async def _append(log: EventLog, number: int) -> Name:
    name = ("k", number)
    await log.append("t", "k", record(*name))
    return name


async def test_a_full_disk_refuses_loses_nothing_and_recovers(engine: Engine, small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(BALLAST))
    installation = Installation(engine, small_disk / "log")
    log = await installation.open(FOUR)
    acknowledged: list[Name] = []
    refusals: list[FreeholdError] = []
    number = 0
    while len(refusals) < 10:
        number += 1
        try:
            acknowledged.append(await _append(log, number))
        except FreeholdError as refusal:
            refusals.append(refusal)
    assert {refusal.refusal for refusal in refusals} == {LOG_UNAVAILABLE}
    health = log.health()
    assert health is not None
    assert "full" in health
    assert acknowledged
    assert await check(log, "t", acknowledged) == set(acknowledged)  # what is there can still be read
    with pytest.raises(FreeholdError):
        await log.retain(age_us=0, bytes_per_topic=0)

    ballast.unlink()
    for _ in range(20):
        number += 1
        acknowledged.append(await _append(log, number))
    assert log.health() is None
    assert await check(log, "t", acknowledged) == set(acknowledged)
    await installation.close()

    log = await installation.open(FOUR)
    assert await check(log, "t", acknowledged) == set(acknowledged)
    await installation.close()


async def test_retention_gives_its_room_back_to_appends(engine: Engine, small_disk: Path) -> None:
    """Ten times what the disk holds goes through a log that keeps a tenth of it."""
    installation = Installation(engine, small_disk / "log")
    log = await installation.open(FOUR)
    written = 0
    with engine.hastened():
        while written < 10 * SIZE:
            await log.submit([log.route("t", f"k{n}") for n in range(4)], [b"x" * 30_000] * 4)
            written += 120_000
            await log.retain(age_us=10**15, bytes_per_topic=SIZE // 10)
    assert log.health() is None
    assert (await log.stats("t")).bytes <= SIZE // 10
    await installation.close()
