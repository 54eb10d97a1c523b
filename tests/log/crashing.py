# SPDX-License-Identifier: Apache-2.0
"""The victim of the crash tests: appends numbered records and says which were acknowledged, until it is killed.

    python -m tests.log.crashing ENGINE PLACE SEED KEY=NUMBER...

Each key goes on behind its number. A line on standard output names one acknowledged record; it is written
after the acknowledgement and in one piece, so whatever the parent reads was acknowledged. Beside the appends
run what an installation does now and then: commits of a group, retention, and the end of an application.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
from pathlib import Path

from freehold.core.settings import Log as LogSettings
from freehold.log.interfaces import EventLog
from tests.log.engines import ENGINES
from tests.log.numbered import Name, record

TOPIC = "t"
CHURN = "churn"
SETTINGS = LogSettings(partitions=3)


def acknowledge(names: list[Name]) -> None:
    os.write(1, "".join(f"{key} {number}\n" for key, number in names).encode())


async def send(log: EventLog, key: str, number: int, chance: random.Random) -> None:
    """One device: some of its records in flight together, some in one submission."""
    while True:
        width = chance.choice((1, 1, 1, 2, 5))
        names = [(key, number + n + 1) for n in range(width)]
        number += width
        values = [record(*name) for name in names]
        if chance.random() < 0.5:
            await log.submit([log.route(TOPIC, key)] * width, values)
            acknowledge(names)
        else:
            for name, future in zip(
                names, [log.submit([log.route(TOPIC, key)], [value]) for value in values], strict=True
            ):
                await future
                acknowledge([name])


async def churn(log: EventLog, chance: random.Random) -> None:
    """An application that comes and goes, and a group that follows the others."""
    consumer = log.consumer("group", TOPIC)
    while True:
        for _ in range(chance.randint(1, 10)):
            await log.append(CHURN, "k", chance.randbytes(2000))
        await log.retain(age_us=10**15, bytes_per_topic=1 << 40)
        await log.delete_topic(CHURN)
        await consumer.read(max_records=1000, max_bytes=1 << 20, wait=0)
        await consumer.commit()


async def main(engine: str, place: Path, seed: str, keys: dict[str, int]) -> None:
    with ENGINES[engine].hastened():
        log = ENGINES[engine].log(place, SETTINGS)
        await log.start()
        os.write(1, b"ready\n")
        tasks = [send(log, key, number, random.Random(f"{seed}{key}")) for key, number in keys.items()]
        await asyncio.gather(churn(log, random.Random(seed)), *tasks)


if __name__ == "__main__":
    pairs = (argument.split("=") for argument in sys.argv[4:])
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], {key: int(number) for key, number in pairs}))
