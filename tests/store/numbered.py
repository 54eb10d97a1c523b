# SPDX-License-Identifier: Apache-2.0
"""Batches that say who they are: the rows of event n can be told from those of any other, torn or doubled.

Event n of a topic has the position n + 1 behind it. A batch holds neighbouring events and the position
behind its last one. So whatever was stored, rows and position must say the same.
"""

from __future__ import annotations

import random
from pathlib import Path

from freehold.core.errors import STORE_UNAVAILABLE, FreeholdError
from freehold.store.interfaces import Batch, DeviceState, Query, Row
from freehold.store.sqlite.engine import SqliteTelemetry
from freehold.store.sqlite.reader import SqliteTelemetryReader
from tests.store.telemetry import APP, MINUTE, SECOND, T0

DEVICES = 7


def batch(first: int, count: int, topic: str = APP) -> Batch:
    """Events `first` to `first + count - 1`."""
    rows = [
        Row(topic, f"d{n % DEVICES}", "m", T0 + n * SECOND, n, {"n": n, "half": n / 2, "odd": n % 2 == 1, "t": str(n)})
        for n in range(first, first + count)
    ]
    states = [DeviceState(topic, f"d{n % DEVICES}", T0 + n, "m") for n in range(first, first + count)]
    return Batch(rows=rows, states=states[-DEVICES:], positions={(topic, 0): first + count})


async def check(path: Path, acknowledged: int, topic: str = APP) -> int:
    """Open what is at `path`; rows and position must agree and hold at least `acknowledged` events.

    Returns the position. Leaves the store rolled up, and checks what that says, too.
    """
    store = SqliteTelemetry(path)
    await store.start()
    reader = SqliteTelemetryReader(path)
    try:
        position = (await store.positions(topic)).get(0, 0)
        assert position >= acknowledged
        for rolled in (False, True):
            if rolled:
                await store.roll_up(before=1 << 62)
            await _check_rows(reader, topic, position)
        assert await store.positions(topic) == ({0: position} if position else {})
    finally:
        await reader.close()
        await store.stop()
    return position


async def _check_rows(reader: SqliteTelemetryReader, topic: str, position: int) -> None:
    found: dict[str, dict[int, object]] = {"n": {}, "half": {}, "odd": {}, "t": {}}
    for series in await reader.query(Query(topic, 0, 1 << 62)):
        for time, value in zip(series.times, series.values, strict=True):
            number = (time - T0) // SECOND
            assert series.device == f"d{number % DEVICES}"
            assert number not in found[series.field]
            found[series.field][number] = value
    assert found["n"] == {n: n for n in range(position)}
    assert found["half"] == {n: n / 2 for n in range(position)}
    assert found["odd"] == {n: n % 2 == 1 for n in range(position)}
    assert found["t"] == {n: str(n) for n in range(position)}
    counts = await reader.query(Query(topic, 0, 1 << 62, fields=["n"], every=MINUTE, aggregate="count"))
    assert sum(sum(int(value) for value in series.values) for series in counts) == position
    assert (await reader.stats(topic)).points == 4 * position


class Sender:
    """Gives batch after batch, as the pipeline does: one that is refused is given again."""

    def __init__(self, store: SqliteTelemetry, chance: random.Random) -> None:
        self._store, self._chance = store, chance
        self.acknowledged = 0
        self.refused = 0

    async def run(self, batches: int) -> None:
        """Gives up on the rest when one is refused too often, so that a broken disk ends it."""
        for _ in range(batches):
            made = batch(self.acknowledged, self._chance.choice((1, 2, 10, 50)))
            if not await self._send(made):
                return

    async def _send(self, made: Batch) -> bool:
        for _ in range(5):
            try:
                await self._store.write(made)
            except FreeholdError as refusal:
                if refusal.refusal is not STORE_UNAVAILABLE:
                    raise
                self.refused += 1
            else:
                self.acknowledged = made.positions[APP, 0]
                return True
        return False
