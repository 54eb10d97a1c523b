# SPDX-License-Identifier: Apache-2.0
"""Where series lie: the readers' side of `sources`. Nothing is cached, another process may add any time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import apsw
import msgspec

from freehold.store.interfaces import SeriesKey
from freehold.store.sqlite import schema
from freehold.store.sqlite.schema import SLOTS


@dataclass(frozen=True, slots=True)
class Place:
    """Where a series lies."""

    device: str
    measurement: str
    field: str
    source: int
    slot: int

    @property
    def key(self) -> SeriesKey:
        return self.device, self.measurement, self.field

    @property
    def rollup(self) -> int:
        return self.source * SLOTS + self.slot


def places(
    connection: apsw.Connection,
    application: str,
    devices: Sequence[str] = (),
    measurements: Sequence[str] = (),
    fields: Sequence[str] = (),
) -> list[Place]:
    """The series that exist, by device, measurement and field."""
    sql = "SELECT id, device, measurement, fields FROM sources WHERE application = ?"
    values: list[str] = [application]
    for column, names in (("device", devices), ("measurement", measurements)):
        if names:
            sql += f" AND {column} IN (SELECT value FROM json_each(?))"
            values.append(msgspec.json.encode(list(names)).decode())
    wanted = frozenset(fields)
    found = [
        Place(device, measurement, name, source, slot)
        for source, device, measurement, listed in schema.rows(connection, sql, values)
        for slot, name in enumerate(msgspec.json.decode(listed))
        if not wanted or name in wanted
    ]
    return sorted(found, key=lambda place: place.key)
