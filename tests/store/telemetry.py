# SPDX-License-Identifier: Apache-2.0
"""A store with both sides, opened and opened again; and what the tests ask of one all the time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from freehold.store.interfaces import Batch, DeadLetter, Query, Row, Series, TelemetryReader, TelemetryWriter, Value
from tests.store.engines import Engine

APP = "0b8c1e1e-5c1c-4d43-9d0e-3a8d43a1f6a1"
OTHER = "7e1f0a52-9d1b-4f0a-8c59-0f4d7b3e7c11"

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

T0 = 1_700_000_000 * SECOND // DAY * DAY
"""A day in 2023, from its first second: minutes and hours are aligned to it."""

FOREVER = (0, 1 << 62)


class Telemetry:
    """Opens the engine's store in `place`; ends whatever it opened."""

    def __init__(self, engine: Engine, place: Path) -> None:
        self.engine, self.place = engine, place
        self._writers: list[TelemetryWriter] = []
        self._readers: list[TelemetryReader] = []

    async def open(self) -> TelemetryWriter:
        writer = self.engine.writer(self.place)
        await writer.start()
        self._writers.append(writer)
        return writer

    def reader(self, most: int = 1_000_000) -> TelemetryReader:
        self._readers.append(self.engine.reader(self.place, most))
        return self._readers[-1]

    async def close(self) -> None:
        while self._readers:
            await self._readers.pop().close()
        while self._writers:
            writer = self._writers.pop()
            await writer.drain()
            await writer.stop()


class Both:
    """A store that runs, from its two sides, with the shortest words for what tests do."""

    def __init__(self, telemetry: Telemetry, writer: TelemetryWriter, reader: TelemetryReader) -> None:
        self.telemetry, self.writer, self.reader = telemetry, writer, reader

    async def write(self, *rows: Row, **parts: object) -> None:
        await self.writer.write(Batch(rows=rows, **parts))  # type: ignore[arg-type]

    async def settle(self) -> None:
        await self.telemetry.engine.settle(self.writer)

    def commits(self) -> int:
        return self.telemetry.engine.commits(self.writer)

    async def query(self, start: int = 0, end: int = 1 << 62, **rest: object) -> list[Series]:
        return await self.reader.query(Query(APP, start, end, **rest))  # type: ignore[arg-type]

    async def points(self, **rest: object) -> list[tuple[int, Value]]:
        """Of the only series that the query finds; [] when it finds none."""
        found = await self.query(**rest)  # type: ignore[arg-type]
        assert len(found) <= 1
        return [pair for series in found for pair in zip(series.times, series.values, strict=True)]


def row(
    time: int,
    fields: Mapping[str, Value],
    *,
    device: str = "pi1",
    measurement: str = "state",
    seq: int | None = None,
    application: str = APP,
) -> Row:
    return Row(application, device, measurement, time, time % 1_000_003 if seq is None else seq, fields)


def letter(number: int, *, application: str = APP, detail: str = "") -> DeadLetter:
    return DeadLetter(
        application, f"event-{number:06}", T0 + number, "pi1", "state", f"reason {number}", detail, b"\x93\x01", 3
    )


def as_dict(found: Sequence[Series]) -> dict[tuple[str, str, str], list[tuple[int, Value]]]:
    return {
        (series.device, series.measurement, series.field): list(zip(series.times, series.values, strict=True))
        for series in found
    }


def typed(values: Sequence[object]) -> list[tuple[type, object]]:
    """Values with their types: to Python 1, 1.0 and True are equal."""
    return [(type(value), value) for value in values]
