# SPDX-License-Identifier: Apache-2.0
"""The demo's devices: thermistors that send raw resistance, and a lamp that commands switch.

The story of MyT's report: the sensor knows only its resistance, the owner's processor knows the formula.
They speak over real sockets, two by MQTT and one by HTTP.
"""

from __future__ import annotations

import asyncio
import json
import math
import random
import time
from collections.abc import Callable

import httpx

from freehold.cli.device import MqttDevice

PROCESSOR = """\
# The sensors send the raw resistance of a 10 kOhm thermistor. This turns it into degrees Celsius.
import math

NOMINAL_OHMS = 10_000.0   # at 25 degrees
BETA = 3950.0             # from the data sheet


def main(data):
    if "resistance" not in data:
        return data           # the lamp reports its state: nothing to compute
    kelvin = 1.0 / (1.0 / 298.15 + math.log(data["resistance"] / NOMINAL_OHMS) / BETA)
    return {"temperature": round(kelvin - 273.15, 2)}
"""


def resistance_at(celsius: float) -> float:
    """Ohms of the thermistor at a temperature: the inverse of what the processor computes."""
    return 10_000.0 * math.exp(3950.0 * (1.0 / (celsius + 273.15) - 1.0 / 298.15))


class Weather:
    """A room whose temperature wanders: a slow wave, a little noise, another base for each sensor."""

    def __init__(self, base: float, seed: int) -> None:
        self._base, self._noise, self._phase = base, random.Random(seed), seed * 1.7

    def reading(self) -> bytes:
        celsius = self._base + 3 * math.sin(time.time() / 20 + self._phase) + self._noise.gauss(0, 0.08)
        return json.dumps({"resistance": round(resistance_at(celsius), 1)}).encode()


async def mqtt_sensor(
    host: str, port: int, user: str, password: str, weather: Weather, every: float, accepted: Callable[[], None]
) -> None:
    """Publish for ever; connects again after a loss. Calls `accepted` for each durable event."""
    while True:
        try:
            async with MqttDevice(host, port, user, password) as device:
                while True:
                    if await device.publish("telemetry", weather.reading()) < 0x80:
                        accepted()
                    await asyncio.sleep(every)
        except OSError:
            await asyncio.sleep(1)


async def http_sensor(
    url: str, user: str, password: str, weather: Weather, every: float, accepted: Callable[[], None]
) -> None:
    """Post for ever over one keep-alive connection."""
    async with httpx.AsyncClient(auth=(user, password), trust_env=False) as client:
        while True:
            try:
                answer = await client.post(url, content=weather.reading(), headers={"content-type": "application/json"})
                if answer.status_code == 202:
                    accepted()
            except httpx.TransportError:
                await asyncio.sleep(1)
            await asyncio.sleep(every)


async def lamp(
    host: str, port: int, user: str, password: str, switched: Callable[[bool], None], accepted: Callable[[], None]
) -> None:
    """A LED: waits for the command `led` with `{"on": true}` and reports its new state as an event."""
    while True:
        try:
            async with MqttDevice(host, port, user, password) as device:
                wishes: asyncio.Queue[bool] = asyncio.Queue(maxsize=16)

                def on_message(topic: str, payload: bytes, wishes: asyncio.Queue[bool] = wishes) -> None:
                    if topic.endswith("/led") and not wishes.full():
                        wishes.put_nowait(bool(json.loads(payload).get("on")))

                device.on_message = on_message
                await device.subscribe("command/inbox//#")
                while True:
                    on = await wishes.get()
                    switched(on)
                    if await device.publish("state", json.dumps({"on": on}).encode()) < 0x80:
                        accepted()
        except OSError:
            await asyncio.sleep(1)
