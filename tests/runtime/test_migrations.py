# SPDX-License-Identifier: Apache-2.0
"""The meta database: the steps make exactly the tables that the code uses, and yesterday's data opens."""

from __future__ import annotations

from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text

from freehold.core.database import METADATA, Database
from freehold.runtime.migrations import load_tables, upgrade


def test_the_steps_make_the_tables_of_the_code(tmp_path: Path) -> None:
    database = Database.sqlite(tmp_path / "meta.db")
    upgrade(database)
    load_tables()
    with database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


def test_upgrading_again_changes_nothing(tmp_path: Path) -> None:
    database = Database.sqlite(tmp_path / "meta.db")
    upgrade(database)
    with database.write() as connection:
        connection.execute(text("INSERT INTO tenants (uid, name, created) VALUES ('t', 'kept', 1)"))
    before = sorted(inspect(database.engine).get_table_names())
    upgrade(Database.sqlite(tmp_path / "meta.db"))
    with database.read() as connection:
        assert connection.execute(text("SELECT name FROM tenants")).scalar() == "kept"
    assert sorted(inspect(database.engine).get_table_names()) == before
