# SPDX-License-Identifier: Apache-2.0
"""Live events of applications: one shared tail per application, many viewers, everything bounded.

A viewer costs its own buffer and its own connection and nothing else: the log is read once for all of them,
and neither the log nor the tail ever waits for one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from freehold.core.errors import QUOTA_EXCEEDED, SHUTTING_DOWN
from freehold.deliver.models import Item, Selection, Update, parse_cursor
from freehold.deliver.past import behind_event, newest, since
from freehold.deliver.tail import Tail, ends
from freehold.deliver.viewer import Viewer
from freehold.log.interfaces import LogReader


@dataclass(frozen=True, slots=True)
class Bounds:
    """What live viewing may use up."""

    viewers: int = 32
    """Of one application at the same time."""
    items: int = 500
    """Events that wait for one slow viewer."""
    size: int = 2 * 1024 * 1024
    """Bytes that wait for one slow viewer."""
    gulp: int = 200
    """Events that a viewer gets at once."""
    pace: float = 0.1
    """Seconds between two gulps: no browser shows more than `gulp / pace` events a second."""
    heartbeat: float = 15.0


class LiveEvents:
    """The component `deliver.live`. Lives in one event loop."""

    name = "deliver.live"

    def __init__(self, log: LogReader, bounds: Bounds | None = None) -> None:
        self._log = log
        self.bounds = bounds or Bounds()
        self._tails: dict[str, Tail] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._lock = asyncio.Lock()
        self._closing = False

    async def start(self) -> None:
        self._closing = False

    async def drain(self) -> None:
        """End all streams: a server that waits for its open responses would wait for ever."""
        self._closing = True
        for tail in self._tails.values():
            for viewer in tail.viewers:
                viewer.wake()

    async def stop(self) -> None:
        await self.drain()
        async with self._lock:
            while self._tails:
                await self._tails.popitem()[1].stop()
        if self._ending:
            await asyncio.wait(self._ending)

    def health(self) -> str | None:
        return next((tail.problem for tail in self._tails.values() if tail.problem), None)

    @property
    def viewers(self) -> int:
        """Open streams, all applications together."""
        return sum(len(tail.viewers) for tail in self._tails.values())

    async def latest(self, topic: str, selection: Selection, count: int) -> list[Item]:
        """The newest `count` events, oldest first."""
        return await newest(self._log, topic, await ends(self._log, topic), selection, count)

    @asynccontextmanager
    async def watch(
        self, topic: str, selection: Selection, *, backfill: int = 0, last_event_id: str = ""
    ) -> AsyncIterator[AsyncIterator[Update]]:
        """Updates without end. The first is the past: what came after `last_event_id` (a cursor or the id of
        an event), else the newest `backfill` events. An empty update says that nothing came for a while.

        Raises `quota.exceeded` when too many watch this application, `platform.stopping`.
        """
        viewer = Viewer(selection, items=self.bounds.items, size=self.bounds.size)
        tail, upto = await self._join(topic, viewer)
        try:
            yield self._updates(topic, viewer, upto, backfill, last_event_id)
        finally:
            self._leave(topic, tail, viewer)

    async def _updates(
        self, topic: str, viewer: Viewer, upto: dict[int, int], backfill: int, last_event_id: str
    ) -> AsyncIterator[Update]:
        yield await self._past(topic, viewer.selection, upto, backfill, last_event_id)
        while not self._closing:
            update = await viewer.take(self.bounds.gulp, self.bounds.heartbeat)
            yield update
            if update.items:
                await asyncio.sleep(self.bounds.pace)

    async def _past(self, topic: str, selection: Selection, upto: dict[int, int], backfill: int, resume: str) -> Update:
        after = parse_cursor(resume)
        if after is None and resume:
            after = await behind_event(self._log, topic, resume, upto)
        if after is not None:
            return await since(self._log, topic, after, upto, selection)
        return Update(0, tuple(await newest(self._log, topic, upto, selection, backfill)))

    async def _join(self, topic: str, viewer: Viewer) -> tuple[Tail, dict[int, int]]:
        """The tail, and where it stood when `viewer` joined: what is before that comes from the log."""
        async with self._lock:
            if self._closing:
                raise SHUTTING_DOWN.error()
            tail = self._tails.get(topic)
            if tail is None:
                tail = Tail(self._log, topic)
                await tail.start()
                self._tails[topic] = tail
            if len(tail.viewers) >= self.bounds.viewers:
                raise QUOTA_EXCEEDED.error(
                    f"{self.bounds.viewers} viewers watch the events of this application already"
                )
            tail.viewers.add(viewer)
            return tail, dict(tail.positions)

    def _leave(self, topic: str, tail: Tail, viewer: Viewer) -> None:
        # Runs while its connection is being cancelled, where nothing can be awaited: the tail ends on its own.
        tail.viewers.discard(viewer)
        if not tail.viewers and self._tails.get(topic) is tail:
            del self._tails[topic]
            task = asyncio.create_task(tail.stop())
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
