# SPDX-License-Identifier: Apache-2.0
"""The contract's half about keeping: retention, deletion, and what a log says about its topics."""

from __future__ import annotations

import asyncio

from freehold.core.clock import now_us
from freehold.core.settings import Log as LogSettings
from tests.log.contract_read import HANG, fill
from tests.log.installation import ALL, FOUR, Installation, offsets_of, read_all, read_on, values_of

FOREVER_US = 10**15
NO_BOUND = 1 << 50


class KeepContract:
    async def test_retention_by_age_takes_the_old_only(self, installation: Installation) -> None:
        log = await installation.open()
        await fill(log, "t", 0, 100)
        await asyncio.sleep(0.2)
        moment = now_us()
        await asyncio.sleep(0.2)
        await fill(log, "t", 100, 100)
        before = await log.stats("t")
        removed = await log.retain(age_us=now_us() - moment, bytes_per_topic=NO_BOUND)
        after = await log.stats("t")
        assert sorted(int(value) for value in values_of(await read_all(log, "t"))) == list(range(100, 200))
        assert removed == before.bytes - after.bytes > 0
        assert after.oldest is not None
        assert after.oldest > moment
        assert after.next == before.next
        assert await log.retain(age_us=now_us() - moment, bytes_per_topic=NO_BOUND) == 0

    async def test_retention_by_size_takes_the_oldest_first(self, installation: Installation) -> None:
        log = await installation.open()
        for number in range(60):
            await log.append("large", f"k{number}", b"%06d" % number + b"x" * 10_000)
            await log.append("small", f"k{number}", b"%06d" % number)
        small = await log.stats("small")
        removed = await log.retain(age_us=FOREVER_US, bytes_per_topic=300_000)
        large = await log.stats("large")
        assert 250_000 < large.bytes <= 300_000
        assert removed > 250_000
        assert await log.stats("small") == small
        kept = sorted(int(value[:6]) for value in values_of(await read_all(log, "large")))
        assert kept == list(range(60 - len(kept), 60))
        assert await log.retain(age_us=FOREVER_US, bytes_per_topic=300_000) == 0

    async def test_positions_outlast_a_retention_that_takes_all(self, installation: Installation) -> None:
        log = await installation.open()
        await fill(log, "t", 0, 100)
        consumer = log.consumer("g", "t")
        await read_on(consumer)
        await consumer.commit()
        ends = dict((await log.stats("t")).next)
        assert await log.retain(age_us=0, bytes_per_topic=NO_BOUND) > 0
        await installation.close()
        log = await installation.open()
        emptied = await log.stats("t")
        assert (dict(emptied.first), dict(emptied.next)) == (ends, ends)
        assert (emptied.bytes, emptied.oldest) == (0, None)
        assert await log.topics() == ["t"]  # so that who cleans up finds it when its application is gone
        await fill(log, "t", 100, 100)
        for reading in (log.consumer("g", "t"), log.consumer("new", "t")):
            found = await read_on(reading)
            assert sorted(int(value) for value in values_of(found)) == list(range(100, 200))
            assert {partition: offsets[0] for partition, offsets in offsets_of(found).items()} == ends

    async def test_a_position_that_is_gone_means_the_oldest(self, installation: Installation) -> None:
        log = await installation.open()
        for start in range(0, 100, 10):
            await fill(log, "t", start, 10, key="k")
        partition = log.route("t", "k").partition
        started, half_way = log.consumer("g", "t"), log.consumer("g", "t")
        await half_way.read(max_records=5, max_bytes=ALL, wait=0)
        size = (await log.stats("t")).bytes
        await log.retain(age_us=FOREVER_US, bytes_per_topic=size // 2)
        oldest = (await log.stats("t")).first[partition]
        assert 40 <= oldest <= 60
        for consumer in (started, half_way):
            assert consumer.positions() == {partition: oldest}
            assert [int(value) for value in values_of(await read_on(consumer))] == list(range(oldest, 100))
        await started.seek({partition: 3})
        assert values_of(await read_on(started))[0] == b"%d" % oldest

    async def test_retention_beside_appends_takes_nothing_young(self, installation: Installation) -> None:
        log = await installation.open()
        await fill(log, "t", 0, 2000)
        for number in range(100):
            await fill(log, "t", 2000 + number, 1)
        await asyncio.sleep(0.2)
        moment = now_us()
        await asyncio.sleep(0.2)
        cleaning = asyncio.create_task(log.retain(age_us=now_us() - moment, bytes_per_topic=NO_BOUND))
        for number in range(3000, 3100):
            await fill(log, "t", number, 1)
        async with asyncio.timeout(HANG):
            assert await cleaning > 0
        assert sorted(int(value) for value in values_of(await read_all(log, "t"))) == list(range(3000, 3100))

    async def test_retention_of_ages_beyond_time_itself(self, installation: Installation) -> None:
        log = await installation.open()
        await fill(log, "t", 0, 10)
        assert await log.retain(age_us=10**30, bytes_per_topic=NO_BOUND) == 0
        assert await log.retain(age_us=FOREVER_US, bytes_per_topic=0) > 0
        await fill(log, "t", 10, 1)  # and the log still works

    async def test_deleting_a_topic_takes_all_of_it_and_nothing_else(self, installation: Installation) -> None:
        log = await installation.open()
        for number in range(100):
            await fill(log, "gone", number, 1)
        await fill(log, "stays", 0, 100)
        for topic in ("gone", "stays"):
            consumer = log.consumer("g", topic)
            await read_on(consumer)
            await consumer.commit()
        stays = await log.stats("stays")
        await log.delete_topic("gone")
        assert await log.topics() == ["stays"]
        gone = await log.stats("gone")
        assert (dict(gone.first), dict(gone.next), gone.bytes, gone.oldest) == ({}, {}, 0, None)
        assert await read_all(log, "gone") == []
        assert await log.stats("stays") == stays
        assert await read_on(log.consumer("g", "stays")) == []

    async def test_a_topic_made_again_starts_clean(self, installation: Installation) -> None:
        log = await installation.open()
        await fill(log, "t", 0, 100)
        consumer = log.consumer("g", "t")
        await read_on(consumer)
        await consumer.commit()
        await log.delete_topic("t")
        await fill(log, "t", 1000, 40)
        await installation.close()
        log = await installation.open()
        await fill(log, "t", 1040, 40)
        found = await read_on(log.consumer("g", "t"))
        assert sorted(int(value) for value in values_of(found)) == list(range(1000, 1080))
        assert all(offsets == list(range(len(offsets))) for offsets in offsets_of(found).values())

    async def test_a_topic_made_again_has_the_partitions_of_today(self, installation: Installation) -> None:
        log = await installation.open()
        await fill(log, "t", 0, 40)
        await installation.close()
        nine = LogSettings(partitions=9)
        log = await installation.open(nine)
        await log.delete_topic("t")
        keys = [f"k{n}" for n in range(300)]
        partitions = {key: log.route("t", key).partition for key in keys}
        assert set(partitions.values()) == set(range(9))
        await fill(log, "t", 0, 40)
        await installation.close()
        log = await installation.open()
        assert {key: log.route("t", key).partition for key in keys} == partitions

    async def test_routes_from_before_a_deletion_do_no_harm(self, installation: Installation) -> None:
        """Devices stay connected for a moment after their application is deleted, with the routes they have."""
        log = await installation.open()
        old = [log.route("t", f"k{n}") for n in range(8)]
        await log.submit(old, [b"before"] * 8)
        await log.delete_topic("t")
        await log.submit(old, [b"old"] * 8)
        new = [log.route("t", f"k{n}") for n in range(8)]
        await log.submit(new, [b"new"] * 8)
        await log.submit(old + new, [b"old"] * 8 + [b"new"] * 8)
        await log.submit(old, [b"old"] * 8)
        found = await read_all(log, "t")
        assert sorted(values_of(found)) == [b"new"] * 16 + [b"old"] * 24
        assert all(offsets == list(range(len(offsets))) for offsets in offsets_of(found).values())

    async def test_deletion_takes_what_was_submitted_before(self, installation: Installation) -> None:
        log = await installation.open()
        await fill(log, "t", 0, 10)
        waiting = [log.submit([log.route("t", "k")], [b"%d" % n]) for n in range(100)]
        await log.delete_topic("t")
        await asyncio.gather(*waiting)
        assert await log.topics() == []
        assert await read_all(log, "t") == []

    async def test_deleting_what_is_not_there(self, installation: Installation) -> None:
        log = await installation.open()
        await log.delete_topic("never was")
        await fill(log, "t", 0, 1)
        await log.delete_topic("t")
        await log.delete_topic("t")
        assert await log.topics() == []

    async def test_deletion_beside_appends_to_others(self, installation: Installation) -> None:
        log = await installation.open()
        for number in range(150):
            await fill(log, "gone", number, 1)
        deleting = asyncio.create_task(log.delete_topic("gone"))
        for number in range(100):
            await fill(log, "stays", number, 1)
        async with asyncio.timeout(HANG):
            await deleting
        assert await log.topics() == ["stays"]
        assert len(values_of(await read_all(log, "stays"))) == 100

    async def test_stats_say_what_is_there(self, installation: Installation) -> None:
        log = await installation.open(FOUR)
        reader = await installation.reader()
        before = now_us()
        await fill(log, "t", 0, 100)
        after = now_us()
        await fill(log, "t", 100, 100)
        found = offsets_of(await read_all(log, "t"))
        for side in (log, reader):
            stats = await side.stats("t")
            assert stats.topic == "t"
            assert dict(stats.first) == dict.fromkeys(found, 0)
            assert dict(stats.next) == {partition: len(offsets) for partition, offsets in found.items()}
            assert stats.bytes >= sum(len(b"%d" % n) for n in range(200))
            assert stats.oldest is not None
            assert before < stats.oldest < after
            assert await side.topics() == ["t"]
