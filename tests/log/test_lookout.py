# SPDX-License-Identifier: Apache-2.0
"""Who waits for records is woken by each that concerns him, and none slips between looking and waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest

from freehold.core.errors import SHUTTING_DOWN, FreeholdError
from freehold.core.settings import Log as LogSettings
from freehold.log.sqlite import schema
from freehold.log.sqlite.engine import SqliteLog
from freehold.log.sqlite.lookout import MOST_BATCHES, Lookout

HANG = 60.0
FOREVER = 10 * HANG


@pytest.fixture
async def log(place: Path) -> AsyncIterator[SqliteLog]:
    made = SqliteLog(place, LogSettings(partitions=1))
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
def connection(log: SqliteLog, place: Path) -> apsw.Connection:
    made = schema.open_reader(place / schema.LOG_FILE)
    assert made is not None
    return made


def _newest(connection: apsw.Connection) -> int:
    return int(schema.ask_one(connection, schema.NEWEST))


async def test_a_batch_between_the_look_and_the_wait_wakes(log: SqliteLog, connection: apsw.Connection) -> None:
    """What the look-out has told others about in the meantime must not be lost for who comes a moment later."""
    lookout = Lookout(lambda: connection)
    before = _newest(connection)
    other = asyncio.create_task(lookout.wait("other", FOREVER, before))
    idle = asyncio.create_task(lookout.wait("idle", FOREVER, before))
    await asyncio.sleep(0)
    await log.submit([log.route("mine", "k"), log.route("other", "k")], [b"", b""])
    async with asyncio.timeout(HANG):
        await other  # so the look-out has seen the batch of `mine`
        await lookout.wait("mine", FOREVER, before)
    assert not idle.done()
    idle.cancel()
    lookout.close()


async def test_only_who_is_concerned_is_woken(log: SqliteLog, connection: apsw.Connection) -> None:
    lookout = Lookout(lambda: connection)
    waiting = {
        topic: asyncio.create_task(lookout.wait(topic, FOREVER, _newest(connection))) for topic in ("a", "b", "c")
    }
    await asyncio.sleep(0)
    await log.append("b", "k", b"")
    async with asyncio.timeout(HANG):
        await waiting["b"]
    assert not waiting["a"].done()
    assert not waiting["c"].done()
    await log.submit([log.route("a", "k"), log.route("c", "k")], [b"", b""])
    async with asyncio.timeout(HANG):
        await asyncio.gather(waiting["a"], waiting["c"])
    lookout.close()


async def test_two_that_wait_for_one_topic_are_both_woken(log: SqliteLog, connection: apsw.Connection) -> None:
    lookout = Lookout(lambda: connection)
    both = [asyncio.create_task(lookout.wait("t", FOREVER, _newest(connection))) for _ in range(2)]
    await asyncio.sleep(0)
    await log.append("t", "k", b"")
    async with asyncio.timeout(HANG):
        await asyncio.gather(*both)
    lookout.close()


async def test_many_batches_at_once_wake_everybody_instead_of_being_looked_through(
    log: SqliteLog, connection: apsw.Connection
) -> None:
    asked: list[str] = []

    def note(_: object, sql: str, __: object) -> bool:
        asked.append(sql)
        return True

    connection.exec_trace = note
    lookout = Lookout(lambda: connection)
    routes = [log.route(f"app-{n}", "k") for n in range(MOST_BATCHES + 1)]
    await log.submit(routes, [b""] * len(routes))
    waiting = [lookout.wait(topic, FOREVER, 0) for topic in ("app-0", "silent")]
    async with asyncio.timeout(HANG):
        await asyncio.gather(*waiting)
    assert not any("DISTINCT" in sql for sql in asked)
    lookout.close()


async def test_nothing_comes_and_the_wait_ends(log: SqliteLog, connection: apsw.Connection) -> None:
    lookout = Lookout(lambda: connection)
    async with asyncio.timeout(HANG):
        await asyncio.gather(*(lookout.wait("t", 0.05, _newest(connection)) for _ in range(3)))
    lookout.close()


async def test_a_log_that_does_not_exist_yet_is_waited_for() -> None:
    lookout = Lookout(lambda: None)
    async with asyncio.timeout(HANG):
        await lookout.wait("t", 0.05, 0)
    lookout.close()


async def test_a_look_that_fails_wakes_those_who_can_complain(connection: apsw.Connection) -> None:
    def broken() -> apsw.Connection:
        raise apsw.IOError("disk I/O error")

    lookout = Lookout(broken)
    async with asyncio.timeout(HANG):
        await asyncio.gather(lookout.wait("a", FOREVER, 0), lookout.wait("b", FOREVER, 0))
    lookout.close()


async def test_looking_stops_when_nobody_waits(log: SqliteLog, connection: apsw.Connection) -> None:
    looks = 0

    def counted() -> apsw.Connection:
        nonlocal looks
        looks += 1
        return connection

    lookout = Lookout(counted)
    await lookout.wait("t", 0.05, _newest(connection))
    await asyncio.sleep(0.1)  # the look that was due
    seen = looks
    await asyncio.sleep(0.2)
    assert looks == seen > 0


async def test_closing_the_log_ends_the_waiting(place: Path) -> None:
    log = SqliteLog(place, LogSettings())
    await log.start()
    reading = asyncio.create_task(log.consumer("g", "t").read(max_records=1, max_bytes=1, wait=FOREVER))
    await asyncio.sleep(0.05)
    await log.stop()
    async with asyncio.timeout(HANG):
        with pytest.raises(FreeholdError) as ended:
            await reading
    assert ended.value.refusal is SHUTTING_DOWN
