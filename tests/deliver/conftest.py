# SPDX-License-Identifier: Apache-2.0
"""A real embedded log with events in it; nothing here stands in for anything."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from freehold.core.clock import now_us
from freehold.core.ids import uuid7
from freehold.core.settings import Log
from freehold.events.models import Event, encode
from freehold.log.sqlite.engine import SqliteLog

APPLICATION = "0b5f3c1e-7c0a-4b0e-9d53-0d6b0d5f9a11"


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[SqliteLog]:
    engine = SqliteLog(tmp_path / "log", Log(partitions=4))
    (tmp_path / "log").mkdir()
    await engine.start()
    yield engine
    await engine.stop()


def make_event(number: int = 0, device: str = "boiler", **fields: object) -> Event:
    values: dict[str, object] = {
        "id": uuid7(),
        "time": now_us(),
        "application": "plant",
        "applicationuid": APPLICATION,
        "device": device,
        "deviceuid": "d-1",
        "sender": device,
        "senderuid": "d-1",
        "subject": "telemetry",
        "datacontenttype": "application/json",
        "data": b'{"n":%d}' % number,
        "instance": "test",
    }
    return Event(**(values | fields))  # type: ignore[arg-type]


Put = Callable[[Sequence[Event]], "object"]


@pytest.fixture
def put(log: SqliteLog) -> Put:
    async def submit(events: Sequence[Event], topic: str = APPLICATION) -> None:
        routes = [log.route(topic, event.partitionkey) for event in events]
        await log.submit(routes, [encode(event) for event in events])

    return submit


@pytest.fixture
def many() -> Callable[..., list[Event]]:
    """`count` events of `devices` devices in turn, numbered from 0."""

    def make(count: int, devices: int = 5) -> list[Event]:
        names = itertools.cycle(f"device-{index}" for index in range(devices))
        return [make_event(number, next(names)) for number in range(count)]

    return make
