# SPDX-License-Identifier: Apache-2.0
"""What the `api` role knows of the others, from what they tell over the bus."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from freehold.core.bus import MemoryBus
from freehold.core.errors import FreeholdError
from freehold.core.metrics import MetricSet
from freehold.core.settings import load
from freehold.runtime import messages, platform
from freehold.runtime.platform import Sampling, StatusBoard
from freehold.store.interfaces import Batch, DeadLetter
from freehold.store.sqlite.engine import SqliteTelemetry
from freehold.store.sqlite.reader import SqliteTelemetryReader


@dataclass
class Desk:
    bus: MemoryBus
    store: SqliteTelemetry
    board: StatusBoard

    def tell(
        self, role: str, health: dict[str, str | None], metrics: MetricSet | None = None, **counters: float
    ) -> None:
        page = metrics.exposition() if metrics else b""
        self.bus.publish(messages.STATUS, messages.encode(messages.Status(role, counters, health, page)))


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    bus = MemoryBus()
    store = SqliteTelemetry(tmp_path / "telemetry.db")
    await store.start()
    reader = SqliteTelemetryReader(tmp_path / "telemetry.db")
    board = StatusBoard(load(), bus, reader, lambda: messages.Status("api", {}, {"runtime.api": None}))
    yield Desk(bus, store, board)
    await reader.close()
    await store.stop()


async def test_health_joins_what_the_roles_say(desk: Desk) -> None:
    desk.tell("endpoint", {"connect.mqtt": None, "log.sqlite": "disk full"})
    desk.tell("pipeline", {"store.sqlite": None})
    assert desk.board.health() == {
        "connect.mqtt": None,
        "log.sqlite": "disk full",
        "store.sqlite": None,
        "runtime.api": None,
    }


async def test_a_silent_role_is_not_well(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.tell("endpoint", {"connect.mqtt": None})
    assert "does not answer" in (desk.board.health()["pipeline"] or "")
    monkeypatch.setattr(platform, "SILENT_SECONDS", -1.0)
    assert "does not answer" in (desk.board.health()["endpoint"] or "")


async def test_history_adds_up_the_roles(desk: Desk) -> None:
    desk.tell("endpoint", {}, accepted=10, refused=1, connections=3)
    desk.tell("pipeline", {}, stored=7)
    sampling = Sampling(desk.board)
    await sampling.start()
    async with asyncio.timeout(10):
        while not desk.board.history():
            await asyncio.sleep(0.01)
    assert sampling.health() is None
    await sampling.drain()
    assert "stand still" in (sampling.health() or "")
    sample = desk.board.history()[0]
    assert (sample.accepted, sample.stored, sample.refused, sample.connections) == (10, 7, 1, 3)


async def test_one_page_of_metrics_for_all(desk: Desk) -> None:
    for role in ("endpoint", "pipeline"):
        metrics = MetricSet()
        metrics.counter("events", "Events", lambda: [({}, 5.0)])
        desk.tell(role, {}, metrics)
    assert b"freehold_events_total 10.0" in desk.board.exposition()


async def test_endpoints_are_what_people_can_reach(desk: Desk) -> None:
    endpoints = desk.board.endpoints()
    assert (endpoints.http_port, endpoints.mqtt_port) == (8088, 1883)


async def test_retrying_asks_the_pipeline_and_waits_for_it(desk: Desk) -> None:
    letter = DeadLetter("app", "event-1", 1, "dev", "ch", "failed", "", b"x")
    await desk.store.write(Batch(dead_letters=[letter]))
    asked: list[messages.Retry] = []

    def pipeline(message: bytes) -> None:
        asked.append(messages.decode_retry(message))
        task = asyncio.get_running_loop().create_task(desk.store.write(Batch(resolved=[("app", "event-1")])))
        task.add_done_callback(lambda _: None)

    desk.bus.subscribe(messages.RETRY, pipeline)
    await desk.board.retry_dead_letter("app", "event-1")
    assert asked == [messages.Retry("app", "event-1")]
    with pytest.raises(FreeholdError, match=r"resource\.not-found"):
        await desk.board.retry_dead_letter("app", "event-1")
