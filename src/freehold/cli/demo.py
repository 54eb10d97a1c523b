# SPDX-License-Identifier: Apache-2.0
"""`freehold demo`: the whole path in one command, from virtual sensors to a chart, and a command back."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx

from freehold.cli import sensors
from freehold.cli.main import add_settings, settings_of
from freehold.cli.setup import Owner, owner_of
from freehold.cli.up import console_url, sign_in_url
from freehold.core import logs
from freehold.core.settings import Settings
from freehold.runtime.supervisor import StartFailed, Supervisor, heed_signals

APPLICATION = "demo"
SENSORS = ("sensor-1", "sensor-2", "sensor-3")
LAMP = "led"
EVERY = 0.5
"""Seconds between two readings of a sensor."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, help="end by itself after this many seconds")
    parser.add_argument("--json", action="store_true", help="print one JSON object with the result as the last line")
    add_settings(parser)


def run(options: argparse.Namespace) -> int:
    settings = settings_of(options)
    with contextlib.ExitStack() as stack:
        if options.data is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="freehold-demo-"))
            settings = replace(settings, data=Path(folder))
        logs.configure(form=settings.log_format, level="warning", role="demo")
        demo = Demo(replace(settings, log_level="warning"))
        try:
            asyncio.run(demo.run(options.seconds))
        except StartFailed as failure:
            print(f"freehold: {failure}", file=sys.stderr)
            return 1
        if options.json:
            print(json.dumps(demo.result.as_json()), flush=True)
    return 0 if demo.result.rows_stored else 1


@dataclass
class Result:
    """What the demo counts; the last line of `--json`."""

    events_accepted: int = 0
    rows_stored: int = 0
    commands_delivered: int = 0
    first_row_s: float | None = None
    lamp_on: bool = field(default=False)

    def as_json(self) -> dict[str, Any]:
        first = None if self.first_row_s is None else round(self.first_row_s, 2)
        return {
            "events_accepted": self.events_accepted,
            "rows_stored": self.rows_stored,
            "commands_delivered": self.commands_delivered,
            "first_row_s": first,
        }


class Demo:
    """One run. `result` is filled while it runs."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.result = Result()
        self._began = time.monotonic()
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self, seconds: float | None) -> None:
        """Start, show, run for `seconds` (or until Ctrl-C), end cleanly."""
        supervisor = Supervisor(self.settings, say=self._say)
        heed_signals(supervisor)
        await supervisor.start()
        try:
            owner = await asyncio.to_thread(owner_of, self.settings, console_url(self.settings, supervisor))
            async with owner.client() as api:
                secrets = await self._create(owner, api)
                self._start_devices(supervisor, secrets)
                self._spawn(self._switch_lamp(api))
                await self._first_row(api)
                self._show(supervisor, owner)
                if seconds is not None:
                    self._spawn(_end_after(supervisor, seconds - (time.monotonic() - self._began)))
                await self._until_ended(supervisor, api)
        finally:
            await self._stop_devices()
            await supervisor.stop()

    # --- steps -----------------------------------------------------------------------------------

    async def _create(self, owner: Owner, api: httpx.AsyncClient) -> dict[str, str]:
        """The application, its devices (with the secret of each) and the processor."""
        await owner.create_application(api, APPLICATION)
        secrets = {name: await owner.create_device(api, APPLICATION, name) for name in (*SENSORS, LAMP)}
        self._say(f"application {APPLICATION} with {len(secrets)} devices")
        await owner.activate_processor(api, APPLICATION, sensors.PROCESSOR, "thermistor to temperature")
        self._say("processor: resistance becomes temperature")
        return secrets

    def _start_devices(self, supervisor: Supervisor, secrets: dict[str, str]) -> None:
        mqtt, http = supervisor.ports["mqtt"], supervisor.ports["http"]
        for index, name in enumerate(SENSORS[:2]):
            self._spawn(
                sensors.mqtt_sensor(
                    "127.0.0.1",
                    mqtt,
                    f"{name}@{APPLICATION}",
                    secrets[name],
                    sensors.Weather(21 + 2 * index, index),
                    EVERY,
                    self._accepted,
                )
            )
        name = SENSORS[2]
        url = f"http://127.0.0.1:{http}/v1/telemetry"
        weather = sensors.Weather(18, 7)
        self._spawn(sensors.http_sensor(url, f"{name}@{APPLICATION}", secrets[name], weather, EVERY, self._accepted))
        user = f"{LAMP}@{APPLICATION}"
        self._spawn(sensors.lamp("127.0.0.1", mqtt, user, secrets[LAMP], self._switched, self._accepted))
        self._say("two MQTT sensors, one HTTP sensor and a lamp are sending")

    async def _first_row(self, api: httpx.AsyncClient) -> None:
        """Wait for the first row; the processor's sandbox may need a moment."""
        async with asyncio.timeout(60):
            while not await self._rows(api):
                await asyncio.sleep(0.1)
        self.result.first_row_s = time.monotonic() - self._began
        self._say(f"first row stored {self.result.first_row_s:.1f} s after the start")

    async def _rows(self, api: httpx.AsyncClient) -> int:
        answer = await api.get(
            f"/api/v1/apps/{APPLICATION}/telemetry",
            params={"start": "-1d", "end": "now", "every": "1d", "aggregate": "count"},
        )
        answer.raise_for_status()
        return sum(int(value) for series in answer.json()["series"] for value in series["values"])

    async def _switch_lamp(self, api: httpx.AsyncClient) -> None:
        """A command every few seconds, as a person would click."""
        on = False
        await asyncio.sleep(2)
        while True:
            on = not on
            await api.post(
                f"/api/command/v1alpha1/apps/{APPLICATION}/devices/{LAMP}",
                params={"command": "led"},
                json={"on": on},
            )
            await asyncio.sleep(4)

    async def _until_ended(self, supervisor: Supervisor, api: httpx.AsyncClient) -> None:
        await supervisor.wait()
        self._say("ending: devices first, then what they sent is stored")
        await self._stop_devices()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                while (rows := await self._rows(api)) < self.result.events_accepted:
                    self.result.rows_stored = rows
                    await asyncio.sleep(0.05)
                self.result.rows_stored = rows

    async def _stop_devices(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    # --- small -----------------------------------------------------------------------------------

    def _show(self, supervisor: Supervisor, owner: Owner) -> None:
        url = sign_in_url(self.settings, supervisor) if supervisor.link else owner.sign_in_url()
        print(f"\nSign in once with this link:\n  {url}\n\nPress Ctrl-C to end.\n", flush=True)

    def _say(self, line: str) -> None:
        print(f"[{time.monotonic() - self._began:5.1f} s] {line}", flush=True)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.create_task(work))

    def _accepted(self) -> None:
        self.result.events_accepted += 1

    def _switched(self, on: bool) -> None:
        self.result.commands_delivered += 1
        self.result.lamp_on = on


async def _end_after(supervisor: Supervisor, seconds: float) -> None:
    await asyncio.sleep(max(0.0, seconds))
    supervisor.end()
