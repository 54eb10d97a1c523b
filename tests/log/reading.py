# SPDX-License-Identifier: Apache-2.0
"""A reader in a process of its own: prints each record of a topic as it comes, commits, and ends.

python -m tests.log.reading ENGINE PLACE TOPIC COUNT
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.log.engines import ENGINES


async def main(engine: str, place: Path, topic: str, count: int) -> None:
    reader = ENGINES[engine].reader(place)
    await reader.start()
    consumer = reader.consumer("other-process", topic)
    print("ready", flush=True)
    while count > 0:
        for chunk in await consumer.read(max_records=10, max_bytes=1 << 20, wait=60):
            for value in chunk.values:
                print(value.decode(), flush=True)
                count -= 1
    await consumer.commit()
    await consumer.close()
    await reader.stop()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])))
