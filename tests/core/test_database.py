# SPDX-License-Identifier: Apache-2.0
"""The meta database: transactions that are what they seem, also when several processes have it open."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import (
    Column,
    Executable,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.exc import IntegrityError

from freehold.core.database import METADATA, Database

META = MetaData(naming_convention=METADATA.naming_convention)
COUNTERS = Table("counters", META, Column("name", String, primary_key=True), Column("value", Integer, nullable=False))
NOTES = Table(
    "notes", META, Column("id", Integer, primary_key=True), Column("counter", ForeignKey("counters.name"), index=True)
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "meta.db"


@pytest.fixture
def database(path: Path) -> Iterator[Database]:
    made = Database.sqlite(path)
    META.create_all(made.engine)
    with made.write() as connection:
        connection.execute(insert(COUNTERS), {"name": "c", "value": 0})
    yield made
    made.close()


def _value(database: Database) -> int:
    with database.read() as connection:
        value: int = connection.execute(select(COUNTERS.c.value)).scalar_one()
    return value


def _change_and_fail(database: Database, change: Executable) -> None:
    with database.write() as connection:
        connection.execute(change)
        raise RuntimeError("half way")


def test_a_write_is_there_for_others_when_it_ends(database: Database, path: Path) -> None:
    other = Database.sqlite(path)
    with database.write() as connection:
        connection.execute(update(COUNTERS).values(value=5))
        assert _value(other) == 0
    assert _value(other) == 5
    other.close()


def test_a_write_that_raises_leaves_nothing(database: Database) -> None:
    with pytest.raises(RuntimeError, match="half way"):
        _change_and_fail(database, update(COUNTERS).values(value=5))
    assert _value(database) == 0
    with database.write() as connection:  # and no lock
        connection.execute(update(COUNTERS).values(value=6))
    assert _value(database) == 6


def test_schema_changes_are_part_of_the_transaction(database: Database) -> None:
    """The driver left to itself commits before them: a migration that fails would stay half done."""
    with pytest.raises(RuntimeError, match="half way"):
        _change_and_fail(database, text("CREATE TABLE more (x INTEGER)"))
    with database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM sqlite_master WHERE name = 'more'")).scalar_one() == 0


def test_a_read_sees_one_state(database: Database) -> None:
    with database.read() as reading:
        before = reading.execute(select(COUNTERS.c.value)).scalar_one()
        with database.write() as connection:
            connection.execute(update(COUNTERS).values(value=7))
        assert reading.execute(select(COUNTERS.c.value)).scalar_one() == before == 0
    assert _value(database) == 7


def test_a_read_changes_nothing(database: Database) -> None:
    with database.read() as connection:
        connection.execute(update(COUNTERS).values(value=9))
    assert _value(database) == 0


def test_a_write_holds_the_lock_from_its_beginning(database: Database) -> None:
    """What it reads cannot change under it: read, think, write is safe without retries."""
    reached, order = threading.Event(), list[str]()

    def second() -> None:
        reached.set()
        with database.write() as connection:
            order.append("second")
            value = connection.execute(select(COUNTERS.c.value)).scalar_one()
            connection.execute(update(COUNTERS).values(value=value * 10))

    thread = threading.Thread(target=second)
    with database.write() as connection:
        value = connection.execute(select(COUNTERS.c.value)).scalar_one()
        thread.start()
        assert reached.wait(60)
        thread.join(0.2)
        order.append("first")
        connection.execute(update(COUNTERS).values(value=value + 4))
    thread.join(60)
    assert order == ["first", "second"]
    assert _value(database) == 40


def test_transactions_are_begun_in_the_mode_that_they_need(database: Database) -> None:
    begun: list[str] = []
    raw = database.engine.raw_connection()
    assert raw.driver_connection is not None
    raw.driver_connection.set_trace_callback(lambda sql: begun.append(sql) if sql.startswith("BEGIN") else None)
    raw.close()  # back to the pool: the next ones get it again
    with database.read() as connection:
        connection.execute(select(COUNTERS))
    with database.write() as connection:
        connection.execute(select(COUNTERS))
    with database.read() as connection:
        connection.execute(select(COUNTERS))
    assert begun == ["BEGIN", "BEGIN IMMEDIATE", "BEGIN"]


def test_the_file_is_set_up_for_several_processes_and_power_cuts(database: Database) -> None:
    with database.read() as connection:
        found = {
            name: connection.execute(text(f"PRAGMA {name}")).scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 15_000}


def test_foreign_keys_hold(database: Database) -> None:
    with pytest.raises(IntegrityError), database.write() as connection:
        connection.execute(insert(NOTES), {"id": 1, "counter": "no such counter"})


def test_constraints_have_names_that_migrations_can_use() -> None:
    assert {index.name for index in NOTES.indexes} == {"ix_notes_counter"}
    assert {str(constraint.name) for constraint in NOTES.constraints} == {"pk_notes", "fk_notes_counter_counters"}


@pytest.mark.parametrize("name", ["with space", "q?mode=memory", "a#b", "100%41", "ü", "semi;colon"])
def test_any_directory_name_works(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    database = Database.sqlite(folder / "meta.db")
    META.create_all(database.engine)
    database.close()
    assert (folder / "meta.db").stat().st_size > 0
    assert [path.name for path in tmp_path.iterdir()] == [name]


ROUNDS = 40


def _count_up(path: Path, start: Any, results: Any) -> None:
    database = Database.sqlite(path)
    try:
        start.wait()
        META.create_all(database.engine)
        for _ in range(ROUNDS):
            with database.write() as connection:
                value = connection.execute(select(func.max(COUNTERS.c.value))).scalar_one() or 0
                connection.execute(insert(COUNTERS), {"name": f"{value + 1}", "value": value + 1})
        results.put("done")
    except Exception as cause:
        results.put(repr(cause))


def test_processes_that_count_together_lose_no_number(path: Path) -> None:
    """Two at once on a file that neither has made yet, as roles are at the first start."""
    context = multiprocessing.get_context("fork")
    start, results = context.Event(), context.Queue()
    database = Database.sqlite(path)
    META.create_all(database.engine)
    database.close()
    children = [context.Process(target=_count_up, args=(path, start, results)) for _ in range(2)]
    for child in children:
        child.start()
    start.set()
    assert [results.get(timeout=100) for _ in children] == ["done", "done"]
    for child in children:
        child.join(60)
    database = Database.sqlite(path)
    with database.read() as connection:
        values = connection.execute(select(COUNTERS.c.value).order_by(COUNTERS.c.value)).scalars().all()
    assert values == list(range(1, 2 * ROUNDS + 1))
    database.close()


def _open_first(path: Path, start: Any, results: Any) -> None:
    try:
        start.wait()
        database = Database.sqlite(path)
        with database.write() as connection:
            connection.execute(text("CREATE TABLE IF NOT EXISTS t (x INTEGER)"))
        results.put("done")
    except Exception as cause:
        results.put(repr(cause))


def test_processes_that_make_the_file_together_all_get_it(path: Path) -> None:
    context = multiprocessing.get_context("fork")
    start, results = context.Event(), context.Queue()
    children = [context.Process(target=_open_first, args=(path, start, results)) for _ in range(6)]
    for child in children:
        child.start()
    start.set()
    assert [results.get(timeout=100) for _ in children] == ["done"] * 6
    for child in children:
        child.join(60)
