# SPDX-License-Identifier: Apache-2.0
"""New points of chosen series as Server-Sent Events: the store is asked again and again, so that nothing
between the processor and the store knows of viewers, and a slow viewer slows nobody.

Each series is followed from its own newest time, so that devices whose clocks are wrong are followed like
any other. Points that arrive with a time before the series' newest one are not shown; a chart has them when
it loads again. A viewer that comes back says when it was last told something; each series then resumes as
far before its newest point as the viewer was away, which may repeat points but misses none.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import msgspec
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from freehold.core.clock import now_us
from freehold.core.errors import QUERY_INVALID, TOO_MANY_CONNECTIONS, FreeholdError
from freehold.identity.problems import problem_response
from freehold.store.interfaces import Series, SeriesKey, TelemetryReader

POLL_SECONDS = 0.5
LOOK_SECONDS = 5.0
"""How soon a new series is followed."""

CHECK_SECONDS = 15.0
"""How soon somebody who may not look any longer sees no more."""

HEARTBEAT_SECONDS = 15.0
RETRY_MS = 2000
MOST_SERIES = 200
MOST_POINTS = 1000
"""Of one series in one event; the newest."""

MOST_VIEWERS = 200
SLACK_US = 2_000_000
"""How much earlier than the viewer says it resumes: what was being written at that moment."""

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
MEDIA_TYPE = "text/event-stream"

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Selection:
    """Which series to follow; empty means all."""

    devices: tuple[str, ...] = ()
    measurements: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()

    def takes(self, measurement: str, field: str) -> bool:
        return (not self.measurements or measurement in self.measurements) and (not self.fields or field in self.fields)


class Follower:
    """What is new of an application's series since the last `poll`. `since` (µs): when the viewer left."""

    def __init__(self, reader: TelemetryReader, application: str, selection: Selection, since: int | None) -> None:
        self._reader, self._application, self._selection = reader, application, selection
        self._since = since
        self._after: dict[SeriesKey, int] | None = None

    async def look(self) -> None:
        """Find the series to follow. Raises `telemetry.query.invalid` when they are too many at the beginning."""
        infos = await self._reader.series(self._application, devices=self._selection.devices)
        found = {
            (info.device, info.measurement, info.field): info.last_time
            for info in infos
            if self._selection.takes(info.measurement, info.field)
        }
        if self._after is None:
            if len(found) > MOST_SERIES:
                raise QUERY_INVALID.error(
                    f"{len(found)} series are more than the {MOST_SERIES} that can be followed at once:"
                    " choose with `device`, `measurement` and `field`"
                )
            away = 0 if self._since is None else max(now_us() - self._since, 0) + SLACK_US
            self._after = {key: time - away for key, time in found.items()}
        for key in found:
            if key not in self._after and len(self._after) < MOST_SERIES:
                self._after[key] = -1  # it is new altogether

    async def poll(self) -> list[Series]:
        """Series with points that the last `poll` did not see."""
        if self._after is None:
            await self.look()
        assert self._after is not None
        found = await self._reader.newer(self._application, self._after, limit=MOST_POINTS)
        for series in found:
            self._after[series.device, series.measurement, series.field] = series.times[-1]
        return found


class Viewers:
    """How many streams are open in this process."""

    def __init__(self, most: int = MOST_VIEWERS) -> None:
        self._most = most
        self.open = 0

    def enter(self) -> None:
        if self.open >= self._most:
            raise TOO_MANY_CONNECTIONS.error(f"{self.open} viewers follow telemetry already")
        self.open += 1

    def leave(self) -> None:
        self.open -= 1


class LiveResponse(Response):
    """The stream. A viewer's place is taken and given back in here, so that one that leaves at any moment gives
    it back; what can be refused is refused before the stream begins."""

    def __init__(self, follower: Follower, viewers: Viewers, still_allowed: Callable[[], Awaitable[object]]) -> None:
        super().__init__()
        self._follower, self._viewers, self._still_allowed = follower, viewers, still_allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._viewers.enter()
        except FreeholdError as refused:
            await problem_response(refused)(scope, receive, send)
            return
        try:
            await self._follower.look()
            stream = StreamingResponse(self._frames(), media_type=MEDIA_TYPE, headers=HEADERS)
            await stream(scope, receive, send)
        except FreeholdError as refused:
            await problem_response(refused)(scope, receive, send)
        finally:
            self._viewers.leave()

    async def _frames(self) -> AsyncIterator[bytes]:
        clock = asyncio.get_running_loop().time
        looked = checked = told = clock()
        yield f"retry: {RETRY_MS}\n\n".encode()
        while True:
            try:
                if clock() - checked >= CHECK_SECONDS:
                    await self._still_allowed()
                    checked = clock()
                if clock() - looked >= LOOK_SECONDS:
                    await self._follower.look()
                    looked = clock()
                asked = now_us()
                found = await self._follower.poll()
            except FreeholdError:
                return  # the client connects again and is told then
            if found:
                yield points(found, asked)
                told = clock()
            elif clock() - told >= HEARTBEAT_SECONDS:
                yield b": still here\n\n"
                told = clock()
            await asyncio.sleep(POLL_SECONDS)


def points(found: list[Series], asked: int) -> bytes:
    """One event `points`: `{"series": [...]}`, times in microseconds. Its id is when the store was asked."""
    return b"id: %d\nevent: points\ndata: %s\n\n" % (asked, _encode({"series": found}))
