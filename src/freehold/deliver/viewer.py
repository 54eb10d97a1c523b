# SPDX-License-Identifier: Apache-2.0
"""One client's buffer between the shared tail and its connection: bounded, the oldest leave first.

The tail never waits for a viewer. What a slow browser cannot take in time is dropped here and counted, so
that it sees the newest events and learns how many it missed.
"""

from __future__ import annotations

import asyncio
from collections import deque

from freehold.deliver.models import Item, Selection, Update


class Viewer:
    """Holds at most `items` events and `size` bytes. Used in one event loop; `take` by one task only."""

    def __init__(self, selection: Selection, *, items: int, size: int) -> None:
        self.selection = selection
        self._most_items, self._most_bytes = items, size
        self._items: deque[Item] = deque()
        self._bytes = 0
        self._missed = 0
        self._ready = asyncio.Event()

    def offer(self, item: Item) -> None:
        """Keep `item`, at the cost of the oldest when there is no room."""
        self._items.append(item)
        self._bytes += item.size
        while len(self._items) > self._most_items or self._bytes > self._most_bytes:
            if len(self._items) == 1:
                break  # a single event larger than the bound still reaches its reader
            self._bytes -= self._items.popleft().size
            self._missed += 1
        self._ready.set()

    def skip(self, count: int) -> None:
        """Count `count` events that the tail itself skipped."""
        self._missed += count
        self._ready.set()

    def wake(self) -> None:
        """Let `take` return at once, for the end of the tail."""
        self._ready.set()

    async def take(self, most: int, wait: float) -> Update:
        """What is there, at most `most` events; an empty update when nothing came within `wait` seconds."""
        try:
            async with asyncio.timeout(wait):
                await self._ready.wait()
        except TimeoutError:
            return Update()
        items = [self._items.popleft() for _ in range(min(most, len(self._items)))]
        self._bytes -= sum(item.size for item in items)
        missed, self._missed = self._missed, 0
        if not self._items:
            self._ready.clear()
        return Update(missed, tuple(items))
