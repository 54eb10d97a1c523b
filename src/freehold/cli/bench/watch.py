# SPDX-License-Identifier: Apache-2.0
"""What is looked at beside the load: the way of single events into the store, memory, recovery, the log."""

from __future__ import annotations

import asyncio
import json
import time

import httpx

from freehold.cli.bench import subject
from freehold.cli.bench.subject import APPLICATION, Platform
from freehold.cli.device import DeviceError, MqttDevice
from freehold.runtime import engines
from freehold.store.interfaces import Query, TelemetryReader

Figures = dict[str, float | int | str | None]

PROBE_EVERY = 0.2
NORMAL_MS = 50.0
"""An acknowledgement that takes no longer is normal again."""


async def probe_rows(platform: Platform, user: tuple[str, str], seconds: float) -> list[float]:
    """Send a marked event every fifth of a second and look when it is a row; seconds from send to row, each."""
    reader = engines.telemetry_reader(platform.settings)
    application = await application_uid(platform)
    device, waits = user[0].partition("@")[0], []
    try:
        async with MqttDevice("127.0.0.1", platform.mqtt, *user) as sender:
            ending = time.monotonic() + seconds
            number = 0
            while time.monotonic() < ending:
                number += 1
                sent = time.monotonic()
                await sender.publish("probe", json.dumps({"number": number}).encode())
                if await _row_is_there(reader, application, device, number):
                    waits.append(time.monotonic() - sent)
                await asyncio.sleep(max(0.0, PROBE_EVERY - (time.monotonic() - sent)))
    finally:
        await reader.close()
    return waits


async def _row_is_there(reader: TelemetryReader, application: str, device: str, number: int) -> bool:
    now = time.time_ns() // 1000
    query = Query(application, now - 120_000_000, now + 60_000_000, (device,), ("probe",), ("number",), limit=100_000)
    for _ in range(2000):
        found = await reader.query(query)
        if found and number in found[0].values:
            return True
        await asyncio.sleep(0.005)
    return False


async def watch_memory(platform: Platform, seconds: float) -> Figures:
    """Resident memory of each role, early and at the end: flat means equal."""
    roles = {name: platform.role(name) for name in ("endpoint", "pipeline")}
    await asyncio.sleep(seconds * 0.25)
    early = {name: subject.resident_bytes(pid) for name, pid in roles.items()}
    peak = dict(early)
    ending = time.monotonic() + seconds * 0.7
    while time.monotonic() < ending:
        for name, pid in roles.items():
            peak[name] = max(peak[name], subject.resident_bytes(pid))
        await asyncio.sleep(0.5)
    figures: Figures = {}
    for name, pid in roles.items():
        figures[f"{name}_mb_early"] = round(early[name] / 2**20, 1)
        figures[f"{name}_mb_end"] = round(subject.resident_bytes(pid) / 2**20, 1)
        figures[f"{name}_mb_peak"] = round(peak[name] / 2**20, 1)
    return figures


async def rows_stored(api: httpx.AsyncClient, measurement: str, wanted: int) -> tuple[int, float]:
    """Rows of a measurement once they are as many as `wanted` (or stop growing), and how long that took."""
    began = last_growth = time.monotonic()
    stored = -1
    while stored < wanted and time.monotonic() - last_growth < 10:
        found = await _count(api, measurement)
        if found > stored:
            stored, last_growth = found, time.monotonic()
        await asyncio.sleep(0.2)
    return stored, last_growth - began


async def _count(api: httpx.AsyncClient, measurement: str) -> int:
    answer = await api.get(
        f"/api/v1/apps/{APPLICATION}/telemetry",
        params={
            "start": "-1d",
            "end": "now",
            "measurement": measurement,
            "field": "temperature",
            "every": "1d",
            "aggregate": "count",
        },
    )
    answer.raise_for_status()
    return sum(int(value) for series in answer.json()["series"] for value in series["values"])


async def recovery(platform: Platform, user: tuple[str, str]) -> float:
    """Seconds until a device's publishes are acknowledged as quickly as ever, ten in a row."""
    began = time.monotonic()
    async with asyncio.timeout(120):
        while True:
            try:
                async with MqttDevice("127.0.0.1", platform.mqtt, *user) as device:
                    quick = 0
                    since = time.monotonic()
                    while quick < 10:
                        sent = time.monotonic()
                        reason = await device.publish("after", b"1")
                        normal = reason < 0x80 and (time.monotonic() - sent) * 1000 <= NORMAL_MS
                        quick = quick + 1 if normal else 0
                        if not quick:
                            since = time.monotonic()
                    return since - began
            except DeviceError:
                await asyncio.sleep(0.1)


async def logged_events(platform: Platform) -> int:
    """Records of the application in the log, from its offsets: those that retention removed included."""
    reader = engines.log_reader(platform.settings)
    try:
        stats = [await reader.stats(topic) for topic in await reader.topics()]
    finally:
        await reader.stop()
    return sum(following for topic in stats for following in topic.next.values())


async def application_uid(platform: Platform) -> str:
    """Uid of the application `bench`."""
    found = engines.registry(platform.settings).find_application(APPLICATION)
    assert found is not None, "the bench's application was just made"
    return found.uid
