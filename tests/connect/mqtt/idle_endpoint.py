# SPDX-License-Identifier: Apache-2.0
"""A platform in a process of its own, for `test_idle_memory`: `python -m tests.connect.mqtt.idle_endpoint DIR`.

DIR holds a house's data. Prints its MQTT port; then answers each line on standard input with one JSON object:
connected devices, resident bytes, and with FREEHOLD_TEST_TRACE=1 the lines that allocated most since the
last answer.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import resource
import sys
import tracemalloc
from pathlib import Path

import uvloop

from tests.contract.house import House

TRACED_LINES = 40


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def measure(house: House) -> dict[str, object]:
    gc.collect()
    lines = []
    if tracemalloc.is_tracing():
        statistics = tracemalloc.take_snapshot().statistics("lineno")[:TRACED_LINES]
        lines = [(each.size, each.count, str(each.traceback)) for each in statistics]
    if os.environ.get("FREEHOLD_TEST_TRACE") == "1":
        tracemalloc.stop()
        tracemalloc.start()
    return {"devices": house.mqtt.connected_devices, "resident": resident_bytes(), "lines": lines}


async def main() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    loop = asyncio.get_running_loop()
    async with House(Path(sys.argv[1])) as house:
        print(house.mqtt.port, flush=True)
        while await loop.run_in_executor(None, sys.stdin.readline):
            print(json.dumps(measure(house)), flush=True)


if __name__ == "__main__":
    uvloop.run(main())
