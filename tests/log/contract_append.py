# SPDX-License-Identifier: Apache-2.0
"""The contract's half about appending: what an acknowledgement means, order, partitions, refusals."""

from __future__ import annotations

import asyncio
from collections import defaultdict

import pytest

from freehold.core.errors import OVERLOADED, SHUTTING_DOWN, FreeholdError, Refusal
from freehold.core.settings import Log as LogSettings
from freehold.log.interfaces import EventLog, Route
from tests.log.installation import FOUR, Installation, by_partition, offsets_of, read_all, read_on, values_of

HOSTILE_KEYS = ["", "a", "a/b", "ä", "\0", "\ud800", "%2F", "'; DROP TABLE batches; --", "x" * 10_000]


async def _append_all(log: EventLog, topic: str, pairs: list[tuple[str, bytes]]) -> None:
    await log.submit([log.route(topic, key) for key, _ in pairs], [value for _, value in pairs])


class AppendContract:
    async def test_what_is_acknowledged_is_there_for_others(self, installation: Installation) -> None:
        log = await installation.open()
        for number in range(20):
            await log.append("t", "key", b"%d" % number)
            other = await installation.reader()
            assert values_of(await read_all(other, "t"))[-1] == b"%d" % number

    async def test_what_is_acknowledged_is_there_after_a_restart(self, installation: Installation) -> None:
        log = await installation.open()
        await _append_all(log, "t", [(f"k{n % 7}", b"%d" % n) for n in range(1000)])
        await installation.close()
        log = await installation.open()
        assert sorted(map(int, values_of(await read_all(log, "t")))) == list(range(1000))

    async def test_submissions_resolve_in_their_order(self, installation: Installation) -> None:
        log = await installation.open()
        resolved: list[int] = []
        futures: list[asyncio.Future[None]] = []
        for number in range(600):
            future = log.submit([log.route(f"t{number % 3}", f"k{number % 11}")], [b"%d" % number])
            future.add_done_callback(lambda _, number=number: resolved.append(number))  # type: ignore[misc]
            futures.append(future)
            if number % 13 == 0:
                await asyncio.sleep(0)  # so that they fall into many commits
        await asyncio.gather(*futures)
        await asyncio.sleep(0)
        assert resolved == list(range(600))

    async def test_all_of_a_submission_becomes_readable_or_nothing(self, installation: Installation) -> None:
        log = await installation.open()
        reader = await installation.reader()
        width = 8
        routes = [log.route("t", f"k{n}") for n in range(width)]
        assert len({route.partition for route in routes}) > 1
        consumer = reader.consumer("g", "t")
        count: dict[bytes, int] = defaultdict(int)

        async def write() -> None:
            for number in range(200):
                await log.submit(routes, [b"%d" % number] * width)

        writing = asyncio.create_task(write())
        while not writing.done() or sum(count.values()) < 200 * width:
            for value in values_of(await consumer.read(max_records=50, max_bytes=1 << 30, wait=0)):
                count[value] += 1
            begun = list(count)
            for value in values_of(await read_on(consumer)):
                count[value] += 1
            assert {value: count[value] for value in begun} == dict.fromkeys(begun, width)
        await writing
        assert len(count) == 200

    async def test_records_of_one_key_stay_in_order(self, installation: Installation) -> None:
        log = await installation.open()

        async def device(key: str) -> None:
            for number in range(0, 120, 3):
                # In flight together, and in submissions of different widths, as pipelining devices do.
                route = log.route("t", key)
                first = log.submit([route], [f"{key} {number}".encode()])
                both = log.submit([route, route], [f"{key} {number + 1}".encode(), f"{key} {number + 2}".encode()])
                await asyncio.gather(first, both)

        await asyncio.gather(*(device(f"device-{n}") for n in range(20)))
        seen: dict[bytes, list[int]] = defaultdict(list)
        for value in values_of(await read_all(log, "t")):
            key, number = value.split()
            seen[key].append(int(number))
        assert seen == {b"device-%d" % n: list(range(120)) for n in range(20)}

    async def test_offsets_are_dense_from_zero(self, installation: Installation) -> None:
        log = await installation.open()
        for start in range(0, 300, 30):
            await _append_all(log, "t", [(f"k{n}", b"x") for n in range(start, start + 30)])
        await installation.close()
        log = await installation.open()
        await _append_all(log, "t", [(f"k{n}", b"x") for n in range(100)])
        found = offsets_of(await read_all(log, "t"))
        assert set(found) == {0, 1, 2, 3}
        assert sum(map(len, found.values())) == 400
        assert all(offsets == list(range(len(offsets))) for offsets in found.values())

    @pytest.mark.parametrize("key", HOSTILE_KEYS, ids=range(len(HOSTILE_KEYS)))
    async def test_any_text_is_a_key_and_a_topic(self, installation: Installation, key: str) -> None:
        log = await installation.open()
        topic = key.encode("utf-8", "replace").decode()  # a topic is an application's uid: always encodable
        await log.append(topic, key, b"value")
        chunks = await read_all(log, topic)
        assert by_partition(chunks) == {log.route(topic, key).partition: [(0, b"value")]}

    async def test_a_key_has_one_route(self, installation: Installation) -> None:
        log = await installation.open()
        routes = {key: log.route("t", key) for key in HOSTILE_KEYS}
        await log.append("t", "a", b"")
        assert all(log.route("t", key) is route for key, route in routes.items())
        assert {route.topic for route in routes.values()} == {"t"}
        assert {log.route("t", f"k{n}").partition for n in range(200)} == {0, 1, 2, 3}

    async def test_partitions_outlast_restarts_and_settings(self, installation: Installation) -> None:
        log = await installation.open()
        keys = [f"device-{n}" for n in range(50)]
        before = {key: log.route("t", key).partition for key in keys}
        await _append_all(log, "t", [(key, b"1") for key in keys])
        await installation.close()
        log = await installation.open(LogSettings(partitions=9))
        assert {key: log.route("t", key).partition for key in keys} == before
        await _append_all(log, "t", [(key, b"2") for key in keys])
        assert set(offsets_of(await read_all(log, "t"))) == {0, 1, 2, 3}
        assert {log.route("new", f"k{n}").partition for n in range(300)} == set(range(9))

    @pytest.mark.parametrize("size", [0, 1, 100, 65_536, 1_048_576])
    async def test_values_of_any_size(self, installation: Installation, size: int) -> None:
        log = await installation.open()
        values = [b"", bytes(range(256)) * (size // 256) + b"x" * (size % 256), b"", b"\0" * size]
        await log.submit([log.route("t", "k")] * 4, values)
        assert values_of(await read_all(log, "t")) == values

    async def test_many_records_in_one_submission(self, installation: Installation) -> None:
        log = await installation.open()
        values = [b"%d" % n for n in range(20_000)]
        await log.submit([log.route("t", "k")] * len(values), values)
        assert values_of(await read_all(log, "t")) == values

    async def test_a_submission_of_nothing_resolves(self, installation: Installation) -> None:
        log = await installation.open()
        await log.submit([], [])
        assert await log.topics() == []

    async def test_many_topics(self, installation: Installation) -> None:
        log = await installation.open()
        topics = [f"app-{n}" for n in range(200)]
        for round_ in range(3):
            routes: list[Route] = [log.route(topic, "k") for topic in topics]
            await log.submit(routes, [f"{topic} {round_}".encode() for topic in topics])
        assert sorted(await log.topics()) == sorted(topics)
        for topic in topics[::20]:
            assert values_of(await read_all(log, topic)) == [f"{topic} {round_}".encode() for round_ in range(3)]

    async def test_an_unequal_submission_harms_nobody_else(self, installation: Installation) -> None:
        log = await installation.open()
        route = log.route("t", "k")
        good = log.submit([route], [b"good"])
        with pytest.raises(ValueError, match="2 routes for 1 values"):
            log.submit([route, route], [b"bad"])
        await good
        assert values_of(await read_all(log, "t")) == [b"good"]

    async def test_whoever_gives_up_waiting_disturbs_nobody(self, installation: Installation) -> None:
        log = await installation.open()
        route = log.route("t", "k")
        futures = [log.submit([route], [b"%d" % n]) for n in range(10)]
        futures[3].cancel()
        await asyncio.gather(*futures[:3], *futures[4:])
        await log.append("t", "k", b"10")
        assert values_of(await read_all(log, "t")) == [b"%d" % n for n in range(11)]

    async def test_overload_refuses_at_once_and_takes_nothing(self, installation: Installation) -> None:
        log = await installation.open(LogSettings(partitions=4, queue_bytes=65_536))
        route = log.route("t", "k")
        taken: list[asyncio.Future[None]] = []
        refusals: list[Refusal] = []
        for number in range(300):
            try:
                taken.append(log.submit([route, route], [b"%d" % number, b"x" * 1000]))
            except FreeholdError as refusal:
                refusals.append(refusal.refusal)
        assert len(refusals) > 200  # 64 KiB hold some sixty of them
        assert set(refusals) == {OVERLOADED}
        await asyncio.gather(*taken)
        assert len(values_of(await read_all(log, "t"))) == 2 * len(taken)
        await log.append("t", "k", b"afterwards it takes again")
        assert log.health() is None

    async def test_drain_waits_for_what_was_taken_and_refuses_more(self, installation: Installation) -> None:
        log = await installation.open()
        route = log.route("t", "k")
        futures = [log.submit([route], [b"%d" % n]) for n in range(100)]
        await log.drain()
        await asyncio.sleep(0)
        assert all(future.done() and future.exception() is None for future in futures)
        with pytest.raises(FreeholdError) as refused:
            log.submit([route], [b"late"])
        assert refused.value.refusal is SHUTTING_DOWN
        with pytest.raises(FreeholdError):
            await log.append("t", "k", b"late")
        assert values_of(await read_all(log, "t")) == [b"%d" % n for n in range(100)]

    async def test_nothing_is_taken_before_start_nor_after_stop(self, installation: Installation) -> None:
        fresh = installation.engine.log(installation.place, FOUR)
        with pytest.raises(FreeholdError):
            fresh.submit([fresh.route("t", "k")], [b"early"])
        log = await installation.open()
        await installation.close()
        for attempt in (log.append("t", "k", b"late"), log.delete_topic("t"), log.retain(age_us=0, bytes_per_topic=0)):
            with pytest.raises(FreeholdError) as refused:
                await attempt
            assert refused.value.refusal is SHUTTING_DOWN
