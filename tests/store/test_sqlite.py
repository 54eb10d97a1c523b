# SPDX-License-Identifier: Apache-2.0
"""What is particular to the embedded engine: the file and its format, layouts, rollups beside writing, bounds."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from freehold.core.errors import FreeholdError
from freehold.store.interfaces import Batch, Query, Row
from freehold.store.sqlite import reader as reading
from freehold.store.sqlite import rollup, schema, sources
from freehold.store.sqlite.counters import Counters
from freehold.store.sqlite.engine import SqliteTelemetry
from freehold.store.sqlite.reader import SqliteTelemetryReader
from freehold.store.sqlite.session import ROLL_AFTER, ROLL_LATEST, Session, due
from tests.log.installation import child_environment
from tests.store.telemetry import APP, DAY, HOUR, MINUTE, SECOND, T0, row


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "telemetry.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteTelemetry]:
    made = SqliteTelemetry(path)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def reader(path: Path) -> AsyncIterator[SqliteTelemetryReader]:
    made = SqliteTelemetryReader(path)
    yield made
    await made.close()


def ask(path: Path, sql: str, *values: Any) -> list[Any]:
    """What another process would find in the file."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        return connection.execute(sql, values).fetchall()
    finally:
        connection.close()


# --- the file ---------------------------------------------------------------------------------------


async def test_the_file_is_durable_and_says_its_format(store: SqliteTelemetry, path: Path) -> None:
    session = store._writer._session
    assert session is not None
    assert session.connection.pragma("journal_mode") == "wal"
    assert session.connection.pragma("synchronous") == 2
    assert ask(path, "PRAGMA user_version") == [(schema.FORMAT,)]
    assert ask(path, "PRAGMA integrity_check") == [("ok",)]


async def test_a_file_of_a_newer_format_is_refused_by_both_sides(path: Path) -> None:
    connection = apsw.Connection(str(path))
    connection.pragma("user_version", schema.FORMAT + 1)
    connection.close()
    with pytest.raises(FreeholdError, match=r"data-directory\.unusable: telemetry\.db has format 2"):
        await SqliteTelemetry(path).start()
    reader = SqliteTelemetryReader(path)
    with pytest.raises(FreeholdError, match=r"data-directory\.unusable"):
        await reader.series(APP)
    await reader.close()


async def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.write_bytes(b"this is no database" * 100)
    with pytest.raises(FreeholdError, match=r"store\.unavailable"):
        await SqliteTelemetry(path).start()
    reader = SqliteTelemetryReader(path)
    with pytest.raises(FreeholdError, match=r"store\.unavailable"):
        await reader.series(APP)
    await reader.close()


def test_every_format_has_a_way_to_the_next() -> None:
    assert sorted(schema.MIGRATIONS) == list(range(schema.FORMAT))


async def test_another_process_reads_while_this_one_writes(store: SqliteTelemetry, path: Path) -> None:
    await store.write(Batch(rows=[row(T0, {"x": 1.5})]))
    code = (
        "import asyncio, sys; from pathlib import Path\n"
        "from freehold.store.sqlite.reader import SqliteTelemetryReader\n"
        f"print(asyncio.run(SqliteTelemetryReader(Path(sys.argv[1])).series({APP!r})))"
    )
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, str(path), stdout=subprocess.PIPE, env=child_environment()
    )
    answer, _ = await child.communicate()
    assert b"last_value=1.5" in answer


async def test_a_reader_alone_with_the_file_reads(path: Path, reader: SqliteTelemetryReader) -> None:
    store = SqliteTelemetry(path)
    await store.start()
    await store.write(Batch(rows=[row(T0, {"x": 1})]))
    await store.stop()
    assert len(await reader.series(APP)) == 1
    assert sorted(found.suffix for found in path.parent.iterdir()) != []


# --- layouts ----------------------------------------------------------------------------------------


def layouts(path: Path) -> tuple[apsw.Connection, sources.Sources]:
    connection = schema.open_writer(path)
    return connection, sources.Sources(connection, Counters())


def test_fields_keep_their_slots_whatever_order_they_come_in(path: Path) -> None:
    connection, made = layouts(path)
    (part,) = made.layout(APP, "d", "m", ("a", "b"))
    assert (part.columns, part.order) == (2, None)
    (part,) = made.layout(APP, "d", "m", ("b", "c"))
    assert (part.columns, part.order) == (3, (-1, 0, 1))
    again = sources.Sources(connection, Counters())
    assert again.layout(APP, "d", "m", ("c", "a")) == made.layout(APP, "d", "m", ("c", "a"))
    assert again.layout(APP, "d", "other", ("a",)) != again.layout(APP, "d", "m", ("a",))
    connection.close()


def test_a_row_that_lacks_a_part_clears_it(path: Path) -> None:
    connection, made = layouts(path)
    names = tuple(f"n{n}" for n in range(40))
    assert [part.columns for part in made.layout(APP, "d", "m", names)] == [16, 16, 8]
    assert [part.columns for part in made.layout(APP, "d", "m", ("n20",))] == [0, 5, 0]
    connection.close()


def test_a_device_that_invents_names_for_ever_is_stopped(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MOST_NAMES", 20)
    connection, made = layouts(path)
    for n in range(10):
        made.layout(APP, "d", "m", tuple(f"n{n}-{m}" for m in range(5)))
    assert made._counters.refused_fields == 30
    assert ask(path, "SELECT count(*) FROM sources") == [(2,)]
    (_, part) = made.layout(APP, "d", "m", ("n9-0", "n3-4", "n9-1"))
    assert part.order == (-1, -1, -1, 1)
    assert len(made.layout(APP, "other", "m", ("new",))) == 1
    connection.close()


def test_the_cache_of_layouts_is_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "CACHED", 10)
    connection, made = layouts(path)
    connection.execute("BEGIN")
    first = {n: made.layout(APP, f"d{n}", "m", ("a",)) for n in range(50)}
    assert len(made._layouts) <= 10
    assert len(made._known) <= 11
    assert {n: made.layout(APP, f"d{n}", "m", ("a",)) for n in range(50)} == first
    connection.execute("COMMIT")
    connection.close()


async def test_a_part_that_retention_emptied_leaves_a_gap_that_harms_nothing(
    store: SqliteTelemetry, reader: SqliteTelemetryReader
) -> None:
    now = rollup.now_us()
    names = [f"n{n}" for n in range(17)]
    await store.write(Batch(rows=[row(now - 9 * DAY, dict.fromkeys(names, 1)), row(now, {"n16": 2})]))
    await store.retain(age_us=DAY, rollup_age_us=DAY, dead_letters=1)
    await store.write(Batch(rows=[row(now + 1, dict.fromkeys(names, 3))]))
    found = {info.field: info.last_value for info in await reader.series(APP)}
    assert found == dict.fromkeys(names, 3)


# --- rollups ----------------------------------------------------------------------------------------


def test_a_bucket_is_due_after_its_end_or_its_latest_write() -> None:
    now = rollup.now_us()
    minute = now // MINUTE * MINUTE
    assert due(minute, MINUTE) == minute + MINUTE + ROLL_AFTER
    late = due(minute - DAY, MINUTE) - now
    assert ROLL_AFTER <= late < ROLL_AFTER + SECOND
    wrong_clock = due(minute + 1000 * DAY, MINUTE) - now
    assert ROLL_LATEST <= wrong_clock < ROLL_LATEST + SECOND


async def test_upkeep_rolls_up_by_itself(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("freehold.store.sqlite.session.ROLL_AFTER", 0)
    monkeypatch.setattr("freehold.store.sqlite.engine.UPKEEP_SECONDS", 0.01)
    store = SqliteTelemetry(path)
    await store.start()
    await store.write(Batch(rows=[row(T0 + n * SECOND, {"x": n, "s": str(n)}) for n in range(180)]))
    async with asyncio.timeout(30):
        while ask(path, "SELECT 1 FROM stale_minutes UNION SELECT 1 FROM stale_hours"):
            await asyncio.sleep(0.01)
    minutes = ask(path, "SELECT bucket, count, numbers, sum, min, max, last FROM minutes ORDER BY series, bucket")
    assert minutes[:3] == [
        (T0 + m * MINUTE, 60, 60, sum(range(m * 60, m * 60 + 60)), m * 60, m * 60 + 59, m * 60 + 59) for m in range(3)
    ]
    assert minutes[3] == (T0, 60, 0, 0, None, None, "59")
    hours = ask(path, "SELECT bucket, count, numbers, sum, min, max, last FROM hours ORDER BY series")
    assert hours == [(T0, 180, 180, sum(range(180)), 0, 179, 179), (T0, 180, 0, 0, None, None, "179")]
    await store.stop()


async def test_what_is_written_while_a_minute_is_computed_is_not_lost(
    store: SqliteTelemetry, reader: SqliteTelemetryReader, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The write falls between the look at the rows and the storing of what they came to."""
    computed, go_on = threading.Event(), threading.Event()
    compute = rollup.compute

    def slow(*arguments: Any) -> Any:
        found = compute(*arguments)
        computed.set()
        assert go_on.wait(30)
        return found

    monkeypatch.setattr(rollup, "compute", slow)
    query = Query(APP, 0, 1 << 62, every=HOUR, aggregate="sum")
    await store.write(Batch(rows=[row(T0, {"x": 1})]))
    rolling = asyncio.create_task(store.roll_up(before=1 << 62))
    await asyncio.to_thread(computed.wait, 30)
    monkeypatch.setattr(rollup, "compute", compute)
    await store.write(Batch(rows=[row(T0 + 1, {"x": 10})]))
    go_on.set()
    await asyncio.sleep(0)
    assert (await reader.query(query))[0].values == [11]
    await rolling
    assert (await reader.query(query))[0].values == [11]
    assert (await reader.stats(APP)).points == 2
    await store.roll_up(before=1 << 62)
    assert ask(path, "SELECT sum(count) FROM hours") == [(2,)]
    assert ask(path, "SELECT 1 FROM stale_minutes") == []
    assert (await reader.query(query))[0].values == [11]
    assert (await reader.stats(APP)).points == 2


async def test_a_rollup_that_fails_is_tried_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("freehold.store.sqlite.session.ROLL_AFTER", 0)
    monkeypatch.setattr("freehold.store.sqlite.engine.UPKEEP_SECONDS", 0.01)
    compute, failures = rollup.compute, iter([apsw.IOError("x"), ZeroDivisionError("a fault of ours")])

    def failing(*arguments: Any) -> Any:
        if (failure := next(failures, None)) is not None:
            raise failure
        return compute(*arguments)

    monkeypatch.setattr(rollup, "compute", failing)
    store = SqliteTelemetry(path)
    await store.start()
    await store.write(Batch(rows=[row(T0, {"x": 1})]))
    async with asyncio.timeout(30):
        while not ask(path, "SELECT 1 FROM hours"):
            await asyncio.sleep(0.01)
    assert next(failures, None) is None
    await store.stop()


async def test_a_long_chart_reads_rollups_and_not_rows(
    store: SqliteTelemetry, reader: SqliteTelemetryReader, path: Path
) -> None:
    """A 30-day chart stays fast because of which rows it reads: the raw ones may even be gone."""
    await store.write(Batch(rows=[row(T0 + n * 10 * MINUTE, {"x": n}) for n in range(30 * 144)]))
    await store.roll_up(before=1 << 62)
    connection = apsw.Connection(str(path))
    connection.execute("DELETE FROM points")
    connection.close()
    (series,) = await reader.query(Query(APP, T0, T0 + 30 * DAY, every=6 * HOUR, aggregate="max"))
    assert list(series.values) == [36 * n + 35 for n in range(120)]
    (series,) = await reader.query(Query(APP, T0, T0 + 30 * DAY, every=30 * MINUTE, aggregate="count"))
    assert set(series.values) == {3}


# --- upkeep of the file -----------------------------------------------------------------------------


async def test_what_retention_frees_goes_back_to_the_disk(store: SqliteTelemetry, path: Path) -> None:
    now = rollup.now_us()
    rows = [row(now - 9 * DAY + n * SECOND, {"x": n, "text": "t" * 500}) for n in range(20_000)]
    await store.write(Batch(rows=rows))
    before = ask(path, "PRAGMA page_count")[0][0]
    await store.retain(age_us=DAY, rollup_age_us=DAY, dead_letters=1)
    assert ask(path, "PRAGMA page_count")[0][0] < before / 5
    assert ask(path, "SELECT count(*) FROM sources") == [(0,)]


async def test_a_purge_that_a_crash_interrupted_goes_on_at_the_next_start(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqliteTelemetry(path)
    await store.start()
    await store.write(Batch(rows=[row(T0 + n, {"x": n}) for n in range(9000)], positions={(APP, 0): 7}))

    def crash(*_: Any, **__: Any) -> int:
        raise RuntimeError("the power is gone")

    monkeypatch.setattr("freehold.store.sqlite.retention.sweep", crash)
    with pytest.raises(RuntimeError, match="power"):
        await store.purge(APP)
    await store.stop()
    monkeypatch.undo()
    assert ask(path, "SELECT count(*) FROM points") == [(9000,)]
    again = SqliteTelemetry(path)
    await again.start()
    async with asyncio.timeout(30):
        while ask(path, "SELECT 1 FROM applications"):
            await asyncio.sleep(0.05)
    for table in ("points", "sources", "stale_minutes", "applications", "positions"):
        assert ask(path, f"SELECT count(*) FROM {table}") == [(0,)]
    await again.stop()


async def test_rows_of_one_microsecond_past_any_step_are_deleted(store: SqliteTelemetry, path: Path) -> None:
    """More rows of one time than a step takes must not make retention turn on the spot."""
    await store.write(Batch(rows=[row(T0, {"x": n}, seq=n) for n in range(5000)]))
    assert await store.retain(age_us=DAY, rollup_age_us=DAY, dead_letters=1) == 5000


# --- bounds on questions ----------------------------------------------------------------------------


async def test_a_question_that_takes_too_long_is_ended(
    store: SqliteTelemetry, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "LOOK_EVERY", 100)
    await store.write(Batch(rows=[row(T0 + n, {"x": n}) for n in range(5000)]))
    reader = SqliteTelemetryReader(path, seconds=0)
    with pytest.raises(FreeholdError, match=r"telemetry\.query\.invalid: the answer takes longer than 0 s"):
        await reader.query(Query(APP, 0, 1 << 62, every=SECOND))
    reader._seconds = 60
    assert len(await reader.query(Query(APP, 0, 1 << 62))) == 1
    await reader.close()


async def test_questions_past_the_bound_are_refused(
    store: SqliteTelemetry, reader: SqliteTelemetryReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "WAITING", 3)
    answers = await asyncio.gather(*(reader.series(APP) for _ in range(50)), return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, FreeholdError)]
    assert [answer for answer in answers if answer == []] == [[]] * 5
    assert len(refused) == 45
    assert refused[0].refusal.code == "store.unavailable"
    assert await reader.series(APP) == []


async def test_a_reader_recovers_from_a_fault(
    store: SqliteTelemetry, reader: SqliteTelemetryReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store.write(Batch(rows=[row(T0, {"x": 1})]))

    def failing(*_: Any) -> Any:
        raise apsw.IOError("disk I/O error")

    with monkeypatch.context() as patched:
        patched.setattr("freehold.store.sqlite.newest.newest", failing)
        with pytest.raises(FreeholdError, match=r"store\.unavailable: disk I/O error"):
            await reader.series(APP)
    assert len(await reader.series(APP)) == 1


async def test_counters_tell_what_came_and_what_was_left_out(
    store: SqliteTelemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "MOST_NAMES", 3)
    now = rollup.now_us()
    await store.retain(age_us=DAY, rollup_age_us=DAY, dead_letters=1)
    await store.write(Batch(rows=[row(now, {"a": 1, "b": 2, "c": 3, "d": 4}), row(now - 9 * DAY, {"a": 1})]))
    assert (store.counters.rows, store.counters.late_rows, store.counters.refused_fields) == (2, 1, 1)
    assert store.counters.commits > 0


# --- what the pipeline may give it ------------------------------------------------------------------


async def test_one_bad_batch_does_not_take_others_with_it(
    store: SqliteTelemetry, reader: SqliteTelemetryReader
) -> None:
    """A row that breaks the contract altogether fails its own batch only."""
    good = [Batch(rows=[row(T0 + n, {"x": n})]) for n in range(10)]
    bad = Batch(rows=[Row(APP, 5, "m", T0, 1, {"x": 1})])  # type: ignore[arg-type]
    outcomes = await asyncio.gather(*map(store.write, [*good[:5], bad, *good[5:]]), return_exceptions=True)
    assert [outcome for outcome in outcomes if outcome is not None] == [outcomes[5]]
    assert isinstance(outcomes[5], Exception)
    (series,) = await reader.query(Query(APP, 0, 1 << 62))
    assert list(series.values) == list(range(10))
    assert store.health() is None


async def test_a_write_whose_caller_gave_up_leaves_the_store_well(
    store: SqliteTelemetry, reader: SqliteTelemetryReader
) -> None:
    tasks = [asyncio.create_task(store.write(Batch(rows=[row(T0 + n, {"x": n})]))) for n in range(100)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await store.write(Batch(rows=[row(T0 + 1000, {"x": -1})]))
    (series,) = await reader.query(Query(APP, 0, 1 << 62))
    assert set(series.values) >= {-1, *range(1, 100, 2)}


def test_the_set_of_known_stale_minutes_is_bounded(path: Path) -> None:
    connection = schema.open_writer(path)
    session = Session(connection, 10, Counters())
    connection.execute("BEGIN")
    session.stale.update((n, 0) for n in range(200_000))
    session.apply([Batch(rows=[row(T0, {"x": 1})])])
    assert len(session.stale) <= 100_000
    connection.execute("COMMIT")
    connection.close()
