# SPDX-License-Identifier: Apache-2.0
"""`freehold torture`: is an acknowledgement really durable? Load, SIGKILL at random moments, restart, count.

Devices send numbered events and note each number that was acknowledged. The whole platform, every process
at once, is killed in the middle of it, again and again, and started on what it left. In the end each
acknowledged number must be in the log and in the store, and no number may be stored twice.

SIGKILL takes the processes, not the machine: what the operating system had in memory survives. That the log
really asks the disk (fsync) before it answers is shown by the tests with a file layer that forgets.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import tempfile
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

from freehold.cli.bench import subject
from freehold.cli.bench.subject import Platform
from freehold.cli.bench.watch import application_uid
from freehold.cli.device import MqttDevice
from freehold.cli.main import add_settings, settings_of
from freehold.core.settings import Settings
from freehold.events.models import DEVICE_EVENT, decode
from freehold.runtime import engines
from freehold.store.interfaces import Query

DEVICES = 8
WINDOW = 50
"""Events that one device has in flight."""
CATCH_UP_SECONDS = 120.0

Number = tuple[str, int]
"""(device, its n-th event)"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=5, help="how often the platform is killed (default: 5)")
    parser.add_argument("--seed", type=int, help="repeat a run: its moments of death follow from this number")
    parser.add_argument("--json", action="store_true", help="print one JSON object with the result as the last line")
    add_settings(parser)


def run(options: argparse.Namespace) -> int:
    settings = settings_of(options)
    seed = random.SystemRandom().randrange(1 << 32) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    with contextlib.ExitStack() as stack:
        if options.data is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="freehold-torture-"))
            settings = replace(settings, data=Path(folder))
        verdict = asyncio.run(Torture(settings, random.Random(seed)).run(options.rounds))
    if options.json:
        print(json.dumps(verdict.as_json()), flush=True)
    return 1 if verdict.lost or verdict.repeated else 0


@dataclass
class Verdict:
    """What was acknowledged, and what became of it."""

    acknowledged: int
    found: int
    lost: int
    repeated: int
    lost_in_log: int = field(default=0)

    def as_json(self) -> dict[str, int]:
        return {
            "acknowledged": self.acknowledged,
            "found": self.found,
            "lost": self.lost,
            "repeated": self.repeated,
        }


class Torture:
    """One run on one data directory."""

    def __init__(self, settings: Settings, chance: random.Random) -> None:
        self._settings = settings
        self._chance = chance
        self._next: Counter[str] = Counter()
        self._acknowledged: set[Number] = set()
        self._application = ""

    async def run(self, rounds: int) -> Verdict:
        platform = await subject.start(self._settings)
        users = await asyncio.to_thread(subject.create_devices, self._settings, DEVICES)
        self._application = await application_uid(platform)
        for number in range(1, rounds + 1):
            before = len(self._acknowledged)
            await self._round(platform, users)
            print(f"round {number}: {len(self._acknowledged) - before} acknowledged, killed", flush=True)
            platform = await subject.start(self._settings)
        try:
            return await self._count()
        finally:
            await subject.stop(platform)

    async def _round(self, platform: Platform, users: list[tuple[str, str]]) -> None:
        """Load until a random moment, then SIGKILL everything."""
        senders = [asyncio.create_task(self._send(platform.mqtt, user, secret)) for user, secret in users]
        await asyncio.sleep(self._chance.uniform(0.3, 3.0))
        platform.kill()
        await platform.process.wait()
        for sender in senders:
            sender.cancel()
        await asyncio.gather(*senders, return_exceptions=True)

    async def _send(self, port: int, user: str, secret: str) -> None:
        """Send numbered events, `WINDOW` in flight, until the connection breaks."""
        name = user.partition("@")[0]
        with contextlib.suppress(OSError):
            async with MqttDevice("127.0.0.1", port, user, secret) as device:
                flying: set[asyncio.Task[None]] = set()
                while True:
                    while len(flying) < WINDOW:
                        self._next[name] += 1
                        flying.add(asyncio.create_task(self._send_one(device, name, self._next[name])))
                    done, flying = await asyncio.wait(flying, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        task.result()

    async def _send_one(self, device: MqttDevice, name: str, number: int) -> None:
        if await device.publish("torture", json.dumps({"n": number}).encode()) < 0x80:
            self._acknowledged.add((name, number))

    # --- afterwards ------------------------------------------------------------------------------

    async def _count(self) -> Verdict:
        """Compare what was acknowledged with what log and store hold, once the store has caught up."""
        logged = await self._in_log()
        async with asyncio.timeout(CATCH_UP_SECONDS):
            while sum((stored := await self._in_store()).values()) < len(logged):
                await asyncio.sleep(0.2)
        missing_in_log = self._acknowledged - logged.keys()
        lost = {number for number in self._acknowledged if number not in logged or number not in stored}
        repeated = sum(count - 1 for count in (logged + Counter()).values() if count > 1)
        repeated += sum(count - 1 for count in stored.values() if count > 1)
        verdict = Verdict(
            acknowledged=len(self._acknowledged),
            found=len(self._acknowledged) - len(lost),
            lost=len(lost),
            repeated=repeated,
            lost_in_log=len(missing_in_log),
        )
        print(
            f"acknowledged {verdict.acknowledged}, found {verdict.found}, lost {verdict.lost} "
            f"({verdict.lost_in_log} already in the log), repeated {verdict.repeated}",
            flush=True,
        )
        return verdict

    async def _in_log(self) -> Counter[Number]:
        reader = engines.log_reader(self._settings)
        numbers: Counter[Number] = Counter()
        consumer = reader.consumer("torture", self._application, positions={})
        while chunks := await consumer.read(max_records=10_000, max_bytes=8 << 20, wait=1.0):
            for chunk in chunks:
                for event in map(decode, chunk.values):
                    if event.type == DEVICE_EVENT:
                        numbers[event.device, json.loads(event.data)["n"]] += 1
        await reader.stop()
        return numbers

    async def _in_store(self) -> Counter[Number]:
        reader = engines.telemetry_reader(self._settings)
        try:
            query = Query(self._application, 0, 1 << 62, fields=("n",), limit=1 << 30)
            found = await reader.query(query)
        finally:
            await reader.close()
        return Counter((series.device, int(value)) for series in found for value in series.values)
