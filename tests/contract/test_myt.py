# SPDX-License-Identifier: Apache-2.0
"""MyT's measured losses (contract myt.md 2.3), each as a check that nothing of the kind happens here.

On a real `freehold up`: all processes, real sockets, real files. Cases 16 and 19 are also in
`tests/runtime/test_pipeline.py`, where the store can be told to be away.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from freehold.cli.bench import subject
from freehold.cli.bench.load import Job
from freehold.cli.bench.subject import APPLICATION, Platform
from freehold.cli.device import MqttDevice
from freehold.cli.setup import Owner, owner_of
from freehold.core.settings import Settings, load
from tests.ports import free_offset

pytestmark = [pytest.mark.timeout(300), pytest.mark.asyncio(loop_scope="module")]


@dataclass
class House:
    """A running platform, its owner's API, and one device."""

    platform: Platform
    owner: Owner
    api: httpx.AsyncClient
    users: list[tuple[str, str]]
    application: str

    @property
    def user(self) -> tuple[str, str]:
        return self.users[0]

    def device(self) -> MqttDevice:
        return MqttDevice("127.0.0.1", self.platform.mqtt, *self.user)

    async def values(self, field: str, count: int, *, measurement: str | None = None) -> list[object]:
        """Values of a field, once there are `count`; fails after a minute."""
        params: dict[str, str | int] = {"start": "-1h", "end": "now", "field": field, "limit": 100_000}
        if measurement is not None:
            params["measurement"] = measurement
        async with asyncio.timeout(60):
            while True:
                answer = await self.api.get(f"/api/v1/apps/{self.application}/telemetry", params=params)
                answer.raise_for_status()
                values = [value for series in answer.json()["series"] for value in series["values"]]
                if len(values) >= count:
                    return values
                await asyncio.sleep(0.1)

    async def letters(self) -> list[dict[str, object]]:
        answer = await self.api.get(f"/api/v1/apps/{self.application}/dead-letters")
        answer.raise_for_status()
        return list(answer.json()["deadLetters"])


def settings_in(folder: Path) -> Settings:
    return load(flags={"data": folder / "data", "port_offset": free_offset()})


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def platform(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Platform]:
    """One platform for all tests: each has an application of its own."""
    async with subject.running(settings_in(tmp_path_factory.mktemp("myt"))) as platform:
        yield platform


@pytest_asyncio.fixture(loop_scope="module")
async def house(platform: Platform, request: pytest.FixtureRequest) -> AsyncIterator[House]:
    application = request.node.name.replace("_", "-")[:40].strip("-")
    users = await asyncio.to_thread(subject.create_devices, platform.settings, 4, application=application)
    owner = await asyncio.to_thread(owner_of, platform.settings, platform.url)
    async with owner.client() as api:
        yield House(platform, owner, api, users, application)


async def publish(house: House, payloads: list[object], *, topic: str = "telemetry") -> list[int]:
    """Publish with QoS 1, fifty in flight; the reason codes."""
    async with house.device() as device:
        reasons: list[int] = []
        for start in range(0, len(payloads), 50):
            part = payloads[start : start + 50]
            reasons += await asyncio.gather(*(device.publish(topic, json.dumps(each).encode()) for each in part))
        return reasons


async def test_myt_15_sigterm_with_3000_in_flight_loses_nothing(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    platform = await subject.start(settings)
    users = await asyncio.to_thread(subject.create_devices, settings, 1)
    acknowledged: set[int] = set()

    async def send(device: MqttDevice, number: int) -> None:
        if await device.publish("burst", json.dumps({"n": number}).encode()) < 0x80:
            acknowledged.add(number)

    device = MqttDevice("127.0.0.1", platform.mqtt, *users[0])
    await device.connect()
    sending = [asyncio.create_task(send(device, number)) for number in range(3000)]
    while not acknowledged:
        await asyncio.sleep(0)
    os.kill(platform.process.pid, signal.SIGTERM)
    await asyncio.gather(*sending, return_exceptions=True)
    await platform.process.wait()
    await device.close()
    async with subject.running(settings) as again:
        owner = await asyncio.to_thread(owner_of, settings, again.url)
        async with owner.client() as api:
            stored = await House(again, owner, api, users, APPLICATION).values("n", len(acknowledged))
    assert acknowledged <= set(stored)  # type: ignore[arg-type]
    assert len(stored) == len(set(stored))


async def test_myt_16_events_wait_while_what_is_behind_the_log_is_down(house: House) -> None:
    os.kill(house.platform.role("pipeline"), signal.SIGKILL)
    reasons = await publish(house, [{"n": number} for number in range(100)])
    assert set(reasons) == {0}
    assert sorted(await house.values("n", 100)) == list(range(100))  # type: ignore[type-var]


async def test_myt_17_bad_payloads_are_refused_or_kept_with_their_reason(house: House) -> None:
    source = "def main(data):\n    return {'double': data['temp'] * 2}\n"
    await house.owner.activate_processor(house.api, house.application, source, "needs temp")
    async with httpx.AsyncClient(auth=house.user, trust_env=False) as client:
        url = f"http://127.0.0.1:{house.platform.http}/v1/telemetry"
        headers = {"content-type": "application/json"}
        assert (await client.post(url, content=b"{oops", headers=headers)).status_code == 406
    payloads: list[object] = [{"temp": 1}, {"wrong": 1}, {"temp": {"nested": 1}}, {"temp": None}, {"temp": 2}]
    assert set(await publish(house, payloads)) == {0}
    assert sorted(await house.values("double", 2)) == [2, 4]  # type: ignore[type-var]
    async with asyncio.timeout(30):
        while len(letters := await house.letters()) < 3:
            await asyncio.sleep(0.1)
    reasons = " ".join(str(letter["reason"]) for letter in letters)
    assert "KeyError" in reasons
    assert "TypeError" in reasons
    assert set(await publish(house, [{"temp": 3}])) == {0}
    assert sorted(await house.values("double", 3)) == [2, 4, 6]  # type: ignore[type-var]


async def test_myt_18_int_then_float_nested_list_null_bool(house: House) -> None:
    payloads: list[object] = [
        {"temp": 22},
        {"temp": 22.5},
        {"temp": 21},
        {"nested": {"a": 1, "b": [1, 2]}, "gone": None, "ok": True, "name": "Grüße", "big": 2**53},
    ]
    assert set(await publish(house, payloads)) == {0}
    assert sorted(await house.values("temp", 3)) == [21, 22, 22.5]  # type: ignore[type-var]
    assert await house.values("nested.a", 1) == [1]
    assert await house.values("ok", 1) == [True]
    assert await house.values("name", 1) == ["Grüße"]
    assert await house.values("big", 1) == [2**53]
    assert await house.letters() == []


async def test_myt_20_one_failing_event_does_not_stop_the_next_fifty(house: House) -> None:
    source = "def main(data):\n    return {'half': 10 / data['n']}\n"
    await house.owner.activate_processor(house.api, house.application, source, "divides")
    monitoring = {"measurement": "SystemMonitoring", "sensor": "platform", "data": {"n": 5, "cpu": 1.5}}
    payloads: list[object] = [{"n": 0}, monitoring, *({"n": number} for number in range(1, 51))]
    assert set(await publish(house, payloads)) == {0}
    assert len(await house.values("half", 51)) == 51
    assert await house.values("half", 1, measurement="SystemMonitoring") == [2.0]
    assert len(await house.letters()) == 1


async def test_myt_22_processor_time_is_never_zero_under_load(house: House) -> None:
    await publish(house, [{"n": number} for number in range(500)])
    await asyncio.sleep(1.5)
    page = (await house.api.get("/metrics")).text
    seconds = {
        line.split('role="')[1].split('"')[0]: float(line.split()[-1])
        for line in page.splitlines()
        if line.startswith("freehold_process_cpu_seconds_total")
    }
    assert set(seconds) == {"endpoint", "pipeline", "api"}
    assert all(value > 0 for value in seconds.values())


async def test_myt_26_memory_does_not_grow_with_messages(house: House) -> None:
    async def burst() -> int:
        job = Job("mqtt", house.platform.mqtt, house.users, 50, 4.0, b'{"temperature":21.5,"humidity":40}')
        result = await subject.load(job)
        assert result.refused == 0
        assert result.acknowledged > 1000
        return result.acknowledged

    await burst()
    roles = {name: house.platform.role(name) for name in ("endpoint", "pipeline")}
    before = {name: subject.resident_bytes(pid) for name, pid in roles.items()}
    messages = await burst() + await burst()
    for name, pid in roles.items():
        grown = subject.resident_bytes(pid) - before[name]
        # MyT kept 2.4 to 2.8 kB of each message. The databases' page caches still fill: some 100 bytes each.
        assert grown < 500 * messages + 4 * 2**20, (name, grown, messages)
