# SPDX-License-Identifier: Apache-2.0
"""The telemetry store's contract: idempotent batched writes of rows, and the query that charts need.

What every engine promises, and `tests/store/contract.py` checks:

* `write` is one transaction: rows, device states, dead letters and the log positions become visible and
  durable together or not at all. Writing the same batch again changes nothing.
* A row is known by (application, device, measurement, time, seq): writing one again replaces its fields.
* Int after float and float after int both store (contract myt.md 2.3, case 18); no value of one type keeps
  values of another type out.
* A query never blocks a write and sees only whole batches.
* Aggregates say the same before and after the engine rolled raw values up, and before and after retention
  took the raw values (then for whole minutes).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import msgspec

Value = float | int | bool | str
"""What a field may hold. Integers are signed 64 bit; larger ones become floats. NaN and infinities are not values.

`freehold.store.rows` makes rows that keep to this; an engine given others stores what it can of them and
never lets one row keep another from being stored.
"""

Aggregate = Literal["mean", "min", "max", "sum", "count", "last"]
"""`mean`, `min`, `max` and `sum` are of numbers only; `count` and `last` of values of every type.

A bucket without such values, or whose sum no double can hold, has no point. `sum` and `mean` are floats.
"""


class Row(msgspec.Struct, frozen=True):
    """What one event (or one part of a split event) measured.

    `application` is the application's uid. `time` is microseconds since 1970 UTC. `seq` (63 bits, not
    negative) tells rows of one device and time apart and comes from the event's id, so a repeat has the
    same. A struct and not a dataclass because one is made for every event: it costs a fifth.
    """

    application: str
    device: str
    measurement: str
    time: int
    seq: int
    fields: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class DeviceState:
    """What is known of a device from its events. `connected` is None for protocols without connections.

    Written, an older `last_event` than the stored one changes nothing, and None keeps what is stored.
    """

    application: str
    device: str
    last_event: int
    last_channel: str
    connected: bool | None = None


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that a processor (or the store) could not take, with the reason a person can act on."""

    application: str
    event_id: str
    time: int
    device: str
    channel: str
    reason: str
    detail: str
    """Traceback or value; at most 8 KiB."""
    event: bytes
    """The event as the log keeps it (`freehold.events.models.encode`), so that it can be retried."""
    processor_version: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """What one `write` makes durable. `positions` maps (topic, partition) to the next offset to read."""

    rows: Sequence[Row] = ()
    states: Sequence[DeviceState] = ()
    dead_letters: Sequence[DeadLetter] = ()
    positions: Mapping[tuple[str, int], int] = field(default_factory=dict)
    resolved: Sequence[tuple[str, str]] = ()
    """(application, event id) of dead letters that were retried with success and leave the list."""


@dataclass(frozen=True, slots=True)
class Query:
    """Points of an application in [`start`, `end`) (microseconds), oldest first.

    Without `every` raw values; with it (microseconds) one point a bucket, buckets aligned to the epoch.
    Empty `devices`, `measurements` or `fields` mean all of them. `limit` counts points of one series: when
    there are more, the newest are answered.
    """

    application: str
    start: int
    end: int
    devices: Sequence[str] = ()
    measurements: Sequence[str] = ()
    fields: Sequence[str] = ()
    every: int | None = None
    aggregate: Aggregate = "mean"
    limit: int = 100_000


@dataclass(frozen=True, slots=True)
class Series:
    """Points of one device, measurement and field. `times[i]` belongs to `values[i]`; a bucket's time is its start.

    Two rows of one time are two points, in the order of their `seq`.
    """

    device: str
    measurement: str
    field: str
    times: Sequence[int]
    values: Sequence[Value]


SeriesKey = tuple[str, str, str]
"""device, measurement, field"""


@dataclass(frozen=True, slots=True)
class SeriesInfo:
    """A series that exists, with its newest value."""

    device: str
    measurement: str
    field: str
    last_time: int
    last_value: Value


@dataclass(frozen=True, slots=True)
class StoreStats:
    """Of one application. `points` are raw values: one field at one time."""

    points: int
    bytes: int
    """The application's share of the store, estimated by its points."""
    dead_letters: int
    oldest: int | None
    """Time of the oldest raw value, microseconds; None without one."""


class TelemetryWriter(Protocol):
    """The side of the pipeline; exactly one process holds it."""

    @property
    def name(self) -> str: ...
    async def start(self) -> None: ...
    async def drain(self) -> None: ...
    async def stop(self) -> None: ...
    def health(self) -> str | None: ...

    async def write(self, batch: Batch) -> None:
        """Durable on return. Batches given at the same time share one transaction.

        Waits while more wait already than the engine takes. Rows older than what `retain` has deleted are
        left out. Raises `store.unavailable`, with nothing of the batch stored; it may be given again.
        """
        ...

    async def positions(self, topic: str) -> dict[int, int]:
        """Partition → next offset to read, as the last durable batch left it; {} for a topic never seen.

        Raises `store.unavailable`.
        """
        ...

    async def applications(self) -> list[str]:
        """Every application (uid) of which the store holds anything."""
        ...

    async def retain(self, *, age_us: int, rollup_age_us: int, dead_letters: int) -> int:
        """Delete what is past its age, in steps that let writes through; returns the number of points that went.

        `age_us` is for raw values (whole hours), `rollup_age_us` for the averages that outlive them,
        `dead_letters` how many each application keeps. Raises `store.unavailable`.
        """
        ...

    async def purge(self, application: str) -> None:
        """Remove everything of an application, positions included (its uid is the topic's name).

        In steps that let writes of others through; one that a crash interrupts goes on at the next start.
        Stop what writes for the application first. Raises `store.unavailable`.
        """
        ...


class TelemetryReader(Protocol):
    """The side of API and console; any number of processes.

    Answers are empty while nothing was ever written. All raise `store.unavailable`.
    """

    async def query(self, query: Query) -> list[Series]:
        """Series with points, by device, measurement and field.

        Raises `telemetry.query.invalid` when the answer would be larger or take longer than the engine's
        bounds allow.
        """
        ...

    async def newer(self, application: str, after: Mapping[SeriesKey, int], *, limit: int) -> list[Series]:
        """Of each series the raw values with a time past the one given, the newest `limit` of them.

        What a live view asks again and again: it must cost next to nothing while nothing came.
        """
        ...

    async def series(self, application: str, *, devices: Sequence[str] = ()) -> list[SeriesInfo]:
        """All series of the application (or of these devices), by device, measurement and field."""
        ...

    async def states(self, application: str) -> list[DeviceState]: ...
    async def dead_letters(self, application: str, *, limit: int, before: int | None = None) -> list[DeadLetter]:
        """Newest first; `before` (time) pages on."""
        ...

    async def dead_letter(self, application: str, event_id: str) -> DeadLetter | None: ...
    async def stats(self, application: str) -> StoreStats: ...
    async def close(self) -> None: ...
