# SPDX-License-Identifier: Apache-2.0
"""Contract, second part: queries, lists, and what a reader says of a store that is not there."""

from __future__ import annotations

import pytest

from freehold.core.errors import FreeholdError
from freehold.store.interfaces import Aggregate, Query, StoreStats
from tests.store.telemetry import APP, DAY, HOUR, MINUTE, OTHER, SECOND, T0, Both, Telemetry, as_dict, row, typed

AGGREGATES: tuple[Aggregate, ...] = ("mean", "min", "max", "sum", "count", "last")


class ReadContract:
    async def test_nothing_was_ever_written(self, telemetry: Telemetry) -> None:
        reader = telemetry.reader()
        assert await reader.query(Query(APP, 0, 1 << 62)) == []
        assert await reader.query(Query(APP, 0, 1 << 62, every=MINUTE)) == []
        assert await reader.newer(APP, {("a", "b", "c"): 0}, limit=5) == []
        assert await reader.series(APP) == []
        assert await reader.states(APP) == []
        assert await reader.dead_letters(APP, limit=5) == []
        assert await reader.dead_letter(APP, "x") is None
        assert await reader.stats(APP) == StoreStats(0, 0, 0, None)

    async def test_a_reader_that_was_first_sees_what_comes(self, telemetry: Telemetry) -> None:
        reader = telemetry.reader()
        assert await reader.series(APP) == []
        both = Both(telemetry, await telemetry.open(), reader)
        assert await both.query() == []
        await both.write(row(T0, {"x": 1}))
        assert await both.points() == [(T0, 1)]

    async def test_the_range_has_its_start_and_not_its_end(self, both: Both) -> None:
        await both.write(*(row(T0 + n, {"x": n}) for n in range(5)))
        assert await both.points(start=T0 + 1, end=T0 + 3) == [(T0 + 1, 1), (T0 + 2, 2)]
        assert await both.points(start=T0 + 5, end=T0 + 9) == []
        assert await both.points(start=T0 + 3, end=T0 + 3) == []

    @pytest.mark.parametrize(
        ("selection", "expected"),
        [
            ({}, {"a/m/x", "a/m/y", "a/n/x", "b/m/x", "b/m/y", "b/n/x"}),
            ({"devices": ["b"]}, {"b/m/x", "b/m/y", "b/n/x"}),
            ({"measurements": ["n"]}, {"a/n/x", "b/n/x"}),
            ({"fields": ["y"]}, {"a/m/y", "b/m/y"}),
            ({"devices": ["a", "b"], "measurements": ["m"], "fields": ["x", "none"]}, {"a/m/x", "b/m/x"}),
            ({"devices": ["none"]}, set()),
            ({"devices": ["a' OR '1'='1"]}, set()),
            ({"fields": ["%"]}, set()),
        ],
    )
    async def test_selections(self, both: Both, selection: dict[str, list[str]], expected: set[str]) -> None:
        for device in "ab":
            await both.write(
                row(T0, {"x": 1, "y": 2}, device=device, measurement="m"),
                row(T0, {"x": 3}, device=device, measurement="n"),
                row(T0, {"x": 4}, device=device, measurement="n", application=OTHER),
            )
        for rest in ({}, {"every": MINUTE}):
            found = as_dict(await both.query(**selection, **rest))  # type: ignore[arg-type]
            assert {"/".join(key) for key in found} == expected

    async def test_series_are_sorted_by_device_measurement_and_field(self, both: Both) -> None:
        for device in "bca":
            await both.write(
                row(T0, {"z": 1, "y": 2}, device=device), row(T0, {"k": 2}, device=device, measurement="a")
            )
        keys = [(series.device, series.measurement, series.field) for series in await both.query()]
        assert keys == sorted(keys)
        assert len(keys) == 9

    async def test_another_application_sees_nothing(self, both: Both) -> None:
        await both.write(row(T0, {"x": 1}))
        assert await both.reader.query(Query(OTHER, 0, 1 << 62)) == []
        assert await both.reader.series(OTHER) == []
        assert await both.reader.newer(OTHER, {("pi1", "state", "x"): 0}, limit=5) == []
        assert (await both.reader.stats(OTHER)).points == 0

    @pytest.mark.parametrize(
        ("aggregate", "expected"),
        [
            ("mean", [2.0, 10.0]),
            ("min", [1, 10]),
            ("max", [3.5, 10]),
            ("sum", [6.0, 10.0]),
            ("count", [5, 2]),
            ("last", ["text", 10]),
        ],
    )
    @pytest.mark.parametrize("settled", [False, True])
    @pytest.mark.parametrize("every", [MINUTE, 10 * SECOND, HOUR, DAY, 90 * SECOND])
    async def test_aggregates(
        self, both: Both, aggregate: Aggregate, expected: list[object], settled: bool, every: int
    ) -> None:
        """mean, min, max and sum of numbers only; count and last of values of every type."""
        values = [1, 1.5, 3.5, True, "text"]
        await both.write(*(row(T0 + n, {"x": value}) for n, value in enumerate(values)))
        await both.write(row(T0 + 4 * DAY, {"x": False}, seq=1), row(T0 + 4 * DAY, {"x": 10}, seq=2))
        if settled:
            await both.settle()
        points = await both.points(every=every, aggregate=aggregate)
        starts = [T0 // every * every, (T0 + 4 * DAY) // every * every]
        assert points == list(zip(starts, expected, strict=True))
        assert typed([value for _, value in points]) == typed(expected)

    @pytest.mark.parametrize("aggregate", ["mean", "min", "max", "sum"])
    @pytest.mark.parametrize("settled", [False, True])
    async def test_a_series_of_text_has_no_numbers(self, both: Both, aggregate: Aggregate, settled: bool) -> None:
        await both.write(row(T0, {"x": "12"}), row(T0 + 1, {"x": True}))
        if settled:
            await both.settle()
        assert await both.query(every=MINUTE, aggregate=aggregate) == []

    @pytest.mark.parametrize("values", [[1e308, 1e308], [1e308, 1e308, -1e308, -1e308, -1e308], [2**62] * 4])
    @pytest.mark.parametrize("spread", [1, MINUTE])
    @pytest.mark.parametrize("settled", [False, True])
    async def test_a_sum_past_what_a_number_holds_blocks_nothing(
        self, both: Both, values: list[float], spread: int, settled: bool
    ) -> None:
        await both.write(*(row(T0 + n * spread, {"x": value}) for n, value in enumerate(values)))
        await both.write(row(T0 + HOUR, {"x": 1}))
        if settled:
            await both.settle()
        for aggregate in AGGREGATES:
            points = await both.points(every=HOUR, aggregate=aggregate)
            assert points[-1] == (T0 + HOUR, 1)
            assert all(isinstance(value, int | float) and abs(value) < float("inf") for _, value in points)
        assert (await both.points(every=HOUR, aggregate="max"))[0][1] == max(values)
        if isinstance(values[0], int):
            assert (await both.points(every=HOUR, aggregate="sum"))[0][1] == float(2**64)

    @pytest.mark.parametrize("settled", [False, True])
    @pytest.mark.parametrize("aggregate", AGGREGATES)
    async def test_the_edges_of_the_range_cut_buckets(self, both: Both, aggregate: Aggregate, settled: bool) -> None:
        await both.write(*(row(T0 + n * 10 * SECOND, {"x": n}) for n in range(360 * 3)))
        if settled:
            await both.settle()
        start, end = T0 + 15 * SECOND, T0 + 2 * HOUR + 5 * SECOND
        kept = [n for n in range(360 * 3) if start <= T0 + n * 10 * SECOND < end]
        by_hour = [[n for n in kept if n // 360 == hour] for hour in range(3)]
        numbers = {
            "mean": [sum(part) / len(part) for part in by_hour],
            "min": [part[0] for part in by_hour],
            "max": [part[-1] for part in by_hour],
            "sum": [float(sum(part)) for part in by_hour],
            "count": [len(part) for part in by_hour],
            "last": [part[-1] for part in by_hour],
        }[aggregate]
        points = await both.points(start=start, end=end, every=HOUR, aggregate=aggregate)
        assert points == [(T0 + hour * HOUR, number) for hour, number in enumerate(numbers)]

    @pytest.mark.parametrize("settled", [False, True])
    @pytest.mark.parametrize("every", [None, SECOND, MINUTE, HOUR])
    @pytest.mark.parametrize("limit", [1, 3, 1000])
    async def test_a_limit_keeps_the_newest_of_each_series(
        self, both: Both, every: int | None, limit: int, settled: bool
    ) -> None:
        for device in "ab":
            await both.write(*(row(T0 + n * HOUR + n, {"x": n}, device=device) for n in range(5)))
        if settled:
            await both.settle()
        found = as_dict(await both.query(every=every, limit=limit, aggregate="last"))
        for device in "ab":
            assert [value for _, value in found[device, "state", "x"]] == list(range(5))[-limit:]

    async def test_an_answer_larger_than_the_bound_is_refused(self, telemetry: Telemetry) -> None:
        both = Both(telemetry, await telemetry.open(), telemetry.reader(most=10))
        await both.write(*(row(T0 + n, {"x": n, "y": n}) for n in range(6)))
        with pytest.raises(FreeholdError, match=r"telemetry\.query\.invalid: the answer has more than 10 points"):
            await both.query()
        assert len(await both.query(limit=5)) == 2
        assert len(await both.query(every=MINUTE)) == 2

    @pytest.mark.parametrize("every", [0, -1])
    async def test_a_bucket_without_length_is_refused(self, both: Both, every: int) -> None:
        with pytest.raises(FreeholdError, match=r"telemetry\.query\.invalid"):
            await both.query(every=every)

    async def test_newer_tells_what_came_since(self, both: Both) -> None:
        await both.write(*(row(T0 + n, {"x": n, "y": str(n)}) for n in range(5)), row(T0, {"x": 9}, device="late"))
        after = {("pi1", "state", "x"): T0 + 2, ("late", "state", "x"): T0, ("none", "state", "x"): 0}
        found = as_dict(await both.reader.newer(APP, after, limit=100))
        assert found == {("pi1", "state", "x"): [(T0 + 3, 3), (T0 + 4, 4)]}
        found = as_dict(await both.reader.newer(APP, {("pi1", "state", "y"): -1}, limit=2))
        assert found == {("pi1", "state", "y"): [(T0 + 3, "3"), (T0 + 4, "4")]}
        assert await both.reader.newer(APP, {}, limit=2) == []

    @pytest.mark.parametrize("settled", [False, True])
    async def test_the_newest_value_of_each_series(self, both: Both, settled: bool) -> None:
        await both.write(
            row(T0, {"rare": True, "x": 1}),
            row(T0 + 3 * DAY, {"x": 2.5}, seq=1),
            row(T0 + 3 * DAY, {"x": 3, "y": "text"}, seq=2),
            row(T0 + 5 * DAY, {"z": 1}, device="pi2"),
        )
        if settled:
            await both.settle()
        await both.write(row(T0 - DAY, {"x": 0, "rare": False}), row(T0 + 1, {"rare": 7}, measurement="other"))
        found = {
            (info.device, info.measurement, info.field): (info.last_time, info.last_value)
            for info in await both.reader.series(APP)
        }
        assert found == {
            ("pi1", "other", "rare"): (T0 + 1, 7),
            ("pi1", "state", "rare"): (T0, True),
            ("pi1", "state", "x"): (T0 + 3 * DAY, 3),
            ("pi1", "state", "y"): (T0 + 3 * DAY, "text"),
            ("pi2", "state", "z"): (T0 + 5 * DAY, 1),
        }
        assert found["pi1", "state", "rare"][1] is True
        assert [info.device for info in await both.reader.series(APP, devices=["pi2", "none"])] == ["pi2"]

    @pytest.mark.parametrize("settled", [False, True])
    async def test_stats_count_points(self, both: Both, settled: bool) -> None:
        await both.write(*(row(T0 + n * MINUTE, {"x": n, "y": True, "z": "t"}) for n in range(10)))
        await both.write(row(T0 - 5, {"x": 1}), row(T0, {"x": 1}, application=OTHER))
        if settled:
            await both.settle()
            await both.write(row(T0 + 1, {"x": 1, "y": False}), row(T0 + 60 * MINUTE, {"x": 1}))
        stats = await both.reader.stats(APP)
        assert stats.points == (34 if settled else 31)
        assert stats.oldest == T0 - 5
        assert stats.bytes > 0
        assert (await both.reader.stats(OTHER)).points == 1
