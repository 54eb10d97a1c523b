# SPDX-License-Identifier: Apache-2.0
"""The end of one application's log, read once and handed to all of its viewers.

Reading happens in gulps with a pause between them: at full load a wake-up for each group commit would cost
the API's process more than the events themselves. A tail that falls far behind jumps to the end and tells
everybody how many it left out, so that neither the log nor the memory pays for live viewing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec
import structlog

from freehold.deliver.models import Item
from freehold.deliver.viewer import Viewer
from freehold.events.models import decode
from freehold.log.interfaces import Chunk, Consumer, LogReader, RecordDamaged

GROUP = "deliver.live"
"""Never commits, so nothing is kept for it."""

_GULP_RECORDS = 4000
_GULP_BYTES = 4 * 1024 * 1024
_PAUSE_S = 0.05
_WAIT_S = 1.0
_RETRY_S = 1.0
_FARTHEST_BEHIND = 40_000

_log = structlog.get_logger(__name__)


class Tail:
    """Follows `topic` from the moment of `start`. `positions` is exactly what the viewers were given."""

    def __init__(self, log: LogReader, topic: str) -> None:
        self._log, self._topic = log, topic
        self._consumer: Consumer | None = None
        self._task: asyncio.Task[None] | None = None
        self.positions: dict[int, int] = {}
        self.viewers: set[Viewer] = set()
        self.problem: str | None = None

    async def start(self) -> None:
        """Raises what the log raises when it cannot be read at all."""
        self._consumer = self._log.consumer(GROUP, self._topic, start="latest")
        self.positions = self._consumer.positions()
        self._task = asyncio.create_task(self._run(self._consumer), name=f"live {self._topic}")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
        if self._consumer is not None:
            await self._consumer.close()
            self._consumer = None
        for viewer in self.viewers:
            viewer.wake()

    async def _run(self, consumer: Consumer) -> None:
        while True:
            try:
                chunks = await consumer.read(max_records=_GULP_RECORDS, max_bytes=_GULP_BYTES, wait=_WAIT_S)
                for chunk in chunks:
                    self._hand_out(chunk)
                if sum(len(chunk.values) for chunk in chunks) >= _GULP_RECORDS:
                    await self._keep_up(consumer)
                self.problem = None
                if chunks:
                    await asyncio.sleep(_PAUSE_S)
            except RecordDamaged as damage:
                await self._step_over(consumer, damage)
            except Exception as cause:
                # The log's own health names the cause for the owner; viewers go on when it is well again.
                self.problem = f"the log cannot be read: {cause}"
                _log.warning("live events wait for the log", topic=self._topic, error=repr(cause))
                await asyncio.sleep(_RETRY_S)

    def _hand_out(self, chunk: Chunk) -> None:
        for index, value in enumerate(chunk.values):
            self.positions[chunk.partition] = chunk.offset + index + 1
            if not self.viewers:
                continue
            try:
                event = decode(value)
            except msgspec.DecodeError:
                self._skip(1)
                continue
            item: Item | None = None
            for viewer in self.viewers:
                if viewer.selection.takes(event):
                    item = item or Item(event, dict(self.positions))
                    viewer.offer(item)

    async def _keep_up(self, consumer: Consumer) -> None:
        ahead = await ends(self._log, self._topic)
        behind = distance(self.positions, ahead)
        if behind > _FARTHEST_BEHIND:
            await consumer.seek(ahead)
            self.positions.update(ahead)
            self._skip(behind)

    async def _step_over(self, consumer: Consumer, damage: RecordDamaged) -> None:
        self.positions[damage.partition] = damage.offset + 1
        await consumer.seek({damage.partition: damage.offset + 1})
        self._skip(1)
        _log.error("live events skip a damaged record", topic=damage.topic, offset=damage.offset)

    def _skip(self, count: int) -> None:
        for viewer in self.viewers:
            viewer.skip(count)


async def ends(log: LogReader, topic: str) -> dict[int, int]:
    """Partition → offset of the record that comes next. Cheaper than `stats`, which looks at the whole topic."""
    consumer = log.consumer(GROUP, topic, start="latest")
    try:
        return consumer.positions()
    finally:
        await consumer.close()


def distance(behind: Mapping[int, int], ahead: Mapping[int, int]) -> int:
    """How many records lie between two sets of positions; a partition missing in `behind` starts at 0."""
    return sum(max(0, offset - behind.get(partition, 0)) for partition, offset in ahead.items())
