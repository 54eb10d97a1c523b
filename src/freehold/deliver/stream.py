# SPDX-License-Identifier: Apache-2.0
"""An HTTP response that never ends by itself: one viewer's events as Server-Sent Events.

The viewer's place is taken and given back inside the response, so that a client that leaves at any moment,
before the first byte included, gives it back. What can be refused is refused before the stream begins.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from freehold.core.errors import FreeholdError
from freehold.deliver import sse
from freehold.deliver.models import Selection, Update
from freehold.deliver.service import LiveEvents
from freehold.identity.problems import problem_response

RETRY_MS = 2000
CHECK_SECONDS = 15.0
"""How soon somebody who was signed out, or whose application is gone, sees no more."""

StillAllowed = Callable[[], Awaitable[object]]
"""Raises `FreeholdError` once the viewer may not watch any longer."""


class EventStream(Response):
    """Events of `topic` as they come, after `backfill` older ones or those since `last_event_id`."""

    def __init__(
        self,
        live: LiveEvents,
        topic: str,
        selection: Selection,
        *,
        backfill: int,
        last_event_id: str,
        still_allowed: StillAllowed,
    ) -> None:
        super().__init__()
        self._live, self._topic, self._selection = live, topic, selection
        self._backfill, self._last_event_id = backfill, last_event_id
        self._still_allowed = still_allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with self._live.watch(
                self._topic,
                self._selection,
                backfill=self._backfill,
                last_event_id=self._last_event_id,
            ) as updates:
                past = await anext(updates)
                response = StreamingResponse(
                    self._frames(past, updates), media_type=sse.MEDIA_TYPE, headers=sse.HEADERS
                )
                await response(scope, receive, send)
        except FreeholdError as refused:
            await problem_response(refused)(scope, receive, send)

    async def _frames(self, past: Update, updates: AsyncIterator[Update]) -> AsyncIterator[bytes]:
        yield sse.hello(RETRY_MS)
        if past.missed or past.items:
            yield sse.update(past)
        yield sse.live()
        clock = asyncio.get_running_loop().time
        checked = clock()
        async for update in updates:
            if clock() - checked >= CHECK_SECONDS:
                try:
                    await self._still_allowed()
                except FreeholdError:
                    return  # the client connects again and is told then
                checked = clock()
            yield sse.update(update)
