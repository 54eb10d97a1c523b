# SPDX-License-Identifier: Apache-2.0
"""Live events over a real log: order, backfill, resuming, bounds, damage."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import apsw
import pytest

from freehold.core.errors import FreeholdError
from freehold.deliver.models import Item, Selection, Update, render_cursor
from freehold.deliver.service import Bounds, LiveEvents
from freehold.events.models import Event
from freehold.log.sqlite.engine import SqliteLog

from .conftest import APPLICATION, Put, make_event

EVERYTHING = Selection()
QUICK = Bounds(viewers=3, items=50, gulp=20, pace=0.0, heartbeat=0.2)


@pytest.fixture
async def live(log: SqliteLog) -> AsyncIterator[LiveEvents]:
    service = LiveEvents(log, QUICK)
    await service.start()
    yield service
    await service.stop()


async def collect(updates: AsyncIterator[Update], count: int) -> tuple[int, list[Item]]:
    """(missed, events) until `count` events came, or were missed."""
    missed, items = 0, []
    async with asyncio.timeout(20):
        while missed + len(items) < count:
            update = await anext(updates)
            missed += update.missed
            items += update.items
    return missed, items


async def all_read(live: LiveEvents) -> None:
    """Until the tail has handed out everything that is in the log."""
    (tail,) = live._tails.values()
    end = live._log.consumer("test", APPLICATION, start="latest").positions()
    async with asyncio.timeout(20):
        while tail.positions != end:
            await asyncio.sleep(0.01)


def numbers(items: list[Item]) -> list[bytes]:
    return [item.event.data for item in items]


async def test_events_arrive_in_the_order_of_each_sender(
    live: LiveEvents, put: Put, many: Callable[..., list[Event]]
) -> None:
    async with live.watch(APPLICATION, EVERYTHING) as updates:
        assert await anext(updates) == Update()
        events = many(40)
        await put(events)
        missed, items = await collect(updates, 40)
    assert missed == 0
    for device in {event.device for event in events}:
        sent = [event.id for event in events if event.device == device]
        assert [item.event.id for item in items if item.event.device == device] == sent


async def test_a_topic_that_does_not_exist_yet_can_be_watched(live: LiveEvents, put: Put) -> None:
    async with live.watch(APPLICATION, EVERYTHING, backfill=10) as updates:
        assert await anext(updates) == Update()
        await put([make_event(1)])
        assert numbers((await collect(updates, 1))[1]) == [b'{"n":1}']


@pytest.mark.parametrize("backfill", [0, 1, 7, 30, 500])
async def test_the_backfill_is_the_newest_events_oldest_first(
    live: LiveEvents, put: Put, many: Callable[..., list[Event]], backfill: int
) -> None:
    events = many(30)
    await put(events)
    async with live.watch(APPLICATION, EVERYTHING, backfill=backfill) as updates:
        past = await anext(updates)
    assert [item.event.id for item in past.items] == [event.id for event in events[len(events) - min(backfill, 30) :]]


async def test_nothing_is_lost_or_repeated_between_backfill_and_live(
    live: LiveEvents, put: Put, many: Callable[..., list[Event]]
) -> None:
    events = many(45)

    async def write() -> None:
        for event in events:
            await put([event])

    writing = asyncio.create_task(write())
    await asyncio.sleep(0.02)
    async with live.watch(APPLICATION, EVERYTHING, backfill=500) as updates:
        missed, items = await collect(updates, 45)
    await writing
    assert missed == 0
    assert sorted(numbers(items)) == sorted(event.data for event in events)


async def test_a_selection_looks_far_enough_back(live: LiveEvents, put: Put, many: Callable[..., list[Event]]) -> None:
    await put([make_event(1, "rare"), *many(300), make_event(2, "rare", subject="state")])
    found = await live.latest(APPLICATION, Selection(device="rare"), 5)
    assert numbers(found) == [b'{"n":1}', b'{"n":2}']
    found = await live.latest(APPLICATION, Selection(device="rare", channel="state"), 5)
    assert numbers(found) == [b'{"n":2}']


@pytest.mark.parametrize("stop_after", [0, 1, 13, 29])
async def test_resuming_behind_any_event_gives_exactly_the_rest(
    live: LiveEvents, put: Put, many: Callable[..., list[Event]], stop_after: int
) -> None:
    events = many(30)
    await put(events)
    async with live.watch(APPLICATION, EVERYTHING, backfill=500) as updates:
        past = (await anext(updates)).items
    cursor = render_cursor(past[stop_after].positions)
    async with live.watch(APPLICATION, EVERYTHING, last_event_id=cursor) as updates:
        rest = await anext(updates)
    assert rest.missed == 0
    assert [item.event.id for item in rest.items] == [item.event.id for item in past[stop_after + 1 :]]


async def test_resuming_goes_on_where_the_live_stream_broke_off(
    live: LiveEvents, put: Put, many: Callable[..., list[Event]]
) -> None:
    async with live.watch(APPLICATION, EVERYTHING) as updates:
        await anext(updates)
        await put(many(10))
        _, seen = await collect(updates, 10)
    await put([make_event(77)])
    cursor = render_cursor(seen[-1].positions)
    async with live.watch(APPLICATION, EVERYTHING, last_event_id=cursor) as updates:
        assert numbers((await collect(updates, 1))[1]) == [b'{"n":77}']


async def test_resuming_by_the_id_of_an_event(live: LiveEvents, put: Put) -> None:
    events = [make_event(number) for number in range(6)]
    for event in events:
        await put([event])
    async with live.watch(APPLICATION, EVERYTHING, last_event_id=events[3].id) as updates:
        rest = await anext(updates)
    assert numbers(list(rest.items)) == [b'{"n":4}', b'{"n":5}']


@pytest.mark.parametrize("unknown", ["no-such-thing", "0190a1b2-7c0a-7b0e-9d53-0d6b0d5f9a11", "💥", "x" * 5000])
async def test_an_unknown_resume_point_means_the_backfill(live: LiveEvents, put: Put, unknown: str) -> None:
    await put([make_event(number) for number in range(3)])
    async with live.watch(APPLICATION, EVERYTHING, backfill=2, last_event_id=unknown) as updates:
        past = await anext(updates)
    assert numbers(list(past.items)) == [b'{"n":1}', b'{"n":2}']


async def test_a_cursor_of_before_retention_tells_how_many_are_gone(
    log: SqliteLog, live: LiveEvents, put: Put, tmp_path: Path
) -> None:
    await put([make_event(number) for number in range(5)])
    await log.retain(age_us=1, bytes_per_topic=1 << 40)
    await put([make_event(5)])
    partition = log.route(APPLICATION, make_event().partitionkey).partition
    async with live.watch(APPLICATION, EVERYTHING, last_event_id=render_cursor({partition: 2})) as updates:
        told = await anext(updates)
    assert told.missed + len(told.items) == 4
    assert numbers(list(told.items))[-1:] == [b'{"n":5}']


async def test_a_slow_viewer_is_skipped_ahead_and_told_how_many_it_missed(live: LiveEvents, put: Put) -> None:
    async with live.watch(APPLICATION, EVERYTHING) as updates:
        await anext(updates)
        for start in range(0, 500, 100):
            await put([make_event(start + number) for number in range(100)])
        await all_read(live)  # nobody takes anything until then
        missed, items = await collect(updates, 500)
    assert missed == 450
    assert numbers(items) == [b'{"n":%d}' % number for number in range(450, 500)]


async def test_a_slow_viewer_costs_its_neighbour_nothing(live: LiveEvents, put: Put) -> None:
    async with AsyncExitStack() as stack:
        slow = await stack.enter_async_context(live.watch(APPLICATION, EVERYTHING))
        quick = await stack.enter_async_context(live.watch(APPLICATION, EVERYTHING))
        await anext(slow)
        await anext(quick)
        seen: list[Item] = []
        for start in range(0, 200, 20):
            await put([make_event(start + number) for number in range(20)])
            missed, items = await collect(quick, 20)
            assert missed == 0
            seen += items
        assert len(seen) == 200
        missed, items = await collect(slow, 200)
        assert missed == 150


async def test_large_events_are_bounded_by_bytes(log: SqliteLog, put: Put) -> None:
    service = LiveEvents(log, Bounds(size=10_000, gulp=100, pace=0.0))
    big = [make_event(number, data=b"x" * 4000, datacontenttype="application/octet-stream") for number in range(6)]
    async with service.watch(APPLICATION, EVERYTHING) as updates:
        await anext(updates)
        await put(big)
        await all_read(service)
        missed, items = await collect(updates, 6)
    assert (missed, len(items)) == (4, 2)
    await service.stop()


async def test_one_viewer_too_many_is_refused_and_a_place_is_given_back(live: LiveEvents) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(QUICK.viewers):
            await stack.enter_async_context(live.watch(APPLICATION, EVERYTHING))
        with pytest.raises(FreeholdError) as refused:
            await stack.enter_async_context(live.watch(APPLICATION, EVERYTHING))
        assert refused.value.refusal.code == "quota.exceeded"
        async with live.watch("another-application", EVERYTHING):
            assert live.viewers == QUICK.viewers + 1
    assert live.viewers == 0
    async with live.watch(APPLICATION, EVERYTHING):
        assert live.viewers == 1


async def test_silence_gives_heartbeats(live: LiveEvents) -> None:
    async with live.watch(APPLICATION, EVERYTHING) as updates:
        assert [await anext(updates) for _ in range(3)] == [Update()] * 3


async def test_draining_ends_every_stream_and_refuses_new_ones(live: LiveEvents) -> None:
    async with live.watch(APPLICATION, EVERYTHING) as updates:
        await anext(updates)
        await live.drain()
        async with asyncio.timeout(20):
            assert all([not update.items async for update in updates])
        with pytest.raises(FreeholdError) as refused:
            await live.watch(APPLICATION, EVERYTHING).__aenter__()
        assert refused.value.refusal.code == "platform.stopping"


async def test_a_damaged_record_is_stepped_over_and_counted(
    log: SqliteLog, live: LiveEvents, put: Put, tmp_path: Path
) -> None:
    for number in range(3):
        await put([make_event(number)])
    with apsw.Connection(str(tmp_path / "log" / "log.db")) as database:
        seq, data = next(database.execute("SELECT seq, data FROM batches ORDER BY seq LIMIT 1 OFFSET 1"))
        database.execute("UPDATE batches SET data = ? WHERE seq = ?", (data[:-3] + b"!!!", seq))
    found = await live.latest(APPLICATION, EVERYTHING, 10)
    assert numbers(found) == [b'{"n":0}', b'{"n":2}']


async def test_a_record_that_is_no_event_is_stepped_over(log: SqliteLog, live: LiveEvents, put: Put) -> None:
    async with live.watch(APPLICATION, EVERYTHING) as updates:
        await anext(updates)
        await log.append(APPLICATION, "key", b"\xc1 not msgpack")
        await put([make_event(1)])
        missed, items = await collect(updates, 2)
    assert (missed, numbers(items)) == (1, [b'{"n":1}'])
    assert numbers(await live.latest(APPLICATION, EVERYTHING, 10)) == [b'{"n":1}']
