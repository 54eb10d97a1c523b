# SPDX-License-Identifier: Apache-2.0
"""Contract, third part: device states, dead letters, retention and the end of an application."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from freehold.core.clock import now_us
from freehold.store.interfaces import Batch, DeviceState
from tests.store.telemetry import APP, DAY, HOUR, MINUTE, OTHER, SECOND, T0, Both, as_dict, letter, row

LONG = 100_000 * DAY


class KeepContract:
    async def test_the_newest_state_of_each_device_stays(self, both: Both) -> None:
        await both.write(states=[DeviceState(APP, "b", T0, "x", True), DeviceState(APP, "a", T0, "x")])
        await both.write(states=[DeviceState(APP, "b", T0 + 5, "y"), DeviceState(OTHER, "b", T0 + 9, "z", False)])
        await both.write(states=[DeviceState(APP, "b", T0 + 2, "late", False)])
        assert await both.reader.states(APP) == [
            DeviceState(APP, "a", T0, "x", None),
            DeviceState(APP, "b", T0 + 5, "y", True),
        ]
        await both.write(states=[DeviceState(APP, "b", T0 + 6, "y", False)])
        assert (await both.reader.states(APP))[1].connected is False

    async def test_dead_letters_come_newest_first_and_in_pages(self, both: Both) -> None:
        await both.write(dead_letters=[letter(n) for n in range(10)])
        await both.write(dead_letters=[letter(99, application=OTHER)])
        first = await both.reader.dead_letters(APP, limit=4)
        assert first == [letter(n) for n in (9, 8, 7, 6)]
        second = await both.reader.dead_letters(APP, limit=40, before=first[-1].time)
        assert second == [letter(n) for n in (5, 4, 3, 2, 1, 0)]
        assert await both.reader.dead_letter(APP, letter(3).event_id) == letter(3)
        assert await both.reader.dead_letter(APP, letter(99).event_id) is None

    async def test_dead_letters_are_bounded_and_the_oldest_leave(self, both: Both) -> None:
        for start in range(0, 120, 20):
            await both.write(dead_letters=[letter(n) for n in range(start, start + 20)])
        await both.write(dead_letters=[letter(1, application=OTHER)])
        kept = await both.reader.dead_letters(APP, limit=1000)
        assert kept == [letter(n) for n in range(119, 69, -1)]
        assert (await both.reader.stats(APP)).dead_letters == 50
        assert (await both.reader.stats(OTHER)).dead_letters == 1
        await both.writer.retain(age_us=LONG, rollup_age_us=LONG, dead_letters=7)
        assert await both.reader.dead_letters(APP, limit=1000) == [letter(n) for n in range(119, 112, -1)]

    async def test_one_that_fails_again_replaces_itself_and_one_that_is_resolved_leaves(self, both: Both) -> None:
        again = replace(letter(1), reason="another", processor_version=9)
        await both.write(dead_letters=[letter(0), letter(1)])
        await both.write(dead_letters=[again])
        assert await both.reader.dead_letters(APP, limit=9) == [again, letter(0)]
        await both.write(row(T0, {"x": 1}), resolved=[(APP, again.event_id), (OTHER, letter(0).event_id)])
        assert await both.reader.dead_letters(APP, limit=9) == [letter(0)]

    async def test_a_long_detail_is_cut(self, both: Both) -> None:
        await both.write(dead_letters=[letter(0, detail="x\ud800" * 9000)])
        found = await both.reader.dead_letter(APP, letter(0).event_id)
        assert found is not None
        assert len(found.detail) == 8192

    async def test_retention_takes_old_values_and_leaves_their_averages(self, both: Both) -> None:
        now = now_us() // HOUR * HOUR
        old, new = now - 10 * DAY, now - DAY
        await both.write(*(row(old + n * SECOND, {"x": n, "s": "t"}) for n in range(4000)))
        await both.write(*(row(new + n, {"x": n}) for n in range(5)))
        before = [await both.query(every=every, aggregate="mean", end=now) for every in (MINUTE, HOUR, DAY)]
        gone = await both.writer.retain(age_us=5 * DAY, rollup_age_us=LONG, dead_letters=9)
        assert gone == 8000
        assert await both.points(fields=["x"]) == [(new + n, n) for n in range(5)]
        assert [await both.query(every=every, aggregate="mean", end=now) for every in (MINUTE, HOUR, DAY)] == before
        assert await both.query(every=SECOND, end=old + DAY) == []
        stats = await both.reader.stats(APP)
        assert (stats.points, stats.oldest) == (5, new)
        info = {found.field: (found.last_time, found.last_value) for found in await both.reader.series(APP)}
        assert info["x"] == (new + 4, 4)
        assert info["s"][1] == "t"
        assert await both.writer.retain(age_us=5 * DAY, rollup_age_us=LONG, dead_letters=9) == 0

    async def test_what_comes_later_than_retention_changes_nothing(self, both: Both) -> None:
        now = now_us() // HOUR * HOUR
        old = now - 10 * DAY
        await both.write(*(row(old + n * SECOND, {"x": n}) for n in range(100)))
        await both.writer.retain(age_us=5 * DAY, rollup_age_us=LONG, dead_letters=9)
        before = await both.query(every=HOUR, aggregate="count")
        await both.write(row(old + 7, {"x": 1}), row(old + 7, {"x": 1}, device="new"), row(now, {"x": 1}))
        await both.settle()
        assert await both.query(every=HOUR, aggregate="count", end=now) == before
        assert await both.points() == [(now, 1)]

    async def test_averages_have_an_age_of_their_own(self, both: Both) -> None:
        now = now_us() // HOUR * HOUR
        for days in (30, 20, 10, 1):
            await both.write(row(now - days * DAY, {"x": days}), row(now - days * DAY, {"y": 1}, device=f"d{days}"))
        await both.writer.retain(age_us=5 * DAY, rollup_age_us=15 * DAY, dead_letters=9)
        points = await both.points(every=HOUR, aggregate="last", fields=["x"])
        assert [value for _, value in points] == [10, 1]
        assert {info.device for info in await both.reader.series(APP)} == {"pi1", "d10", "d1"}
        await both.write(row(now, {"y": 2}, device="d30"))
        assert as_dict(await both.query(devices=["d30"])) == {("d30", "state", "y"): [(now, 2)]}

    async def test_rows_are_written_while_retention_runs(self, both: Both) -> None:
        now = now_us() // HOUR * HOUR
        rows = [row(now - 9 * DAY + n * SECOND, {"x": n}) for n in range(20_000)]
        await both.writer.write(Batch(rows=rows))

        async def write() -> int:
            written = 0
            while not done.is_set():
                await both.write(row(now + written, {"y": written}))
                written += 1
            return written

        done = asyncio.Event()
        writing = asyncio.create_task(write())
        gone = await both.writer.retain(age_us=DAY, rollup_age_us=LONG, dead_letters=9)
        done.set()
        written = await writing
        assert gone == 20_000
        assert written > 0
        assert await both.points(fields=["y"]) == [(now + n, n) for n in range(written)]

    @pytest.mark.parametrize("part", ["rows", "states", "dead_letters", "positions"])
    async def test_applications_are_those_of_which_anything_is_held(self, both: Both, part: str) -> None:
        assert await both.writer.applications() == []
        whole = {
            "rows": [row(T0, {"x": 1})],
            "states": [DeviceState(APP, "pi1", T0, "state")],
            "dead_letters": [letter(1)],
            "positions": {(APP, 0): 1},
        }
        await both.writer.write(Batch(**{part: whole[part]}))  # type: ignore[arg-type]
        assert await both.writer.applications() == [APP]
        await both.writer.purge(APP)
        assert await both.writer.applications() == []

    @pytest.mark.parametrize("settled", [False, True])
    async def test_purge_removes_everything_of_one_application(self, both: Both, settled: bool) -> None:
        for application in (APP, OTHER):
            await both.write(
                *(row(T0 + n * SECOND, {"x": n, "s": "t"}, application=application) for n in range(5000)),
                states=[DeviceState(application, "pi1", T0, "state")],
                dead_letters=[letter(n, application=application) for n in range(9)],
                positions={(application, 0): 5000},
            )
        if settled:
            await both.settle()
        other = [(await both.reader.stats(OTHER)).points, await both.reader.series(OTHER)]
        await both.writer.purge(APP)
        for rest in ({}, {"every": HOUR}):
            assert await both.query(**rest) == []  # type: ignore[arg-type]
        assert await both.reader.series(APP) == []
        assert await both.reader.states(APP) == []
        assert await both.reader.dead_letters(APP, limit=9) == []
        assert await both.writer.positions(APP) == {}
        assert (await both.reader.stats(APP)).points == 0
        assert [(await both.reader.stats(OTHER)).points, await both.reader.series(OTHER)] == other
        assert await both.writer.positions(OTHER) == {0: 5000}
        await both.write(row(T0, {"x": 1}, device="again"))
        assert as_dict(await both.query()) == {("again", "state", "x"): [(T0, 1)]}
        await both.settle()
        assert as_dict(await both.query(every=HOUR)) == {("again", "state", "x"): [(T0, 1.0)]}
