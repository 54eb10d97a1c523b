# SPDX-License-Identifier: Apache-2.0
"""Following series: what a viewer is told, once, whatever its devices' clocks say; and the stream over a socket."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI, Request

from freehold.core.clock import now_us
from freehold.core.errors import NOT_FOUND, FreeholdError
from freehold.store import live
from freehold.store.api import router
from freehold.store.live import Follower, Selection, Viewers, points
from tests.store.telemetry import APP, DAY, HOUR, SECOND, Both, row

EVERYTHING = Selection()


def follow(both: Both, selection: Selection = EVERYTHING, since: int | None = None) -> Follower:
    return Follower(both.reader, APP, selection, since)


async def told(follower: Follower) -> dict[str, list[object]]:
    """device/field → values that are new."""
    found = await follower.poll()
    return {f"{series.device}/{series.field}": list(series.values) for series in found}


async def test_only_what_is_new_is_told_and_once(both: Both) -> None:
    now = now_us()
    await both.write(*(row(now - n * SECOND, {"x": n}) for n in range(5)))
    follower = follow(both)
    assert await told(follower) == {}
    await both.write(row(now + 1, {"x": 10, "y": True}), row(now + 2, {"x": 11}))
    assert await told(follower) == {"pi1/x": [10, 11]}
    assert await told(follower) == {}
    await follower.look()
    assert await told(follower) == {"pi1/y": [True]}
    assert await told(follower) == {}


@pytest.mark.parametrize("skew", [-3 * DAY, -HOUR, 0, HOUR, 100 * DAY])
async def test_a_device_whose_clock_is_wrong_is_followed_like_any_other(both: Both, skew: int) -> None:
    now = now_us() + skew
    await both.write(row(now, {"x": 1}), row(now_us(), {"x": 0}, device="right"))
    follower = follow(both)
    assert await told(follower) == {}
    await both.write(row(now + SECOND, {"x": 2}))
    assert await told(follower) == {"pi1/x": [2]}


@pytest.mark.parametrize("skew", [-3 * DAY, 0, 100 * DAY])
async def test_a_viewer_that_comes_back_misses_nothing(both: Both, skew: int) -> None:
    left = now_us() - 60 * SECOND
    times = [left + n * 10 * SECOND + skew for n in range(-6, 7)]
    await both.write(*(row(time, {"x": n}) for n, time in enumerate(times)))
    values = (await told(follow(both, since=left)))["pi1/x"]
    assert values[-6:] == list(range(7, 13))  # all from after it left
    assert len(values) <= 8  # and no more than the slack before


async def test_a_viewer_from_the_future_is_told_nothing_old(both: Both) -> None:
    await both.write(*(row(now_us() - n * 10 * SECOND, {"x": n}) for n in range(5)))
    assert await told(follow(both, since=now_us() + DAY)) in ({}, {"pi1/x": [0]})


@pytest.mark.parametrize(
    ("selection", "keys"),
    [
        (Selection(devices=("a",)), {"a/x", "a/y"}),
        (Selection(fields=("x",)), {"a/x", "b/x"}),
        (Selection(measurements=("none",)), set()),
        (Selection(("b",), ("state",), ("y",)), {"b/y"}),
    ],
)
async def test_selections(both: Both, selection: Selection, keys: set[str]) -> None:
    now = now_us()
    rows = [row(now, {"x": 1, "y": 2}, device=device) for device in "ab"]
    await both.write(*rows)
    follower = follow(both, selection)
    assert await told(follower) == {}
    await both.write(*(row(now + 1, {"x": 1, "y": 2}, device=device) for device in "ab"))
    assert set(await told(follower)) == keys


async def test_too_many_series_are_refused_and_later_ones_left_out(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MOST_SERIES", 3)
    await both.write(row(now_us(), {"a": 1, "b": 2, "c": 3}))
    follower = follow(both)
    assert await told(follower) == {}
    await both.write(row(now_us(), {"a": 1, "d": 4}))
    await follower.look()
    assert await told(follower) == {"pi1/a": [1]}
    with pytest.raises(FreeholdError, match="4 series are more than the 3"):
        await follow(both).poll()


async def test_a_burst_is_cut_to_its_newest(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MOST_POINTS", 5)
    now = now_us()
    await both.write(row(now, {"x": -1}))
    follower = follow(both)
    assert await told(follower) == {}
    await both.write(*(row(now + n, {"x": n}) for n in range(1, 100)))
    assert await told(follower) == {"pi1/x": [95, 96, 97, 98, 99]}


def test_the_number_of_viewers_is_bounded() -> None:
    viewers = Viewers(most=2)
    viewers.enter()
    viewers.enter()
    with pytest.raises(FreeholdError, match=r"platform\.connections\.exhausted"):
        viewers.enter()
    viewers.leave()
    viewers.enter()


# --- over a socket ----------------------------------------------------------------------------------


@dataclass
class Server:
    url: str
    allowed: bool = True

    async def resolve(self, _request: Request, _name: str, _permission: str) -> str:
        if not self.allowed:
            raise NOT_FOUND.error()
        return APP


@pytest.fixture
async def server(both: Both) -> AsyncIterator[Server]:
    made = Server("")
    app = FastAPI()
    app.include_router(router(reader=both.reader, resolve=made.resolve))
    running = uvicorn.Server(
        uvicorn.Config(app, port=0, log_level="error", lifespan="off", timeout_graceful_shutdown=1)
    )
    task = asyncio.create_task(running.serve())
    while not running.started:
        await asyncio.sleep(0.01)
    made.url = f"http://127.0.0.1:{running.servers[0].sockets[0].getsockname()[1]}/api/v1/apps/shop/telemetry/live"
    yield made
    running.should_exit = True
    await task


@pytest.fixture(autouse=True)
def _no_threads_left() -> Iterator[None]:
    before = {thread.name for thread in threading.enumerate()}
    yield
    after = {thread.name for thread in threading.enumerate()}
    assert not {name for name in after - before if name.startswith("store-")}


async def frames(answer: httpx.Response) -> AsyncIterator[dict[str, str]]:
    """Server-Sent Events as a browser reads them (HTML Standard, 9.2.6); comments have the name `comment`."""
    found: dict[str, str] = {}
    async for line in answer.aiter_lines():
        if line:
            name, _, value = line.partition(":")
            found[name or "comment"] = value.strip()
        elif found:
            yield found
            found = {}


def values_in(frame: dict[str, str]) -> dict[str, Any]:
    assert frame["event"] == "points"
    return {f"{series['device']}/{series['field']}": series["values"] for series in json.loads(frame["data"])["series"]}


async def test_the_stream_tells_new_points_and_resumes(both: Both, server: Server) -> None:
    await both.write(row(now_us(), {"x": 0}))
    async with httpx.AsyncClient(timeout=30) as client:
        async with client.stream("GET", server.url) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            events = frames(answer)
            assert (await anext(events))["retry"] == "2000"
            await both.write(row(now_us(), {"x": 1.5}))
            first = await anext(events)
            assert values_in(first) == {"pi1/x": [1.5]}
            await both.write(row(now_us(), {"x": "text"}))
            second = await anext(events)
            assert values_in(second) == {"pi1/x": ["text"]}
        await both.write(row(now_us(), {"x": 7}))
        async with client.stream("GET", server.url, headers={"Last-Event-ID": second["id"]}) as answer:
            events = frames(answer)
            await anext(events)
            assert values_in(await anext(events))["pi1/x"][-1] == 7


async def test_a_quiet_stream_has_heartbeats_and_ends_when_no_longer_allowed(
    both: Both, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "HEARTBEAT_SECONDS", 0)
    monkeypatch.setattr(live, "CHECK_SECONDS", 0)
    monkeypatch.setattr(live, "POLL_SECONDS", 0.01)
    await both.write(row(now_us(), {"x": 0}))
    async with httpx.AsyncClient(timeout=30) as client, client.stream("GET", server.url) as answer:
        events = frames(answer)
        await anext(events)
        assert (await anext(events))["comment"] == "still here"
        server.allowed = False
        assert all("comment" in frame for frame in [frame async for frame in events])


async def test_refusals_come_before_the_stream(both: Both, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MOST_SERIES", 0)
    await both.write(row(now_us(), {"x": 0}))
    async with httpx.AsyncClient(timeout=30) as client:
        answer = await client.get(server.url)
        assert (answer.status_code, answer.json()["code"]) == (400, "telemetry.query.invalid")
        answer = await client.get(server.url, params={"since": "x"})
        assert "`since`" in answer.json()["detail"]
        answer = await client.get(server.url, headers={"Last-Event-ID": "y" * 41})
        assert answer.status_code == 400


def test_an_event_is_one_line_of_json() -> None:
    frame = points([], 5).decode()
    assert frame == 'id: 5\nevent: points\ndata: {"series":[]}\n\n'
