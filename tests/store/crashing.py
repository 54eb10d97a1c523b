# SPDX-License-Identifier: Apache-2.0
"""The child of `test_crash`: writes numbered batches until it is killed, and says what was acknowledged.

    python -m tests.store.crashing FILE SEED

It goes on where the file says that it stopped, as the pipeline does. Several batches are in flight at once;
rollups, checkpoints and a purge of another application run meanwhile.
"""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

from freehold.store.sqlite import engine, schema, session
from freehold.store.sqlite.engine import SqliteTelemetry
from tests.store.numbered import batch
from tests.store.telemetry import APP, OTHER


async def main(path: Path, chance: random.Random) -> None:
    schema.CHECKPOINT_PAGES = 50
    session.ROLL_AFTER = 0
    engine.UPKEEP_SECONDS = 0.02
    store = SqliteTelemetry(path)
    await store.start()
    position = (await store.positions(APP)).get(0, 0)
    print(f"from {position}", flush=True)
    flight: list[tuple[int, asyncio.Task[None]]] = []
    others = 0
    while True:
        while len(flight) < 4:
            made = batch(position, chance.choice((1, 7, 50, 200)))
            position = made.positions[APP, 0]
            flight.append((position, asyncio.create_task(store.write(made))))
        done, task = flight.pop(0)
        await task
        print(f"acknowledged {done}", flush=True)
        others += 1
        if others % 5 == 0:
            await store.write(batch(others, 20, OTHER))
        if others % 40 == 0:
            await store.purge(OTHER)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), random.Random(sys.argv[2])))
