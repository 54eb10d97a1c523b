# SPDX-License-Identifier: Apache-2.0
"""A log whose process is killed at any moment, again and again on the same directory.

After each kill: everything acknowledged is there, once, whole and in order; offsets are dense; a group's
position is one that it can have. `CRASH_SEED` repeats a run, as far as the scheduler does.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from pathlib import Path

import pytest

from tests.log.crashing import CHURN, SETTINGS, TOPIC
from tests.log.engines import Engine
from tests.log.installation import child_environment, offsets_of, read_all, values_of
from tests.log.numbered import Name, check

KEYS = [f"device-{n}" for n in range(5)]
ROUNDS = 8
SOAK_ROUNDS = 300
LONGEST_LIFE = 0.35
"""Seconds after its start at which a child is killed at the latest."""


@pytest.mark.parametrize("count", [ROUNDS, pytest.param(SOAK_ROUNDS, marks=pytest.mark.soak)])
async def test_a_killed_log_loses_nothing_acknowledged(engine: Engine, place: Path, count: int) -> None:
    seed = int(os.environ.get("CRASH_SEED", random.SystemRandom().randrange(1 << 32)))
    print(f"seed {seed}")
    chance = random.Random(seed)
    acknowledged: set[Name] = set()
    found: set[Name] = set()
    for number in range(count):
        numbers = {key: max((n for k, n in found if k == key), default=0) for key in KEYS}
        # Now and then while it starts: a log must also survive the death of its start.
        ready = chance.random() < 0.85
        life = chance.uniform(0, LONGEST_LIFE) if ready else chance.uniform(0.2, 1.0)
        acknowledged |= await _live_and_die(engine, place, f"{seed}-{number}", numbers, life, ready)
        log = engine.log(place, SETTINGS)
        await log.start()
        try:
            found = await check(log, TOPIC, acknowledged)
            positions = log.consumer("group", TOPIC).positions()
            assert all(positions[partition] <= end for partition, end in (await log.stats(TOPIC)).next.items())
            churned = await read_all(log, CHURN)
            assert all(offsets == list(range(len(offsets))) for offsets in offsets_of(churned).values())
            assert all(len(value) == 2000 for value in values_of(churned))
            assert log.health() is None
        finally:
            await log.stop()
    print(f"{count} rounds, {len(acknowledged)} acknowledged, {len(found)} found")
    assert len(acknowledged) >= 10 * count


async def _live_and_die(
    engine: Engine, place: Path, seed: str, numbers: dict[str, int], life: float, ready: bool
) -> set[Name]:
    """Kill a child `life` seconds after it is `ready`, or else after its birth. What it acknowledged."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.log.crashing",
        engine.name,
        str(place),
        seed,
        *(f"{key}={number}" for key, number in numbers.items()),
        stdout=asyncio.subprocess.PIPE,
        env=child_environment(),
    )
    assert child.stdout is not None
    said = b""
    try:
        async with asyncio.timeout(60):
            if ready:
                assert await child.stdout.readline() == b"ready\n"
            reading = asyncio.create_task(child.stdout.read())
            await asyncio.sleep(life)
            assert child.returncode is None, "the child ended by itself"
            child.kill()
            said = await reading
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()
    lines = said.decode().splitlines()
    return {(key, int(number)) for key, number in (line.split() for line in lines if line != "ready")}
