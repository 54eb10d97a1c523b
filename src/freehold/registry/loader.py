# SPDX-License-Identifier: Apache-2.0
"""Questions to the registry, gathered into batches: one thread, one read for all that wait meanwhile.

When a fleet reconnects, thousands of devices are asked for within a second. Single reads cost half a
millisecond each, most of it overhead of the query; a batch of 256 costs little more than one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor

import structlog
from sqlalchemy.exc import SQLAlchemyError

from freehold.core.errors import AUTHENTICATION_UNAVAILABLE
from freehold.registry.snapshots import Loaded, Wanted

BATCH = 256
MOST_WAITING = 20_000

_log = structlog.get_logger(__name__)


class Loader:
    """Asks `read` in a thread and hands what it answers to `accept` in the event loop, before anybody sees it.

    Equal questions that wait or are under way share one answer.
    """

    def __init__(
        self, read: Callable[[Sequence[Wanted]], Loaded], accept: Callable[[Loaded], Loaded], threads: Executor
    ) -> None:
        self._read = read
        self._accept = accept
        self._threads = threads
        self._flights: dict[Wanted, asyncio.Future[Loaded]] = {}
        self._waiting: deque[Wanted] = deque()
        self._worker: asyncio.Task[None] | None = None
        self.reads = 0
        """Batches read so far."""

    async def get(self, wanted: Wanted) -> Loaded:
        """The batch that holds the answer. Raises `device.authentication.unavailable`."""
        flight = self._flights.get(wanted) or self._board(wanted)
        return await asyncio.shield(flight)  # one who gives up must not take the answer from the others

    def _board(self, wanted: Wanted) -> asyncio.Future[Loaded]:
        if len(self._flights) >= MOST_WAITING:
            raise AUTHENTICATION_UNAVAILABLE.error("too many devices ask at once")
        loop = asyncio.get_running_loop()
        flight = self._flights[wanted] = loop.create_future()
        flight.add_done_callback(_seen)
        self._waiting.append(wanted)
        if self._worker is None:
            self._worker = loop.create_task(self._work())
        return flight

    async def _work(self) -> None:
        try:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
                await self._answer(batch)
        finally:
            self._worker = None

    async def _answer(self, batch: Sequence[Wanted]) -> None:
        self.reads += 1
        try:
            loaded = await asyncio.get_running_loop().run_in_executor(self._threads, self._read, batch)
            answer = self._accept(loaded)
        except SQLAlchemyError as cause:
            # `orig` is the driver's own message; the rest of the text repeats statement and parameters.
            _log.error("the registry cannot be read", error=str(getattr(cause, "orig", type(cause).__name__)))
            self._fail(batch, AUTHENTICATION_UNAVAILABLE.error())
        except Exception as fault:
            self._fail(batch, fault)
        else:
            for wanted in batch:
                flight = self._flights.pop(wanted)
                if not flight.done():
                    flight.set_result(answer)

    def _fail(self, batch: Sequence[Wanted], reason: Exception) -> None:
        for wanted in batch:
            flight = self._flights.pop(wanted)
            if not flight.done():
                flight.set_exception(reason)

    async def stop(self) -> None:
        """End the work under way; whoever still waits is refused."""
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
        self._waiting.clear()
        self._fail(list(self._flights), AUTHENTICATION_UNAVAILABLE.error("the platform is stopping"))


def _seen(flight: asyncio.Future[Loaded]) -> None:
    # Without this, asyncio complains about a failure for which nobody waits any more.
    if not flight.cancelled():
        flight.exception()
