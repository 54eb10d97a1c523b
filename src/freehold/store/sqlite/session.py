# SPDX-License-Identifier: Apache-2.0
"""What the writer does inside a transaction to make batches durable: the hot path of the store.

Rows are grouped by source before they go in, so that a page is touched once a batch, and all of one width
go through one prepared statement. Rollups cost a row nothing but the question whether its minute is known
to be out of date already.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import apsw

from freehold.core.clock import now_us
from freehold.store.fields import clean
from freehold.store.interfaces import Batch, DeadLetter, Row
from freehold.store.sqlite import schema
from freehold.store.sqlite.counters import Counters
from freehold.store.sqlite.schema import MINUTE, SLOTS
from freehold.store.sqlite.sources import Sources
from freehold.store.sqlite.values import Stored, to_stored

LONGEST_DETAIL = 8192

ROLL_AFTER = 5_000_000
"""Microseconds after its end, or after its latest write, at which a minute or hour is rolled up."""

ROLL_LATEST = 120_000_000
"""The same for a bucket that lies in the future, because its device's clock is wrong."""

_INSERT = [
    f"INSERT OR REPLACE INTO points (source, time, seq{''.join(f', v{slot}' for slot in range(columns))})"
    f" VALUES (?, ?, ?{', ?' * columns})"
    for columns in range(SLOTS + 1)
]
_DELETE = "DELETE FROM points WHERE source = ? AND time = ? AND seq = ?"

MARK = (
    "INSERT INTO {table} VALUES (?, ?, ?, 1)"
    " ON CONFLICT DO UPDATE SET writes = writes + 1, due = min(due, excluded.due)"
)
_MARK_MINUTE = MARK.format(table="stale_minutes")

_STATE = (
    "INSERT INTO device_states VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET last_event = excluded.last_event,"
    " last_channel = excluded.last_channel, connected = coalesce(excluded.connected, connected)"
    " WHERE excluded.last_event >= last_event"
)
_LETTER = "INSERT OR REPLACE INTO dead_letters VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_OLD_LETTERS = (
    "DELETE FROM dead_letters WHERE application = ? AND rowid IN"
    " (SELECT rowid FROM dead_letters WHERE application = ? ORDER BY time DESC, rowid DESC LIMIT -1 OFFSET ?)"
)
_POSITION = "INSERT OR REPLACE INTO positions VALUES (?, ?, ?)"

Stripes = list[dict[int, list[tuple[Stored, ...]]]]
"""By number of columns: source → its rows."""


def due(bucket: int, width: int) -> int:
    """When a bucket written to just now should be rolled up, microseconds of the wall clock."""
    now = now_us()
    return min(max(bucket + width, now) + ROLL_AFTER, now + ROLL_LATEST)


class Session:
    """The writer's view of the file. After a transaction that failed it is wrong: make a new one."""

    def __init__(self, connection: apsw.Connection, dead_letters: int, counters: Counters) -> None:
        self.connection = connection
        self.counters = counters
        self.sources = Sources(connection, counters)
        self.stale: dict[int, int] = {}
        """Source → a minute that the file says is out of date; spares the hot path to say it again."""
        self.dead_letters = dead_letters
        self.floor = self._read_floor()
        """Raw values before this time are gone, so none may come."""

    def apply(self, batches: Sequence[Batch], careful: bool = False) -> None:
        """Everything of `batches`, in their order, within the open transaction.

        `careful` looks at each value. Without it, values that are none of the contract's raise `OverflowError`,
        `UnicodeEncodeError` or `TypeError`; with it they are left out.
        """
        self._points(chain.from_iterable(batch.rows for batch in batches), careful)
        for batch in batches:
            if batch.states:
                self._states(batch)
            if batch.dead_letters:
                self._letters(batch.dead_letters)
            if batch.resolved:
                sql = "DELETE FROM dead_letters WHERE application = ? AND event_id = ?"
                self.connection.executemany(sql, batch.resolved)
        positions = {place: following for batch in batches for place, following in batch.positions.items()}
        self.connection.executemany(_POSITION, ((*place, following) for place, following in positions.items()))

    def forget_sources(self) -> None:
        """After sources were deleted: their numbers may be given to others."""
        self.sources.forget()
        self.stale.clear()

    def _read_floor(self) -> int:
        found = schema.row(self.connection, "SELECT time FROM floors WHERE name = 'raw'")
        return found[0] if found else 0

    def _points(self, rows: Iterable[Row], careful: bool) -> None:
        stripes: Stripes = [{} for _ in range(SLOTS + 1)]
        marks: set[tuple[int, int]] = set()
        layout, stale, floor = self.sources.layout, self.stale, self.floor
        for row in rows:
            time = row.time
            if time < floor:
                self.counters.late_rows += 1
                continue
            fields = row.fields
            values = _values(fields.values(), careful)
            for part in layout(row.application, row.device, row.measurement, tuple(fields)):
                source, order = part.source, part.order
                if order is None:
                    stored = (source, time, row.seq, *values)
                else:
                    stored = (source, time, row.seq, *[values[at] if at >= 0 else None for at in order])
                stripe = stripes[part.columns]
                if source in stripe:
                    stripe[source].append(stored)
                else:
                    stripe[source] = [stored]
                minute = time - time % MINUTE
                if stale.get(source) != minute:
                    stale[source] = minute
                    marks.add((source, minute))
        self._insert(stripes)
        self._mark(marks)

    def _insert(self, stripes: Stripes) -> None:
        for columns, stripe in enumerate(stripes):
            if stripe:
                sql = _INSERT[columns] if columns else _DELETE
                self.connection.executemany(sql, chain.from_iterable(stripe[source] for source in sorted(stripe)))

    def _mark(self, marks: set[tuple[int, int]]) -> None:
        if marks:
            rows = ((source, minute, due(minute, MINUTE)) for source, minute in sorted(marks))
            self.connection.executemany(_MARK_MINUTE, rows)
        if len(self.stale) > 100_000:
            self.stale.clear()

    def _states(self, batch: Batch) -> None:
        rows = ((s.application, s.device, s.last_event, s.last_channel, s.connected) for s in batch.states)
        self.connection.executemany(_STATE, rows)

    def _letters(self, letters: Sequence[DeadLetter]) -> None:
        rows = (
            (
                letter.application,
                letter.event_id,
                letter.time,
                letter.device,
                letter.channel,
                clean(letter.reason),
                clean(letter.detail[:LONGEST_DETAIL]),
                letter.event,
                letter.processor_version,
            )
            for letter in letters
        )
        self.connection.executemany(_LETTER, rows)
        for application in {letter.application for letter in letters}:
            self.bound_letters(application, self.dead_letters)

    def bound_letters(self, application: str, most: int) -> None:
        schema.run(self.connection, _OLD_LETTERS, (application, application, most))


_NUMBERS = frozenset((float, int))


def _values(values: Iterable[Any], careful: bool) -> Sequence[Stored]:
    """A row's values as they lie in the file. Numbers, which most are, go as they come: one check for all."""
    if not careful:
        values = tuple(values)
        if _NUMBERS.issuperset(map(type, values)):
            total = sum(values)
            if total - total == 0:  # none is infinite; SQLite itself takes NaN for NULL
                return values
    return [to_stored(value) for value in values]
