# SPDX-License-Identifier: Apache-2.0
"""Where a row's fields lie in `points`: which sources, in which slots. The writer's side, with a bounded cache.

A field gets the next free slot of its device and measurement when it is first seen and keeps it for good.
Names are values in `sources`, never identifiers of SQL.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import apsw
import msgspec
import structlog

from freehold.store.fields import clean
from freehold.store.sqlite import schema
from freehold.store.sqlite.counters import Counters
from freehold.store.sqlite.schema import SLOTS

_log = structlog.get_logger(__name__)

MOST_NAMES = 1024
"""Fields of one device and measurement. A device that invents names for ever stops here; a row has 256."""

CACHED = 20_000
"""Layouts, and fields, in the cache; when one is full the cache starts anew (5 µs a layout from the file)."""

Key = tuple[str, str, str]
"""application, device, measurement"""


@dataclass(frozen=True, slots=True)
class Part:
    """The values of a row that go to one source. `columns` is how many slots to write, from the first.

    `order[i]` is the index among the row's values of what belongs in slot i, -1 for none; None means that
    the row's values are the slots' values as they come. No columns: the row has nothing for this source, and
    what an earlier version of the row put there must go.
    """

    source: int
    columns: int
    order: tuple[int, ...] | None


Layout = tuple[Part, ...]
"""One part for every source of the key."""


@dataclass(slots=True)
class _Known:
    """What `sources` holds of one key: its sources, and at which of them and in which slot each field is."""

    ids: list[int] = field(default_factory=list)
    parts: list[int] = field(default_factory=list)
    """Number of each in `sources.part`: ascending, with gaps where a source was deleted."""
    slots: dict[str, tuple[int, int]] = field(default_factory=dict)
    free: int = 0
    """Slots not taken in the last one."""


class Sources:
    """Layouts by key and field names. Belongs to one connection; after a rollback make a new one."""

    def __init__(self, connection: apsw.Connection, counters: Counters) -> None:
        self._connection = connection
        self._counters = counters
        self._layouts: dict[tuple[str, str, str, tuple[str, ...]], Layout] = {}
        self._known: dict[Key, _Known] = {}
        self._names = 0

    def layout(self, application: str, device: str, measurement: str, names: tuple[str, ...]) -> Layout:
        """Where values named `names`, in that order, go. New fields are added within the open transaction."""
        key = (application, device, measurement, names)
        found = self._layouts.get(key)
        if found is None:
            if len(self._layouts) >= CACHED:
                self._layouts.clear()
            cleaned = tuple(map(clean, names))  # here and not for every row: a name is looked at once
            found = self._arrange((application, clean(device), clean(measurement)), cleaned)
            self._layouts[key] = found  # only now: arranging may have emptied the cache
        return found

    def forget(self) -> None:
        """After sources were deleted."""
        self._layouts.clear()
        self._known.clear()
        self._names = 0

    def _arrange(self, key: Key, names: tuple[str, ...]) -> Layout:
        known = self._load(key)
        new = [name for name in names if name not in known.slots]
        if new:
            self._add(key, known, new)
        used: list[dict[int, int]] = [{} for _ in known.ids]
        for index, name in enumerate(names):
            if name in known.slots:
                at, slot = known.slots[name]
                used[at][slot] = index
            else:
                self._counters.refused_fields += 1
        return tuple(_part(source, slots, len(names)) for source, slots in zip(known.ids, used, strict=True))

    def _load(self, key: Key) -> _Known:
        known = self._known.get(key)
        if known is not None:
            return known
        if self._names >= CACHED:
            self._known.clear()
            self._names = 0
        known = self._known[key] = _Known()
        sql = (
            "SELECT id, part, fields FROM sources WHERE application = ? AND device = ? AND measurement = ?"
            " ORDER BY part"
        )
        for at, (source, part, fields) in enumerate(schema.rows(self._connection, sql, key)):
            names = msgspec.json.decode(fields, type=list[str])
            known.ids.append(source)
            known.parts.append(part)
            known.slots.update((name, (at, slot)) for slot, name in enumerate(names))
            known.free = SLOTS - len(names)
        self._names += 1 + len(known.slots)
        return known

    def _add(self, key: Key, known: _Known, new: Sequence[str]) -> None:
        room = MOST_NAMES - len(known.slots)
        if len(new) > room:
            if room > 0:  # once, when the last slot goes
                _log.warning("a device has more fields than are stored", device=key[1], most=MOST_NAMES)
            new = new[:room]
        for name in new:
            if not known.free:
                known.ids.append(0)  # until it is saved
                known.parts.append(known.parts[-1] + 1 if known.parts else 0)
                known.free = SLOTS
                self._layouts.clear()  # those of this key lack the new part
            known.slots[name] = (len(known.ids) - 1, SLOTS - known.free)
            known.free -= 1
        self._names += len(new)
        for at in sorted({known.slots[name][0] for name in new}):
            self._save(key, known, at)

    def _save(self, key: Key, known: _Known, at: int) -> None:
        names = msgspec.json.encode([name for name, place in known.slots.items() if place[0] == at]).decode()
        sql = (
            "INSERT INTO sources (application, device, measurement, part, fields) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET fields = excluded.fields RETURNING id"
        )
        known.ids[at] = schema.row(self._connection, sql, (*key, known.parts[at], names))[0]


def _part(source: int, slots: dict[int, int], width: int) -> Part:
    columns = max(slots, default=-1) + 1
    order = tuple(slots.get(slot, -1) for slot in range(columns))
    return Part(source, columns, None if order == tuple(range(width)) else order)
