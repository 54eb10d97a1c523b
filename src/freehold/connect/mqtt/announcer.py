# SPDX-License-Identifier: Apache-2.0
"""Connection events and wills: what the endpoint itself has to say about a device (contract drogue.md 1.3).

They go to the log in the order in which they happened. Nobody waits for them, so when the log refuses
(overload) they wait here, bounded, and are offered again.
"""

from __future__ import annotations

import asyncio
from collections import deque

import msgspec
import structlog

from freehold.connect.interfaces import Intake, Session
from freehold.connect.mqtt.codec import Will
from freehold.core.errors import FreeholdError
from freehold.events.models import CONNECTION_EVENT, Event
from freehold.log.interfaces import Route

_log = structlog.get_logger(__name__)

LONGEST = 100_000
RETRY_SECONDS = 0.2


class Announcer:
    """Submits announcements in order; `dropped` counts those that found the waiting list full."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._waiting: deque[tuple[Route, Event]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self.dropped = 0

    def connection(self, session: Session, connected: bool) -> None:
        """`io.drogue.connection.v1` of the connecting device."""
        payload = b'{"connected":true}' if connected else b'{"connected":false}'
        event = self._intake.event(session, session.device, "connection", "application/json", payload)
        self._submit(session.route, msgspec.structs.replace(event, type=CONNECTION_EVENT))

    def will(self, session: Session, will: Will) -> None:
        """The will as an ordinary event; its topic is the channel as it stands."""
        try:
            event = self._intake.event(session, session.device, will.topic, will.properties.content_type, will.payload)
        except FreeholdError as refusal:
            _log.info("will refused", device=session.device.name, code=refusal.refusal.code)
            return
        self._submit(session.route, event)

    def close(self) -> None:
        """A last try; what the log still refuses is lost, and said so."""
        self._retry()
        if self._timer is not None:
            self._timer.cancel()
        if self._waiting:
            _log.warning("connection events were lost", count=len(self._waiting))

    def _submit(self, route: Route, event: Event) -> None:
        if not self._waiting and self._try(route, event):
            return
        if len(self._waiting) >= LONGEST:
            self.dropped += 1
            return
        self._waiting.append((route, event))
        self._schedule()

    def _try(self, route: Route, event: Event) -> bool:
        try:
            future = self._intake.submit((route,), (event,))
        except FreeholdError:
            return False
        future.add_done_callback(_look_at)
        return True

    def _retry(self) -> None:
        self._timer = None
        while self._waiting and self._try(*self._waiting[0]):
            self._waiting.popleft()
        if self._waiting:
            self._schedule()

    def _schedule(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(RETRY_SECONDS, self._retry)


def _look_at(future: asyncio.Future[None]) -> None:
    """Read the result, so that a failure is logged by us and not as a forgotten exception."""
    if not future.cancelled() and (failure := future.exception()) is not None:
        _log.warning("a connection event could not be made durable", error=str(failure))
