# SPDX-License-Identifier: Apache-2.0
"""Reading and writing the table of commands. Blocking; the service runs it in threads.

A state only ever moves forward (accepted, expired, sent, acknowledged), whatever order reports come in: one
that was sent at the last moment is known as sent, also when it had been written off before.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, func, insert, select, update
from sqlalchemy.engine import Row

from freehold.commands.interfaces import Outcome, State
from freehold.commands.models import Record
from freehold.commands.tables import commands
from freehold.core.database import Database

KEPT = 10_000
"""Commands whose life is kept for one application; the oldest leave first."""

_BEFORE_SENT = (State.ACCEPTED.value, State.EXPIRED.value)


class History:
    """The commands of all applications."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, record: Record) -> None:
        values = {column.name: getattr(record, column.name) for column in commands.columns}
        values["state"] = record.state.value
        with self._database.write() as connection:
            connection.execute(insert(commands).values(values))

    def get(self, application_uid: str, command_id: str) -> Record | None:
        """The command, if it is one of this application."""
        wanted = select(commands).where(commands.c.id == command_id, commands.c.application_uid == application_uid)
        with self._database.read() as connection:
            row = connection.execute(wanted).one_or_none()
        return None if row is None else _record(row)

    def list(self, application_uid: str, *, device: str | None, before: str | None, limit: int) -> Sequence[Record]:
        """The newest first; `before` is the id of the last one of the page before."""
        wanted = select(commands).where(commands.c.application_uid == application_uid)
        if device is not None:
            wanted = wanted.where(commands.c.device == device)
        if before is not None:
            wanted = wanted.where(commands.c.id < before)
        with self._database.read() as connection:
            return [_record(row) for row in connection.execute(wanted.order_by(commands.c.id.desc()).limit(limit))]

    def apply(self, outcomes: Sequence[Outcome]) -> None:
        """What endpoints reported, in one transaction."""
        with self._database.write() as connection:
            for outcome in outcomes:
                _apply(connection, outcome)

    def expire(self, now: int) -> int:
        """Write off what nobody took in time; returns how many."""
        overdue = (
            update(commands)
            .where(commands.c.state == State.ACCEPTED.value, commands.c.expires < now)
            .values(state=State.EXPIRED.value)
        )
        # Looked up first without the write lock: this runs every second, mostly for nothing.
        pending = select(func.count()).where(commands.c.state == State.ACCEPTED.value, commands.c.expires < now)
        with self._database.read() as connection:
            if not connection.execute(pending).scalar_one():
                return 0
        with self._database.write() as connection:
            return connection.execute(overdue).rowcount

    def retain(self, before: int) -> int:
        """Remove commands created before `before`, and of each application those past `KEPT`."""
        counts = select(commands.c.application_uid).group_by(commands.c.application_uid).having(func.count() > KEPT)
        with self._database.write() as connection:
            removed = connection.execute(delete(commands).where(commands.c.created < before)).rowcount
            for (application_uid,) in connection.execute(counts).all():
                mine = commands.c.application_uid == application_uid
                newest = select(commands.c.id).where(mine).order_by(commands.c.id.desc())
                last_kept = connection.execute(newest.limit(1).offset(KEPT - 1)).scalar_one()
                removed += connection.execute(delete(commands).where(mine, commands.c.id < last_kept)).rowcount
        return removed

    def forget(self, application_uid: str) -> int:
        """Remove all commands of a deleted application."""
        with self._database.write() as connection:
            return connection.execute(delete(commands).where(commands.c.application_uid == application_uid)).rowcount


def _apply(connection: Connection, outcome: Outcome) -> None:
    this = update(commands).where(commands.c.id == outcome.id)
    how = {"sender": outcome.sender, "protocol": outcome.protocol}
    # Whoever took it first is named: a command may reach a device and its gateways.
    sent = this.where(commands.c.sent.is_(None), commands.c.state.in_(_BEFORE_SENT))
    connection.execute(sent.values(state=State.SENT.value, sent=outcome.time, **how))
    if outcome.state is State.ACKNOWLEDGED:
        acknowledged = this.where(commands.c.acknowledged.is_(None))
        connection.execute(acknowledged.values(state=State.ACKNOWLEDGED.value, acknowledged=outcome.time, **how))


def _record(row: Row[tuple[object, ...]]) -> Record:
    values = dict(row._mapping)
    values["state"] = State(values["state"])
    return Record(**values)
