# SPDX-License-Identifier: Apache-2.0
"""Wakes consumers that wait for records, without a word from the writer.

`Lookout` asks for the newest `seq` every few milliseconds while somebody waits, backing off to a twentieth
of a second when nothing comes. That costs microseconds, works the same in another process, and a consumer
is woken only when its own topic grew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import apsw
import structlog

from freehold.log.sqlite import schema

_log = structlog.get_logger(__name__)

FASTEST_LOOK = 0.004
SLOWEST_LOOK = 0.05

MOST_BATCHES = 256
"""New batches that are looked at one by one; past it, waking everybody in vain is cheaper than looking."""


class Lookout:
    """Wakes waiting consumers when their topic grew."""

    def __init__(self, connection: Callable[[], apsw.Connection | None]) -> None:
        self._connection = connection
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}
        self._seen = 0
        self._pause = FASTEST_LOOK
        self._timer: asyncio.TimerHandle | None = None

    async def wait(self, topic: str, longest: float, seen: int) -> None:
        """Return when `topic` may have grown past the batch `seen`, or after `longest` seconds.

        `seen` must have been read before the look that found nothing: a batch that came between that look
        and this call may be one that the look-out has already told others about.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._waiting.setdefault(topic, []).append(future)
        if self._timer is None:
            self._seen = seen
            self._timer = loop.call_later(self._pause, self._look)
        else:
            self._seen = min(self._seen, seen)
        timer = loop.call_later(longest, _wake, future)
        try:
            await future
        finally:
            timer.cancel()
            futures = self._waiting.get(topic)
            if futures is not None and future in futures:
                futures.remove(future)
                if not futures:
                    del self._waiting[topic]

    def close(self) -> None:
        """Stop looking; those who wait are woken and find the log closed."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wake(list(self._waiting))

    def _look(self) -> None:
        self._timer = None
        try:
            grown = self._grown()
        except apsw.Error as cause:
            # Their own read meets the same failure, and can say so to somebody.
            _log.warning("the log cannot be looked at", error=repr(cause))
            grown = list(self._waiting)
        self._pause = FASTEST_LOOK if grown else min(self._pause * 1.5, SLOWEST_LOOK)
        self._wake(grown)
        if self._waiting:
            self._timer = asyncio.get_running_loop().call_later(self._pause, self._look)

    def _wake(self, topics: list[str]) -> None:
        for topic in topics:
            for future in self._waiting.pop(topic, ()):
                _wake(future)

    def _grown(self) -> list[str]:
        connection = self._connection()
        if connection is None:
            return []
        newest = schema.ask_one(connection, schema.NEWEST)
        if newest <= self._seen:
            return []
        seen, self._seen = self._seen, newest
        if len(self._waiting) == 1 or newest - seen > MOST_BATCHES:
            return list(self._waiting)
        return [
            topic
            for (topic,) in schema.ask(
                connection,
                "SELECT DISTINCT topic FROM streams WHERE id IN (SELECT stream FROM batches WHERE seq > ?)",
                (seen,),
            )
        ]


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
