# SPDX-License-Identifier: Apache-2.0
"""Versions of processors in the meta database. Everything here blocks; the service calls it in threads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from freehold.core.clock import now_us
from freehold.core.database import Database
from freehold.core.errors import NOT_FOUND
from freehold.process.interfaces import Version
from freehold.process.tables import active, versions


@dataclass(frozen=True, slots=True)
class Stored:
    """A version with the exact packages that it was checked with."""

    version: Version
    resolved: tuple[str, ...]


class Versions:
    """All versions of all applications. Numbers of an application only grow."""

    def __init__(self, database: Database, keep: int) -> None:
        self._database = database
        self._keep = keep

    def add(
        self,
        application: str,
        *,
        source: str,
        packages: Sequence[str],
        resolved: Sequence[str],
        author: str,
        note: str,
    ) -> Version:
        """Store as a new version and drop the oldest past the bound; what runs or ran before is kept."""
        with self._database.write() as connection:
            mine = versions.c.application == application
            last = connection.scalar(select(func.max(versions.c.number)).where(mine)) or 0
            created = now_us()
            connection.execute(
                insert(versions).values(
                    application=application,
                    number=last + 1,
                    created=created,
                    author=author,
                    note=note,
                    source=source,
                    packages=list(packages),
                    resolved=list(resolved),
                )
            )
            self._prune(connection, application, last + 1)
        return Version(last + 1, created, author, note, tuple(packages), False, source)

    def _prune(self, connection: Connection, application: str, newest: int) -> None:
        mine = versions.c.application == application
        numbers = list(connection.scalars(select(versions.c.number).where(mine).order_by(versions.c.number.desc())))
        needed = set(numbers[: self._keep]) | set(_pointers(connection, application)) | {newest}
        gone = [number for number in numbers if number not in needed]
        connection.execute(delete(versions).where(mine, versions.c.number.in_(gone)))

    def all(self, application: str) -> list[Version]:
        """Newest first."""
        with self._database.read() as connection:
            running, _ = _pointers(connection, application)
            rows = connection.execute(
                select(versions).where(versions.c.application == application).order_by(versions.c.number.desc())
            )
            return [_version(row, running) for row in rows]

    def running(self, application: str) -> Stored | None:
        """The active version, None without one."""
        with self._database.read() as connection:
            number, _ = _pointers(connection, application)
            return None if number is None else self._get(connection, application, number)

    def activate(self, application: str, number: int) -> None:
        """Raises `resource.not-found`."""
        with self._database.write() as connection:
            self._get(connection, application, number)
            running, _ = _pointers(connection, application)
            if running != number:
                _point(connection, application, number, previous=running)

    def roll_back(self, application: str) -> Version:
        """Activate what was active before; what is active now becomes that. Raises `resource.not-found`."""
        with self._database.write() as connection:
            running, previous = _pointers(connection, application)
            if previous is None:
                raise NOT_FOUND.error("there is no processor version to go back to")
            _point(connection, application, previous, previous=running)
            return self._get(connection, application, previous).version

    def deactivate(self, application: str) -> None:
        with self._database.write() as connection:
            running, _ = _pointers(connection, application)
            if running is not None:
                _point(connection, application, None, previous=running)

    def forget(self, application: str) -> None:
        with self._database.write() as connection:
            for table in (versions, active):
                connection.execute(delete(table).where(table.c.application == application))

    def _get(self, connection: Connection, application: str, number: int) -> Stored:
        row = connection.execute(
            select(versions).where(versions.c.application == application, versions.c.number == number)
        ).one_or_none()
        if row is None:
            raise NOT_FOUND.error(f"there is no processor version {number}")
        running, _ = _pointers(connection, application)
        return Stored(_version(row, running), tuple(row.resolved))


def _pointers(connection: Connection, application: str) -> tuple[int | None, int | None]:
    """(active version, the one before)."""
    row = connection.execute(
        select(active.c.number, active.c.previous).where(active.c.application == application)
    ).one_or_none()
    return (None, None) if row is None else (row.number, row.previous)


def _point(connection: Connection, application: str, number: int | None, *, previous: int | None) -> None:
    values = {"number": number, "previous": previous}
    mine = active.c.application == application
    if connection.execute(update(active).where(mine).values(**values)).rowcount == 0:
        connection.execute(insert(active).values(application=application, **values))


def _version(row: Row[Any], running: int | None) -> Version:
    return Version(
        number=row.number,
        created=row.created,
        author=row.author,
        note=row.note,
        packages=tuple(row.packages),
        active=row.number == running,
        source=row.source,
    )
