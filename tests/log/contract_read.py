# SPDX-License-Identifier: Apache-2.0
"""The contract's half about reading: groups, positions, time, bounds, waiting, other processes."""

from __future__ import annotations

import asyncio
import sys

import pytest

from freehold.core.clock import now_us
from freehold.log.interfaces import EventLog
from tests.log.installation import (
    ALL,
    Installation,
    by_partition,
    child_environment,
    offsets_of,
    read_all,
    read_on,
    values_of,
)

HANG = 60.0
"""Seconds after which a test that should have been woken is taken to hang."""

EVERYTHING = {"max_records": ALL, "max_bytes": 1 << 40}


async def fill(log: EventLog, topic: str, first: int, count: int, key: str | None = None) -> None:
    """Numbers as records, one submission; over all partitions unless `key` is given."""
    numbers = range(first, first + count)
    routes = [log.route(topic, key if key is not None else f"k{number}") for number in numbers]
    await log.submit(routes, [b"%d" % number for number in numbers])


class ReadContract:
    async def test_a_group_goes_on_where_it_committed(self, installation: Installation) -> None:
        log = await installation.open()
        await fill(log, "t", 0, 100)
        first = log.consumer("g", "t")
        seen = values_of(await first.read(max_records=40, max_bytes=1 << 20, wait=0))
        await first.commit()
        await first.read(max_records=30, max_bytes=1 << 20, wait=0)  # read, not committed: read again
        second = log.consumer("g", "t")
        rest = values_of(await read_on(second))
        assert len(seen) == 40
        assert sorted(map(int, seen + rest)) == list(range(100))

    async def test_groups_do_not_know_each_other(self, installation: Installation) -> None:
        log = await installation.open()
        await fill(log, "t", 0, 10)
        one, two = log.consumer("one", "t"), log.consumer("two", "t")
        await read_on(one)
        await one.commit()
        await two.commit()
        assert await read_on(log.consumer("one", "t")) == []
        assert len(values_of(await read_on(log.consumer("two", "t")))) == 10
        assert len(values_of(await read_on(log.consumer("one", "another topic")))) == 0

    async def test_a_commit_outlasts_the_process(self, installation: Installation) -> None:
        log = await installation.open()
        await fill(log, "t", 0, 50)
        consumer = log.consumer("g", "t")
        await read_on(consumer)
        await consumer.commit()
        await installation.close()
        log = await installation.open()
        await fill(log, "t", 50, 5)
        reader = await installation.reader()
        assert sorted(values_of(await read_on(reader.consumer("g", "t")))) == [b"50", b"51", b"52", b"53", b"54"]

    async def test_a_commit_by_a_reader_is_seen_by_the_other_side(self, installation: Installation) -> None:
        log = await installation.open()
        reader = await installation.reader()
        await fill(log, "t", 0, 50)
        consumer = reader.consumer("g", "t")
        await read_on(consumer)
        await consumer.commit()
        assert await read_on(log.consumer("g", "t")) == []

    async def test_latest_sees_only_what_comes(self, installation: Installation) -> None:
        log = await installation.open()
        await fill(log, "t", 0, 50)
        consumer = log.consumer("g", "t", start="latest")
        assert await read_on(consumer) == []
        await fill(log, "t", 50, 3)
        assert sorted(values_of(await read_on(consumer))) == [b"50", b"51", b"52"]

    async def test_latest_of_a_topic_to_come_misses_nothing(self, installation: Installation) -> None:
        log = await installation.open()
        consumer = log.consumer("g", "t", start="latest")
        assert consumer.positions() == {}
        await fill(log, "t", 0, 40)
        assert len(values_of(await read_on(consumer))) == 40

    async def test_positions_are_stronger_than_commit_and_commit_than_start(self, installation: Installation) -> None:
        log = await installation.open()
        await fill(log, "t", 0, 30, key="k")
        partition = log.route("t", "k").partition
        consumer = log.consumer("g", "t", positions={partition: 10})
        assert values_of(await read_on(consumer))[0] == b"10"
        await consumer.seek({partition: 20})
        await consumer.commit()
        for start in ("earliest", "latest"):
            assert values_of(await read_on(log.consumer("g", "t", start=start)))[0] == b"20"
        given = log.consumer("g", "t", start="latest", positions={partition: 5})
        assert values_of(await read_on(given))[0] == b"5"
        assert await read_on(log.consumer("g", "t", start="latest", positions={})) == []

    async def test_positions_say_what_read_returns_next(self, installation: Installation) -> None:
        log = await installation.open()
        await fill(log, "t", 0, 200)
        consumer = log.consumer("g", "t")
        assert consumer.positions() == dict.fromkeys(range(4), 0)
        while chunks := await consumer.read(max_records=17, max_bytes=1 << 20, wait=0):
            positions = consumer.positions()
            assert all(positions[partition] == offs[-1] + 1 for partition, offs in offsets_of(chunks).items())
            assert [chunk.next_offset - chunk.offset for chunk in chunks] == [len(chunk.values) for chunk in chunks]
        assert consumer.positions() == dict((await log.stats("t")).next)
        other = log.consumer("other", "t", positions=consumer.positions())
        assert await read_on(other) == []

    async def test_seek_goes_anywhere(self, installation: Installation) -> None:
        log = await installation.open()
        for start in range(0, 100, 10):
            await fill(log, "t", start, 10, key="k")
        partition = log.route("t", "k").partition
        consumer = log.consumer("g", "t")
        for target in (95, 10, 0, 99, 55, 50, 49):
            await consumer.seek({partition: target})
            assert consumer.positions()[partition] == target
            (chunk,) = await consumer.read(max_records=1, max_bytes=1, wait=0)
            assert (chunk.offset, list(chunk.values)) == (target, [b"%d" % target])
        await consumer.seek({partition: 100})
        assert await read_on(consumer) == []
        await fill(log, "t", 100, 1, key="k")
        assert values_of(await read_on(consumer)) == [b"100"]

    async def test_seek_of_one_partition_leaves_the_others(self, installation: Installation) -> None:
        log = await installation.open()
        await fill(log, "t", 0, 100)
        consumer = log.consumer("g", "t")
        whole = by_partition(await read_on(consumer))
        await consumer.seek({2: 3})
        assert by_partition(await read_on(consumer)) == {2: whole[2][3:]}

    async def test_seek_by_time_misses_nothing_and_skips_the_past(self, installation: Installation) -> None:
        log = await installation.open()
        for number in range(50):
            await fill(log, "t", number, 1, key="k")
        moment = now_us()
        for number in range(50, 60):
            await fill(log, "t", number, 1, key="k")
        consumer = log.consumer("g", "t")
        await consumer.seek_time(moment)
        found = [int(value) for value in values_of(await read_on(consumer))]
        assert found == list(range(found[0], 60))
        assert 45 <= found[0] <= 50  # a batch early is allowed, the whole past is not

    async def test_seek_by_time_to_both_ends(self, installation: Installation) -> None:
        log = await installation.open()
        await fill(log, "t", 0, 100)
        consumer = log.consumer("g", "t")
        await consumer.seek_time(0)
        assert len(values_of(await read_on(consumer))) == 100
        await log.retain(age_us=0, bytes_per_topic=ALL)
        await consumer.seek_time(0)
        assert consumer.positions() == dict((await log.stats("t")).next)
        await consumer.seek_time(now_us() + 3_600_000_000)
        await read_on(consumer)
        await fill(log, "t", 100, 1)
        assert values_of(await read_on(consumer)) == [b"100"]
        nowhere = log.consumer("g", "no such topic")
        await nowhere.seek_time(now_us())
        assert await read_on(nowhere) == []

    @pytest.mark.parametrize("most", [1, 7, 99, 100, 101])
    async def test_max_records_cuts_a_batch_and_goes_on(self, installation: Installation, most: int) -> None:
        log = await installation.open()
        for start in range(0, 400, 100):
            await fill(log, "t", start, 100, key="k")
        consumer = log.consumer("g", "t")
        found: list[int] = []
        while chunks := await consumer.read(max_records=most, max_bytes=1 << 30, wait=0):
            numbers = [int(value) for value in values_of(chunks)]
            assert 1 <= len(numbers) <= most
            found += numbers
        assert found == list(range(400))

    @pytest.mark.parametrize("most", [1, 100, 1000, 1001, 50_000])
    async def test_max_bytes_bounds_a_read(self, installation: Installation, most: int) -> None:
        log = await installation.open()
        values = [bytes([n % 256]) * (n * 37 % 500) for n in range(300)]
        await log.submit([log.route("t", "k")] * 300, values)
        await log.submit([log.route("t", "k")] * 300, values)
        consumer = log.consumer("g", "t")
        found: list[bytes] = []
        while chunks := await consumer.read(max_records=ALL, max_bytes=most, wait=0):
            read = values_of(chunks)
            assert len(read) == 1 or sum(map(len, read)) <= most
            found += read
        assert found == values * 2

    @pytest.mark.parametrize(("records", "size"), [(1, 1), (0, 0), (ALL, 0), (0, ALL)])
    async def test_at_least_one_record_whatever_the_bounds(
        self, installation: Installation, records: int, size: int
    ) -> None:
        log = await installation.open()
        values = [b"x" * 100_000, b"", b"y"]
        await log.submit([log.route("t", "k")] * 3, values)
        consumer = log.consumer("g", "t")
        for value in values:
            assert value in values_of(await consumer.read(max_records=records, max_bytes=size, wait=0))[:1]

    async def test_a_busy_partition_starves_no_other(self, installation: Installation) -> None:
        log = await installation.open()
        keys = {log.route("t", f"k{n}").partition: f"k{n}" for n in range(100)}
        for partition, key in keys.items():
            await fill(log, "t", 0, 5000 if partition == 1 else 10, key=key)
        consumer = log.consumer("g", "t")
        seen: set[int] = set()
        for _ in range(len(keys) + 1):
            seen |= {chunk.partition for chunk in await consumer.read(max_records=100, max_bytes=1 << 20, wait=0)}
        assert seen == {0, 1, 2, 3}

    async def test_the_time_of_a_chunk_is_when_it_was_appended(self, installation: Installation) -> None:
        log = await installation.open()
        before = now_us()
        await fill(log, "t", 0, 10, key="k")
        between = now_us()
        await fill(log, "t", 10, 10, key="k")
        first, second = await read_all(log, "t")
        assert before < first.time < between < second.time < now_us()

    async def test_nothing_to_read_is_an_empty_list(self, installation: Installation) -> None:
        log = await installation.open()
        consumer = log.consumer("g", "no such topic")
        assert await consumer.read(**EVERYTHING, wait=0.0) == []
        assert await consumer.read(**EVERYTHING, wait=0.02) == []
        await consumer.commit()
        await consumer.close()

    async def test_a_record_wakes_who_waits(self, installation: Installation) -> None:
        log = await installation.open()
        for number in range(5):
            consumer = log.consumer("g", "t", start="latest")
            waiting = asyncio.create_task(consumer.read(**EVERYTHING, wait=10 * HANG))
            await asyncio.sleep(0.02 * number)
            await fill(log, "t", number, 1)
            async with asyncio.timeout(HANG):
                assert values_of(await waiting) == [b"%d" % number]

    async def test_everybody_is_woken_while_others_are_busy(self, installation: Installation) -> None:
        """Sixty consumers on as many topics, each waiting for its next record, records in any order."""
        log = await installation.open()
        topics = [f"app-{n}" for n in range(60)]

        async def follow(topic: str) -> list[bytes]:
            consumer, seen = log.consumer("g", topic), list[bytes]()
            while len(seen) < 8:
                seen += values_of(await consumer.read(max_records=3, max_bytes=ALL, wait=10 * HANG))
            return seen

        following = [asyncio.create_task(follow(topic)) for topic in topics]
        for number in range(8):
            for topic in topics[:: 1 if number % 2 else -1]:
                await log.append(topic, "k", b"%d" % number)
        async with asyncio.timeout(HANG):
            assert await asyncio.gather(*following) == [[b"%d" % n for n in range(8)]] * 60

    async def test_a_read_that_is_given_up_loses_nothing(self, installation: Installation) -> None:
        log = await installation.open()
        consumer = log.consumer("g", "t")
        seen: list[bytes] = []
        given_up = 0
        for number in range(100):
            reading = asyncio.create_task(consumer.read(**EVERYTHING, wait=0.01))
            appending = asyncio.create_task(log.append("t", "k", b"%d" % number))
            await asyncio.sleep(0.0005 * (number % 7))
            reading.cancel()
            await asyncio.wait([reading, appending])
            if reading.cancelled():
                given_up += 1
            else:
                seen += values_of(reading.result())
        seen += values_of(await read_on(consumer))
        assert given_up
        assert seen == [b"%d" % n for n in range(100)]

    async def test_many_consumers_at_once(self, installation: Installation) -> None:
        log = await installation.open()
        reader = await installation.reader()
        await fill(log, "t", 0, 200)

        async def read(group: int) -> int:
            side = reader if group % 2 else log
            consumer = side.consumer(f"group-{group}", "t")
            count = 0
            while count < 400:
                count += len(values_of(await consumer.read(max_records=33, max_bytes=ALL, wait=HANG)))
            await consumer.commit()
            return count

        reading = [asyncio.create_task(read(group)) for group in range(40)]
        await fill(log, "t", 200, 200)
        async with asyncio.timeout(HANG):
            assert await asyncio.gather(*reading) == [400] * 40

    async def test_a_slow_reader_never_stops_the_writer(self, installation: Installation) -> None:
        log = await installation.open()
        reader = await installation.reader()
        await fill(log, "t", 0, 5000, key="k")
        slow = [side.consumer("slow", "t") for side in (log, reader)]
        for consumer in slow:
            assert len(values_of(await consumer.read(max_records=1, max_bytes=1, wait=0))) == 1
        async with asyncio.timeout(HANG):
            for number in range(5000, 5400):
                await fill(log, "t", number, 1, key="k")
        for consumer in slow:
            assert [int(value) for value in values_of(await read_on(consumer))] == list(range(1, 5400))

    async def test_another_process_reads_what_is_appended(self, installation: Installation) -> None:
        """It starts before there is a log, and is woken by each record."""
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.log.reading",
            installation.engine.name,
            str(installation.place),
            "t",
            "30",
            stdout=asyncio.subprocess.PIPE,
            env=child_environment(),
        )
        assert child.stdout is not None
        try:
            async with asyncio.timeout(HANG):
                assert await child.stdout.readline() == b"ready\n"
                log = await installation.open()
                for number in range(30):
                    await log.append("t", f"k{number}", b"%d" % number)
                    assert await child.stdout.readline() == b"%d\n" % number
                assert await child.wait() == 0
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        assert await read_on(log.consumer("other-process", "t")) == []  # it committed
