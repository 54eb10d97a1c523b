# SPDX-License-Identifier: Apache-2.0
"""The meta database: registry, identity, commands and processors in one SQLAlchemy engine.

Domains declare their tables on `METADATA` in their own `tables.py`; migrations (alembic) live in
`freehold.runtime.migrations`. SQLite here, PostgreSQL by URL later: nothing but SQLAlchemy Core is used.
All calls block: run them in a thread from an event loop.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, MetaData, create_engine, event

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Database:
    """One engine with explicit transactions. Several processes may hold one on the same file."""

    def __init__(self, url: str | URL) -> None:
        # An error that nobody catches is logged with its statement: the values of it are nobody's business.
        self.engine: Engine = create_engine(url, hide_parameters=True)
        if self.engine.dialect.name == "sqlite":
            event.listen(self.engine, "connect", _set_up_sqlite)
            event.listen(self.engine, "begin", _begin_sqlite)

    @classmethod
    def sqlite(cls, path: Path) -> Database:
        return cls(URL.create("sqlite", database=str(path)))  # a path may hold what means something in a URL

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection that sees one consistent state and changes nothing."""
        with self.engine.connect() as connection:
            yield connection
            connection.rollback()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction: committed (and durable) when the body ends, rolled back when it raises.

        On SQLite it takes the write lock at once, so that what the body reads cannot change under it.
        """
        with (
            self.engine.connect().execution_options(freehold_write=True) as connection,
            connection.begin(),
        ):
            yield connection

    def close(self) -> None:
        self.engine.dispose()


def _set_up_sqlite(connection: Any, _record: Any) -> None:
    # The driver's own BEGIN comes too late and too weak (deferred): transactions are begun by `_begin_sqlite`.
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=15000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    immediate = connection.get_execution_options().get("freehold_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")
