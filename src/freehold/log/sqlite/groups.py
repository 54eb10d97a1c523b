# SPDX-License-Identifier: Apache-2.0
"""Committed positions of consumer groups, in a file of their own: commits never wait for the log's writer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import apsw

from freehold.log.sqlite import schema


class Groups:
    """Positions by (group, topic, partition).

    `load` is for the event loop (microseconds); what writes is for one other thread. Each has a connection of
    its own: a shared one would refuse the loop while the other waits for the disk.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / schema.GROUPS_FILE
        self._reading: apsw.Connection | None = None
        self._writing: apsw.Connection | None = None

    def load(self, group: str, topic: str) -> dict[int, int]:
        if self._reading is None:
            self._reading = schema.open_reader(self._path, schema.GROUPS_VERSION)
        if self._reading is None:
            return {}
        sql = "SELECT partition, next FROM positions WHERE grp = ? AND topic = ?"
        return dict(schema.ask(self._reading, sql, (group, topic)))

    def save(self, group: str, topic: str, positions: Mapping[int, int]) -> None:
        with self._open() as connection:
            connection.executemany(
                "INSERT INTO positions VALUES (?,?,?,?) ON CONFLICT DO UPDATE SET next = excluded.next",
                [(group, topic, partition, following) for partition, following in positions.items()],
            )

    def forget(self, topic: str) -> None:
        with self._open() as connection:
            connection.execute("DELETE FROM positions WHERE topic = ?", (topic,))

    def close(self) -> None:
        for connection in (self._reading, self._writing):
            if connection is not None:
                connection.close()
        self._reading = self._writing = None

    def _open(self) -> apsw.Connection:
        if self._writing is None:
            # A consumer may be made before the writer ever ran.
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._writing = schema.open_writer(self._path, schema.GROUPS_SCHEMA, schema.GROUPS_VERSION)
        return self._writing
