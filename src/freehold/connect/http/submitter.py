# SPDX-License-Identifier: Apache-2.0
"""What all connections bring in one turn of the loop goes to the log in one submission.

A device has one request on its way, so each connection alone would submit one event, and each submission costs
a future, a callback and a turn in the loop's queue: a sixth of the whole cost of a request (measured).

One submission holds events of one application only and stays small: whatever it is refused for, a quota or a
full queue, is refused to nobody else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import structlog

from freehold.connect.interfaces import Intake
from freehold.core.errors import INTERNAL, FreeholdError
from freehold.events.models import Event
from freehold.log.interfaces import Route

_log = structlog.get_logger(__name__)

MOST_EVENTS = 64
MOST_BYTES = 65_536

Done = Callable[[FreeholdError | None], None]
"""Called once: with None when the event is durable, else with what it was refused for."""


class _Batch:
    __slots__ = ("bytes", "events", "routes", "waiting")

    def __init__(self) -> None:
        self.routes: list[Route] = []
        self.events: list[Event] = []
        self.waiting: list[Done] = []
        self.bytes = 0


class Submitter:
    """Collects until the end of the turn. Events of one application keep the order in which they came."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._open: dict[str, _Batch] = {}
        self._batches: list[_Batch] = []

    def submit(self, route: Route, event: Event, done: Done) -> None:
        batch = self._open.get(event.applicationuid)
        if batch is None:
            batch = self._open[event.applicationuid] = _Batch()
            if not self._batches:
                asyncio.get_running_loop().call_soon(self._flush)
            self._batches.append(batch)
        batch.routes.append(route)
        batch.events.append(event)
        batch.waiting.append(done)
        batch.bytes += len(event.data)
        if len(batch.events) >= MOST_EVENTS or batch.bytes >= MOST_BYTES:
            # It still waits for the end of the turn: sent from here, a refusal could make its connection begin
            # the next request, which fills the next batch, and so on as deep as there are requests.
            del self._open[event.applicationuid]

    def _flush(self) -> None:
        batches, self._batches, self._open = self._batches, [], {}
        for batch in batches:
            self._send(batch)

    def _send(self, batch: _Batch) -> None:
        try:
            future = self._intake.submit(batch.routes, batch.events)
        except Exception as cause:
            _tell(batch.waiting, cause)
        else:
            future.add_done_callback(partial(_resolved, batch.waiting))


def _resolved(waiting: list[Done], future: asyncio.Future[None]) -> None:
    _tell(waiting, asyncio.CancelledError() if future.cancelled() else future.exception())


def _tell(waiting: list[Done], failure: BaseException | None) -> None:
    if failure is not None and not isinstance(failure, FreeholdError):
        _log.error("the log failed in an unknown way", error=repr(failure))
        failure = INTERNAL.error()
    for done in waiting:
        try:
            done(failure)
        except Exception:
            # One broken connection must not keep the next from its answer.
            _log.exception("an answer could not be given")
