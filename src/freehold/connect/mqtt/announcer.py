# SPDX-License-Identifier: Apache-2.0
"""Connection events and wills: what the endpoint itself has to say about a device (contract drogue.md 1.3).

They go to the log in the order in which they happened. Nobody waits for them, so what the log refuses
(overload, a quota, a failing disk) waits here, bounded, and is offered again. Each application waits for
itself: one at its quota must not keep the others' events back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial

import msgspec
import structlog

from freehold.connect.interfaces import Intake, Session
from freehold.connect.mqtt.codec import Will
from freehold.core.errors import FreeholdError
from freehold.events.models import CONNECTION_EVENT, Event
from freehold.log.interfaces import Route

_log = structlog.get_logger(__name__)

LONGEST = 100_000
ROUND = 1000
"""Announcements that are offered again at once; so a failing disk is not stormed."""
RETRY_SECONDS = 0.2

Announcement = tuple[Route, Event]


class Announcer:
    """Submits announcements in order; `dropped` counts those that were given up."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._waiting: dict[str, deque[Announcement]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self.waiting = self.dropped = 0

    def connection(self, session: Session, connected: bool) -> None:
        """`io.drogue.connection.v1` of the connecting device."""
        payload = b'{"connected":true}' if connected else b'{"connected":false}'
        event = self._intake.event(session, session.device, "connection", "application/json", payload)
        self._submit((session.route, msgspec.structs.replace(event, type=CONNECTION_EVENT)))

    def will(self, session: Session, will: Will) -> None:
        """The will as an ordinary event; its topic is the channel as it stands."""
        try:
            event = self._intake.event(session, session.device, will.topic, will.properties.content_type, will.payload)
        except FreeholdError as refusal:
            _log.info("will refused", device=session.device.name, code=refusal.refusal.code)
            return
        self._submit((session.route, event))

    def close(self) -> None:
        """A last try; what the log still refuses is lost, and said so."""
        self._closed = True
        self._retry(self.waiting)
        if self._timer is not None:
            self._timer.cancel()
        if self.waiting:
            self.dropped += self.waiting
            _log.warning("connection events were lost", count=self.waiting)

    def _submit(self, announcement: Announcement) -> None:
        _, event = announcement
        if event.applicationuid in self._waiting or not self._try(announcement):
            self._wait(announcement)

    def _try(self, announcement: Announcement) -> bool:
        route, event = announcement
        try:
            future = self._intake.submit((route,), (event,))
        except FreeholdError:
            return False
        future.add_done_callback(partial(self._look_at, announcement))
        return True

    def _look_at(self, announcement: Announcement, future: asyncio.Future[None]) -> None:
        if not future.cancelled() and future.exception() is not None:
            self._wait(announcement)

    def _wait(self, announcement: Announcement) -> None:
        if self._closed or self.waiting >= LONGEST:
            self.dropped += 1
            return
        self._waiting.setdefault(announcement[1].applicationuid, deque()).append(announcement)
        self.waiting += 1
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(RETRY_SECONDS, self._retry, ROUND)

    def _retry(self, most: int) -> None:
        self._timer = None
        for application, queue in list(self._waiting.items()):
            while queue and most > 0 and self._try(queue[0]):
                queue.popleft()
                self.waiting -= 1
                most -= 1
            del self._waiting[application]
            if queue:
                self._waiting[application] = queue  # behind the others, who may have had no turn
        if self._waiting and not self._closed:
            self._timer = asyncio.get_running_loop().call_later(RETRY_SECONDS, self._retry, ROUND)
