# SPDX-License-Identifier: Apache-2.0
"""From the log to the store: nothing lost, nothing twice, nobody held up; on the real log and the real store.

The worker is a double that does exactly what a test wants (the sandboxed one has its own tests).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from freehold.core.clock import now_us
from freehold.core.errors import STORE_UNAVAILABLE
from freehold.core.ids import uuid7
from freehold.core.settings import Log as LogSettings
from freehold.events.models import CONNECTION_EVENT, DEVICE_EVENT, Event, encode
from freehold.log.sqlite.engine import SqliteLog
from freehold.process.interfaces import Failed, Measured, Outcome, Script
from freehold.process.pipeline import ApplicationPipeline, Counters, Pipeline
from freehold.store.interfaces import Batch, DeadLetter, Query, Series
from freehold.store.rows import rows_of
from freehold.store.sqlite.engine import SqliteTelemetry
from freehold.store.sqlite.reader import SqliteTelemetryReader

APPLICATION = "0b7c4f3e-uid"


def event(data: object, *, device: str = "dev1", type: str = DEVICE_EVENT, app: str = APPLICATION) -> Event:
    payload = data if isinstance(data, bytes) else json.dumps(data).encode()
    return Event(
        uuid7(), now_us(), "app1", app, device, "u", device, "u", "telemetry", "application/json", payload, "t", type
    )


Run = Callable[[Sequence[Event]], Awaitable[list[Outcome]]]


@dataclass
class Double:
    """Processors and sandbox in one: `script` is the active version, `behave` what its worker does."""

    script: Script | None = None
    behave: Run | None = None
    trouble: str | None = None
    started: list[int] = field(default_factory=list)
    stopped: list[int] = field(default_factory=list)

    async def active(self, application: str) -> Script | None:
        return self.script

    def problem(self) -> str | None:
        return self.trouble

    def worker(self, script: Script) -> DoubleWorker:
        return DoubleWorker(self, script.version)


@dataclass
class DoubleWorker:
    house: Double
    version: int

    async def start(self) -> None:
        self.house.started.append(self.version)

    async def run(self, events: Sequence[Event]) -> list[Outcome]:
        assert self.house.behave is not None
        return await self.house.behave(events)

    def printed(self) -> str:
        return ""

    async def stop(self) -> None:
        self.house.stopped.append(self.version)


class Store(SqliteTelemetry):
    """The real store, which can be told to be away."""

    away = False
    refused = 0

    async def write(self, batch: Batch) -> None:
        if self.away:
            self.refused += 1
            raise STORE_UNAVAILABLE.error("away on purpose")
        await super().write(batch)


@dataclass
class House:
    log: SqliteLog
    store: Store
    reader: SqliteTelemetryReader
    double: Double
    pipeline: Pipeline

    async def send(self, *events: Event) -> None:
        route = self.log.route(events[0].applicationuid, "key")
        await self.log.submit([route] * len(events), [encode(each) for each in events])

    async def values(self, name: str, count: int) -> list[object]:
        """Values of a field once there are `count`."""
        async with asyncio.timeout(20):
            while True:
                found: list[Series] = await self.reader.query(Query(APPLICATION, 0, 1 << 61, fields=(name,)))
                values = [value for series in found for value in series.values]
                if len(values) >= count:
                    return values
                await asyncio.sleep(0.02)

    async def letters(self, count: int) -> list[DeadLetter]:
        async with asyncio.timeout(20):
            while len(found := await self.reader.dead_letters(APPLICATION, limit=100)) < count:
                await asyncio.sleep(0.02)
        return found


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    log = SqliteLog(tmp_path / "log", LogSettings())
    store = Store(tmp_path / "telemetry.db")
    await log.start()
    await store.start()
    double = Double()

    def make(application: str, counters: Counters) -> ApplicationPipeline:
        return ApplicationPipeline(
            application,
            log=log,
            store=store,
            processors=double,  # type: ignore[arg-type]  # only `active` is asked
            sandbox=double,
            rows_of=rows_of,
            batch=100,
            counters=counters,
        )

    pipeline = Pipeline(make, log)
    reader = SqliteTelemetryReader(tmp_path / "telemetry.db")
    await pipeline.start()
    yield House(log, store, reader, double, pipeline)
    await pipeline.drain()
    await pipeline.stop()
    await reader.close()
    await store.stop()
    await log.stop()


async def passing(events: Sequence[Event]) -> list[Outcome]:
    return [[Measured(json.loads(each.data))] for each in events]


def processor(house: House, behave: Run, version: int = 1) -> None:
    house.double.script = Script(APPLICATION, version, "", None)
    house.double.behave = behave
    house.pipeline.processor_changed(APPLICATION)


async def test_without_a_processor_payloads_are_rows(house: House) -> None:
    await house.send(event({"temp": 21.5, "ok": True}))
    assert await house.values("temp", 1) == [21.5]
    assert await house.values("ok", 1) == [True]


async def test_a_processor_makes_the_rows(house: House) -> None:
    async def double(events: Sequence[Event]) -> list[Outcome]:
        return [[Measured({"temp": json.loads(each.data)["temp"] * 2})] for each in events]

    processor(house, double)
    await house.send(event({"temp": 22}))
    assert await house.values("temp", 1) == [44]


async def test_dropped_and_split_events(house: House) -> None:
    async def behave(events: Sequence[Event]) -> list[Outcome]:
        return [[], [Measured({"n": 1}), Measured({"n": 2})], [Measured({"n": 3})]][: len(events)]

    processor(house, behave)
    await house.send(event(1), event(2), event(3))
    assert sorted(await house.values("n", 3)) == [1, 2, 3]  # type: ignore[type-var]


async def test_a_failing_event_is_a_dead_letter_and_the_others_go_on(house: House) -> None:
    async def behave(events: Sequence[Event]) -> list[Outcome]:
        return [
            Failed("ValueError: 13", "Traceback: line 4") if b"13" in each.data else [Measured(json.loads(each.data))]
            for each in events
        ]

    processor(house, behave, version=7)
    await house.send(*(event({"n": number}) for number in range(10, 16)))
    assert await house.values("n", 5) == [10, 11, 12, 14, 15]
    (letter,) = await house.letters(1)
    assert (letter.reason, letter.detail, letter.processor_version) == ("ValueError: 13", "Traceback: line 4", 7)
    assert house.pipeline.counters.dead_letters == 1


async def test_a_dead_letter_can_be_retried_and_leaves_the_list(house: House) -> None:
    async def failing(events: Sequence[Event]) -> list[Outcome]:
        return [Failed("not yet", "")] * len(events)

    processor(house, failing)
    await house.send(event({"n": 5}))
    (letter,) = await house.letters(1)
    assert not await house.pipeline.retry(APPLICATION, letter)
    assert len(await house.letters(1)) == 1
    processor(house, passing, version=2)
    assert await house.pipeline.retry(APPLICATION, letter)
    assert await house.values("n", 1) == [5]
    assert await house.reader.dead_letters(APPLICATION, limit=10) == []


async def test_myt_16_nothing_is_lost_while_the_processor_is_changed(house: House) -> None:
    async def slow(events: Sequence[Event]) -> list[Outcome]:
        await asyncio.sleep(0.01)
        return await passing(events)

    processor(house, slow)
    for version in range(2, 12):
        await house.send(*(event({"n": version * 100 + number}) for number in range(50)))
        processor(house, slow, version)
    assert len(set(await house.values("n", 500))) == 500
    assert house.double.started == sorted(house.double.started)


async def test_myt_19_a_store_that_is_away_loses_nothing(house: House) -> None:
    house.store.away = True
    await house.send(*(event({"n": number}) for number in range(20)))
    async with asyncio.timeout(20):
        while not house.store.refused:
            await asyncio.sleep(0.01)
    assert "store.unavailable" in (house.pipeline.health() or "")
    house.store.away = False
    assert len(await house.values("n", 20)) == 20
    assert house.pipeline.health() is None


async def test_no_sandbox_lets_events_wait_and_says_so(house: House) -> None:
    house.double.trouble = "bubblewrap is missing"
    processor(house, passing)
    await house.send(event({"n": 1}))
    async with asyncio.timeout(20):
        while "bubblewrap" not in (house.pipeline.health() or ""):
            await asyncio.sleep(0.01)
    assert await house.reader.query(Query(APPLICATION, 0, 1 << 61)) == []
    house.double.trouble = None
    assert await house.values("n", 1) == [1]


async def test_a_stuck_application_holds_up_nobody_else(house: House) -> None:
    gate = asyncio.Event()

    async def stuck(events: Sequence[Event]) -> list[Outcome]:
        if events[0].applicationuid != APPLICATION:
            await gate.wait()
        return await passing(events)

    processor(house, stuck)
    await house.send(event({"n": 1}, app="another-uid"))
    await asyncio.sleep(0.5)
    await house.send(event({"n": 2}))
    assert await house.values("n", 1) == [2]
    gate.set()


async def test_connection_events_are_states_and_no_rows(house: House) -> None:
    await house.send(event(b'{"connected":true}', type=CONNECTION_EVENT), event({"temp": 1}))
    await house.values("temp", 1)
    (state,) = await house.reader.states(APPLICATION)
    assert (state.device, state.connected, state.last_channel) == ("dev1", True, "telemetry")
    await house.send(event(b'{"connected":false}', type=CONNECTION_EVENT))
    async with asyncio.timeout(20):
        while (await house.reader.states(APPLICATION))[0].connected:
            await asyncio.sleep(0.02)


async def test_it_goes_on_behind_what_is_stored(house: House) -> None:
    await house.send(*(event({"n": number}) for number in range(50)))
    await house.values("n", 50)
    await house.pipeline.drain()
    await house.pipeline.stop()
    await house.send(*(event({"n": number}) for number in range(50, 80)))
    await house.pipeline.start()
    values = await house.values("n", 80)
    await asyncio.sleep(0.3)
    assert sorted(await house.values("n", 80)) == list(range(80))  # type: ignore[type-var]
    assert len(values) == 80


async def test_a_deleted_application_is_forgotten(house: House) -> None:
    await house.send(event({"n": 1}))
    await house.values("n", 1)
    await house.pipeline.forget(APPLICATION)
    await house.store.purge(APPLICATION)
    assert APPLICATION not in await house.store.applications()
    await house.pipeline.forget("never-was")
