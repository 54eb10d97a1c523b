# SPDX-License-Identifier: Apache-2.0
"""What is particular to the embedded log: its files, its formats, its single writer, its indexes."""

from __future__ import annotations

import asyncio
import multiprocessing
import re
import sys
from collections import deque
from pathlib import Path

import apsw
import pytest

from freehold.core.clock import now_us
from freehold.core.errors import DATA_DIRECTORY, LOG_UNAVAILABLE, OVERLOADED, FreeholdError
from freehold.core.settings import Log as LogSettings
from freehold.log.sqlite import schema
from freehold.log.sqlite.engine import SqliteLog, SqliteLogReader
from freehold.log.sqlite.groups import Groups
from freehold.log.sqlite.reader import Reader
from freehold.log.sqlite.retention import plan
from tests.log.contract_read import fill
from tests.log.installation import ALL, child_environment, offsets_of, read_all, read_on, values_of

ONE = LogSettings(partitions=1)


async def _started(place: Path, settings: LogSettings = ONE) -> SqliteLog:
    log = SqliteLog(place, settings)
    await log.start()
    return log


def _connect(place: Path, name: str = schema.LOG_FILE) -> apsw.Connection:
    connection = apsw.Connection(str(place / name))
    connection.set_busy_timeout(5000)
    return connection


# --- one writer -------------------------------------------------------------------------------------


async def test_a_second_writer_is_refused_until_the_first_ends(place: Path) -> None:
    first = await _started(place)
    await first.append("t", "k", b"1")
    second = SqliteLog(place, ONE)
    with pytest.raises(FreeholdError, match="another process writes the log") as refused:
        await second.start()
    assert refused.value.refusal is DATA_DIRECTORY
    await first.append("t", "k", b"2")
    await first.stop()
    third = await _started(place)
    await third.append("t", "k", b"3")
    assert values_of(await read_all(third, "t")) == [b"1", b"2", b"3"]
    await third.stop()


async def test_a_writer_in_another_process_is_refused(place: Path) -> None:
    log = await _started(place)
    script = (
        "import asyncio, pathlib, sys\n"
        "from freehold.core.settings import Log\n"
        "from freehold.log.sqlite.engine import SqliteLog\n"
        "asyncio.run(SqliteLog(pathlib.Path(sys.argv[1]), Log()).start())\n"
    )
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, str(place), env=child_environment(), stderr=asyncio.subprocess.PIPE
    )
    _, complaint = await child.communicate()
    assert child.returncode == 1
    assert b"another process writes the log" in complaint
    await log.append("t", "k", b"undisturbed")
    await log.stop()


async def test_a_start_that_failed_can_be_tried_again(place: Path) -> None:
    log = await _started(place)
    await log.stop()
    connection = _connect(place)
    connection.pragma("user_version", 99)
    failed = SqliteLog(place, ONE)
    with pytest.raises(FreeholdError):
        await failed.start()
    connection.pragma("user_version", schema.LOG_VERSION)
    connection.close()
    again = await _started(place)  # the failed one holds no lock
    await again.stop()


# --- formats ----------------------------------------------------------------------------------------


async def test_a_newer_format_is_refused_and_left_alone(place: Path) -> None:
    log = await _started(place)
    await log.append("t", "k", b"from the future")
    await log.stop()
    connection = _connect(place)
    connection.pragma("user_version", schema.LOG_VERSION + 1)
    connection.close()
    before = (place / schema.LOG_FILE).read_bytes()
    for attempt in (SqliteLog(place, ONE).start, SqliteLogReader(place).topics):
        with pytest.raises(FreeholdError, match=r"log.db has format 2; this version knows up to 1") as refused:
            await attempt()
        assert refused.value.refusal is DATA_DIRECTORY
    assert (place / schema.LOG_FILE).read_bytes() == before


def test_newer_positions_are_refused(place: Path) -> None:
    Groups(place).save("g", "t", {0: 1})
    connection = _connect(place, schema.GROUPS_FILE)
    connection.pragma("user_version", schema.GROUPS_VERSION + 1)
    connection.close()
    with pytest.raises(FreeholdError, match=r"groups.db has format 2"):
        Groups(place).load("g", "t")


async def test_a_file_that_is_no_log_is_refused_and_left_alone(place: Path) -> None:
    place.mkdir()
    (place / schema.LOG_FILE).write_bytes(b"somebody's notes\n" * 1000)
    with pytest.raises(FreeholdError) as refused:
        await _started(place)
    assert refused.value.refusal is DATA_DIRECTORY
    assert (place / schema.LOG_FILE).read_bytes() == b"somebody's notes\n" * 1000


async def test_a_place_that_cannot_be_a_directory_is_refused(place: Path) -> None:
    place.write_text("a file")
    with pytest.raises(FreeholdError) as refused:
        await _started(place)
    assert refused.value.refusal is DATA_DIRECTORY


async def test_a_file_that_breaks_while_it_is_open_is_reported(place: Path) -> None:
    log = await _started(place)
    for _ in range(20):
        await log.submit([log.route("t", "k")], [b"x" * 50_000])
    await log.stop()
    size = (place / schema.LOG_FILE).stat().st_size
    reader = SqliteLogReader(place)
    with (place / schema.LOG_FILE).open("r+b") as file:
        file.seek(4096 * 4)
        file.write(b"\xff" * (size - 4096 * 4))
    with pytest.raises(FreeholdError, match="the log cannot be read") as refused:
        await read_all(reader, "t")
    assert refused.value.refusal is LOG_UNAVAILABLE
    await reader.stop()


# --- readers without a writer -----------------------------------------------------------------------


async def test_a_reader_may_come_before_there_is_a_directory(place: Path) -> None:
    reader = SqliteLogReader(place)
    await reader.start()
    consumer = reader.consumer("g", "t")
    assert await consumer.read(max_records=1, max_bytes=1, wait=0) == []
    assert await reader.topics() == []
    assert (await reader.stats("t")).next == {}
    await consumer.seek_time(now_us())
    assert consumer.positions() == {}
    log = await _started(place)
    await log.append("t", "k", b"first")
    assert values_of(await read_on(consumer)) == [b"first"]
    assert reader.health() is None
    await reader.stop()
    await log.stop()


async def test_a_log_that_was_never_started_stops(place: Path) -> None:
    log = SqliteLog(place, ONE)
    async with asyncio.timeout(60):
        await log.drain()
    assert (log.name, SqliteLogReader(place).name) == ("log.sqlite", "log.reader")


def _open_groups(place: Path, start: object, results: object) -> None:
    try:
        start.wait()  # type: ignore[attr-defined]
        groups = Groups(place)
        groups.save("g", "t", {0: 7})
        results.put(groups.load("g", "t"))  # type: ignore[attr-defined]
    except Exception as cause:
        results.put(repr(cause))  # type: ignore[attr-defined]


def test_several_processes_may_make_the_positions_file_at_once(place: Path) -> None:
    """Pipeline and API do at the first start of an installation."""
    context = multiprocessing.get_context("fork")
    start, results = context.Event(), context.Queue()
    children = [context.Process(target=_open_groups, args=(place, start, results)) for _ in range(8)]
    for child in children:
        child.start()
    start.set()
    assert [results.get(timeout=60) for _ in children] == [{0: 7}] * 8
    for child in children:
        child.join(60)


async def test_positions_are_read_while_others_are_written(place: Path) -> None:
    log = await _started(place)
    await fill(log, "t", 0, 100)
    consumers = [log.consumer(f"g{n}", "t") for n in range(20)]
    for consumer in consumers:
        await consumer.read(max_records=50, max_bytes=ALL, wait=0)
    committing = [asyncio.create_task(consumer.commit()) for consumer in consumers]
    while not all(task.done() for task in committing):
        assert log.consumer("other", "t").positions() == {0: 0}
        await asyncio.sleep(0)
    await asyncio.gather(*committing)
    assert [log.consumer(f"g{n}", "t").positions() for n in range(20)] == [{0: 50}] * 20
    await log.stop()


# --- the queue --------------------------------------------------------------------------------------


async def test_what_waits_is_bounded_in_bytes(place: Path) -> None:
    log = await _started(place, LogSettings(partitions=1, queue_bytes=100_000))
    route = log.route("t", "k")
    for _ in range(100):  # 936 bytes, and 64 for what a record costs beside them
        log.submit([route], [b"x" * 936])
    with pytest.raises(FreeholdError) as refused:
        log.submit([route], [b""])
    assert refused.value.refusal is OVERLOADED
    await log.drain()
    assert len(values_of(await read_all(log, "t"))) == 100
    await log.stop()


async def test_many_records_without_bytes_are_bounded_too(place: Path) -> None:
    log = await _started(place, LogSettings(partitions=1, queue_bytes=65_536))
    routes = [log.route("t", "k")] * 1000
    log.submit(routes, [b""] * 1000)
    with pytest.raises(FreeholdError):
        log.submit(routes, [b""] * 1000)
    await log.stop()


async def test_a_submission_larger_than_the_queue_goes_alone(place: Path) -> None:
    log = await _started(place, LogSettings(partitions=1, queue_bytes=65_536))
    large = log.submit([log.route("t", "k")], [b"x" * 1_000_000])
    with pytest.raises(FreeholdError):
        log.submit([log.route("t", "k")], [b"small"])
    await large
    await log.append("t", "k", b"small")
    assert list(map(len, values_of(await read_all(log, "t")))) == [1_000_000, 5]
    await log.stop()


async def test_what_comes_during_a_commit_shares_the_next(place: Path) -> None:
    log = await _started(place)
    route = log.route("t", "k")
    await asyncio.gather(*(log.submit([route], [b"%d" % n]) for n in range(1000)))
    assert log.appended == 1000
    assert log.commits == 1
    connection = _connect(place)
    assert connection.execute("SELECT count(*), sum(count) FROM batches").fetchall() == [(1, 1000)]
    connection.close()
    await log.stop()


# --- indexes ----------------------------------------------------------------------------------------

_PAYLOAD_PATH = re.compile(r"(SCAN|SEARCH) (b|batches)\b(?!.* COVERING INDEX)")


async def test_questions_about_topics_never_touch_payloads(place: Path) -> None:
    """Positions, statistics, times and what retention removes come from the index alone."""
    log = await _started(place, LogSettings(partitions=2))
    for number in range(20):
        await log.submit([log.route(f"t{number % 3}", f"k{n}") for n in range(4)], [b"x" * 5000] * 4)
    asked: list[tuple[str, object]] = []

    def note(_: object, sql: str, values: object) -> bool:
        asked.append((sql, values))
        return True

    reader = Reader(place)
    for connection in (reader.connection(), reader.heavy()):
        assert connection is not None
        connection.exec_trace = note
    reader.stats("t1")
    reader.topics()
    reader.oldest("t1")
    reader.end(1)
    reader.at_time("t1", now_us())
    reader.at_time("t1", 0)
    assert reader.heavy() is not None
    assert plan(reader.heavy(), 0, 10_000)  # type: ignore[arg-type]
    assert plan(reader.heavy(), now_us(), 1 << 40)  # type: ignore[arg-type]
    explaining = _connect(place)
    for sql, values in asked:
        steps = [step for *_, step in explaining.execute(f"EXPLAIN QUERY PLAN {sql}", values)]  # type: ignore[arg-type]
        if sql != schema.NEWEST:  # the one row at the end of the table
            assert not [step for step in steps if _PAYLOAD_PATH.search(step)], (sql, steps)
    assert len(asked) > 12
    explaining.close()
    reader.close()
    await log.stop()


# --- retention --------------------------------------------------------------------------------------


async def test_a_cut_that_was_planned_does_not_hit_a_topic_made_again(place: Path) -> None:
    log = await _started(place)
    await fill(log, "t", 0, 100)
    connection = _connect(place)
    cuts = plan(connection, now_us(), 1 << 40)
    connection.close()
    assert cuts
    await log.delete_topic("t")
    await fill(log, "t", 1000, 100)
    waiting = deque(cuts)
    assert await log._in_writer(lambda: log._writer.cut_slice(waiting, 64)) == 0
    assert not waiting
    assert len(values_of(await read_all(log, "t"))) == 100
    await log.stop()


async def test_a_clock_set_back_makes_no_holes(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = await _started(place)
    times = iter([1_000_000, 2_000_000, 500_000, 3_000_000])
    monkeypatch.setattr("freehold.log.sqlite.writer.now_us", lambda: next(times))
    for number in range(4):
        await fill(log, "t", number, 1)
    age = now_us() - 1_500_000  # of the second 1.5: the first is older, and so says the third
    await log.retain(age_us=age, bytes_per_topic=1 << 40)
    found = await read_all(log, "t")
    assert offsets_of(found) == {0: [1, 2, 3]}
    await log.stop()


async def test_retention_goes_on_over_many_slices(place: Path) -> None:
    log = await _started(place)
    connection = _connect(place)
    await fill(log, "t", 0, 1)
    connection.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 999)"
        " INSERT INTO batches SELECT seq + i, stream, i, count, time + i, size, data FROM batches, n"
    )
    connection.close()
    await log.stop()
    log = await _started(place)
    size = (await log.stats("t")).bytes
    assert await log.retain(age_us=10**15, bytes_per_topic=size // 10) == size - size // 10
    assert offsets_of(await read_all(log, "t")) == {0: list(range(900, 1000))}
    assert await log.retain(age_us=0, bytes_per_topic=0) == size // 10
    await fill(log, "t", 1000, 1)
    assert offsets_of(await read_all(log, "t")) == {0: [1000]}
    await log.stop()


async def test_no_batch_number_comes_twice(place: Path) -> None:
    """A reader that saw number 7 would not look at another 7."""
    log = await _started(place)
    numbers: list[int] = []
    for removal in range(4):
        await fill(log, "t", removal, 1)
        connection = _connect(place)
        numbers.append(int(schema.ask_one(connection, schema.NEWEST)))
        connection.close()
        if removal % 2:
            await log.delete_topic("t")
        else:
            await log.retain(age_us=0, bytes_per_topic=0)
        await log.stop()
        log = await _started(place)
    assert numbers == sorted(set(numbers))
    await log.stop()


async def test_work_that_breaks_leaves_the_writer_alive(place: Path) -> None:
    log = await _started(place)

    def broken() -> None:
        raise RuntimeError("a bug of ours")

    with pytest.raises(FreeholdError, match="a bug of ours") as refused:
        await log._in_writer(broken)
    assert refused.value.refusal is LOG_UNAVAILABLE
    given_up = asyncio.create_task(log.retain(age_us=0, bytes_per_topic=0))
    await asyncio.sleep(0)
    given_up.cancel()
    await log.append("t", "k", b"alive")
    await log.stop()
