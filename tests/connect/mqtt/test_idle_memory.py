# SPDX-License-Identifier: Apache-2.0
"""What an idle connection costs: 5,000 real ones, and the growth of the process that serves them.

`make soak ARGS="-k idle_memory -s"` prints the figures; the target is 6 KB of resident memory each. The
process holds all of a platform's device side, so what registry cache, gate and log keep of a device is in
the figure. Devices have a secret of their own, as real ones do.
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.contract.house import APPLICATION, PATIENCE, TENANT, House

CONNECTIONS = 5000
WARM = 200
TARGET_BYTES = 6 * 1024

FLEET = """
import asyncio, json, sys
import uvloop
from freehold.connect.mqtt.codec import Connect, Publish, encode

port, publishes, secrets = json.load(sys.stdin)

class Device(asyncio.Protocol):
    def __init__(self, name, secret):
        self.hello = encode(Connect("", 4, keep_alive=600, user_name=f"{name}@app1", password=secret.encode()), 4)
        self.answers = asyncio.Queue(1)
    def connection_made(self, transport):
        transport.write(self.hello)
        self.transport = transport
    def data_received(self, data):
        self.answers.put_nowait(data)

async def connect(name, secret):
    _, device = await asyncio.get_running_loop().create_connection(lambda: Device(name, secret), "127.0.0.1", port)
    assert await device.answers.get() == b"\\x20\\x02\\x00\\x00"
    if publishes:
        device.transport.write(encode(Publish("telemetry", b"1", 1, packet_id=1), 4))
        assert await device.answers.get() == b"\\x40\\x02\\x00\\x01"
    return device

async def main():
    items = list(secrets.items())
    devices = []
    for start in range(0, len(items), 100):
        devices += await asyncio.gather(*(connect(*item) for item in items[start : start + 100]))
    print("ready", flush=True)
    await asyncio.Event().wait()

uvloop.run(main())
"""


class Child:
    """A child process that is asked by lines."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, *arguments: str) -> Child:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, limit=1 << 20
        )
        return cls(process)

    def tell(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(text.encode())

    def tell_all(self, text: str) -> None:
        self.tell(text)
        assert self._process.stdin is not None
        self._process.stdin.close()

    async def line(self) -> str:
        assert self._process.stdout is not None
        return (await asyncio.wait_for(self._process.stdout.readline(), 10 * PATIENCE)).decode().strip()

    async def measured(self, devices: int) -> dict[str, Any]:
        """What the endpoint says of itself once so many devices are connected."""
        async with asyncio.timeout(PATIENCE):
            while True:
                self.tell("\n")
                said: dict[str, Any] = json.loads(await self.line())
                if said["devices"] == devices:
                    return said

    async def end(self) -> None:
        self._process.kill()
        await self._process.wait()


async def furnish_fleet(root: Path) -> dict[str, str]:
    """A data directory with the fleet's devices, and their generated secrets."""
    names = [f"sensor-{index:05d}" for index in range(CONNECTIONS + WARM)]
    bodies = [{"metadata": {"application": APPLICATION, "name": name}} for name in names]
    async with House(root) as house:
        await house.add_application()
        await asyncio.to_thread(house.registry.create_devices, TENANT, bodies)
        make = house.registry.generate_password
        return await asyncio.to_thread(lambda: {name: make(TENANT, APPLICATION, name) for name in names})


async def connected_fleet(port: int, publishes: bool, secrets: dict[str, str]) -> Child:
    fleet = await Child.start("-c", FLEET)
    fleet.tell_all(json.dumps([port, publishes, secrets]))
    assert await fleet.line() == "ready"
    return fleet


@pytest.mark.soak
async def test_idle_memory(tmp_path: Path) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # the children inherit it
    secrets = await furnish_fleet(tmp_path)
    warm = dict(list(secrets.items())[:WARM])
    cold = dict(list(secrets.items())[WARM:])
    for publishes, circumstances in ((False, "silent"), (True, "after a publish")):
        endpoint = await Child.start("-m", "tests.connect.mqtt.idle_endpoint", str(tmp_path))
        port = int(await endpoint.line())
        await (await connected_fleet(port, publishes, warm)).end()
        before = await endpoint.measured(0)
        fleet = await connected_fleet(port, publishes, cold)
        after = await endpoint.measured(CONNECTIONS)
        each = (after["resident"] - before["resident"]) / CONNECTIONS
        print(f"\n{each:.0f} bytes of resident memory for each of {CONNECTIONS} idle connections, {circumstances}")
        for size, count, where in after["lines"]:
            print(f"{size / CONNECTIONS:7.0f} B {count / CONNECTIONS:5.1f}  {where}")
        await fleet.end()
        await endpoint.end()
        if not after["lines"]:  # tracing needs memory itself
            assert each <= TARGET_BYTES
