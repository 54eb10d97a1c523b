# SPDX-License-Identifier: Apache-2.0
"""What must be done again and again: retention, and removing what belonged to deleted applications.

Applications are told apart by uid, and whatever has a uid that the registry does not know is an orphan. So
a deletion needs no message that could be lost: the next round finds what is left over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog
from sqlalchemy import ColumnElement, select

from freehold.core.database import Database
from freehold.registry.tables import applications

_log = structlog.get_logger(__name__)

EVERY_SECONDS = 60.0
FIRST_SECONDS = 5.0

Job = Callable[[], Awaitable[None]]


class Housekeeping:
    """A component that runs its jobs every minute. One that fails is logged and tried again the next time."""

    def __init__(self, name: str, jobs: Sequence[Job]) -> None:
        self._name, self._jobs = name, jobs
        self._task: asyncio.Task[None] | None = None
        self._problem: str | None = None

    @property
    def name(self) -> str:
        return self._name

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def drain(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def stop(self) -> None:
        """Nothing is left after `drain`."""

    def health(self) -> str | None:
        return self._problem

    async def _run(self) -> None:
        await asyncio.sleep(FIRST_SECONDS)
        while True:
            problem = None
            for job in self._jobs:
                try:
                    await job()
                except Exception as cause:
                    problem = f"housekeeping failed: {cause}"
                    _log.exception("housekeeping failed", component=self._name)
            self._problem = problem
            await asyncio.sleep(EVERY_SECONDS)


async def orphans(database: Database, known: Callable[[], Awaitable[Sequence[str]]]) -> list[str]:
    """Of the application uids that `known` gives, those that the registry does not have (any more).

    `known` is asked first: an application made in between is then in the registry already.
    """
    candidates = await known()
    existing = await asyncio.to_thread(_application_uids, database)
    return [uid for uid in candidates if uid not in existing]


async def distinct(database: Database, column: ColumnElement[str]) -> list[str]:
    """The values that a column of the meta database has."""

    def read() -> list[str]:
        with database.read() as connection:
            return list(connection.execute(select(column).distinct()).scalars())

    return await asyncio.to_thread(read)


def _application_uids(database: Database) -> set[str]:
    with database.read() as connection:
        return set(connection.execute(select(applications.c.uid)).scalars())
