# SPDX-License-Identifier: Apache-2.0
"""A writer killed with SIGKILL at random moments: rows and positions agree exactly, nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.log.installation import child_environment
from tests.store.numbered import check

SEED = 20_263
ROOT = Path(__file__).parents[2]


async def life(path: Path, chance: random.Random) -> tuple[int, int]:
    """One child until it is killed. Returns where it began and what it had acknowledged."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.store.crashing", str(path), str(chance.random())),
        stdout=subprocess.PIPE,
        env=child_environment(),
        cwd=ROOT,
    )
    assert child.stdout is not None
    begun = int((await child.stdout.readline()).split()[1])
    acknowledged = begun
    # So many acknowledgements, and then some time inside of what comes next.
    for _ in range(chance.randint(0, 120)):
        acknowledged = int((await child.stdout.readline()).split()[1])
    await asyncio.sleep(chance.random() * 0.02)
    child.kill()
    for line in (await child.stdout.read()).splitlines():
        if line.startswith(b"acknowledged ") and line[13:].isdigit():
            acknowledged = max(acknowledged, int(line[13:]))
    await child.wait()
    return begun, acknowledged


@pytest.mark.parametrize("rounds", [6, pytest.param(200, marks=pytest.mark.soak)])
async def test_kill_at_random_moments(tmp_path: Path, rounds: int) -> None:
    print(f"seed {SEED}")
    chance = random.Random(SEED)
    path = tmp_path / "telemetry.db"
    position = 0
    for number in range(rounds):
        begun, acknowledged = await life(path, chance)
        assert begun >= position
        if number % 3 == 2:
            position = await check(path, acknowledged)  # also rolls everything up
        else:
            position = acknowledged
    assert position > 0


async def test_myt_47_kill_while_10000_messages_are_written(tmp_path: Path) -> None:
    """Killed again and again until all are in: 10,000 distinct rows and no duplicates."""
    print(f"seed {SEED}")
    chance = random.Random(SEED + 1)
    path = tmp_path / "telemetry.db"
    acknowledged = 0
    while acknowledged < 10_000:
        _, acknowledged = await life(path, chance)
    assert await check(path, acknowledged) >= 10_000
