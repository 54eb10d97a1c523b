# SPDX-License-Identifier: Apache-2.0
"""Contract, first part: what a write makes durable, and what a repeat of it does."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from freehold.store.interfaces import Batch, DeviceState
from tests.store.telemetry import APP, MINUTE, OTHER, T0, Both, Telemetry, as_dict, letter, row, typed


class WriteContract:
    async def test_rows_come_back_as_series_of_points(self, both: Both) -> None:
        await both.write(row(T0, {"temp": 22.5, "pressure": 15}), row(T0 + 7, {"temp": 23.5}))
        assert as_dict(await both.query()) == {
            ("pi1", "state", "pressure"): [(T0, 15)],
            ("pi1", "state", "temp"): [(T0, 22.5), (T0 + 7, 23.5)],
        }

    @pytest.mark.parametrize(
        "values",
        [
            [22, 22.5],
            [22.5, 22],
            [1, True, "1", 1.0, False, 0],
            ["", "text", "\x00", "'; DROP TABLE points; --", "Größe 温度 🌡"],
            [-(2**63), 2**63 - 1, 0, -1],
            [1e308, -1e308, 5e-324, 0.1, -0.0],
            [True, False],
        ],
        ids=["int-float", "float-int", "all", "text", "int64", "float64", "bool"],
    )
    async def test_values_keep_their_type_and_their_place_beside_others(self, both: Both, values: list[object]) -> None:
        """myt.md 2.3, case 18: no value of one type keeps values of another out."""
        for index, value in enumerate(values):
            await both.write(row(T0 + index, {"x": value}))  # type: ignore[dict-item]
        stored = [value for _, value in await both.points()]
        assert typed(stored) == typed(values)

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf"), None, [1], {"a": 1}, b"x", 10**400])
    async def test_what_is_no_value_is_left_out_and_stops_nothing(self, both: Both, value: object) -> None:
        bad = row(T0, {"odd": value, "good": 1, "text": "t"})  # type: ignore[dict-item]
        await asyncio.gather(
            both.write(row(T0 - 1, {"good": 0.5})), both.write(bad), both.write(row(T0 + 1, {"good": True}))
        )
        found = as_dict(await both.query())
        assert found["pi1", "state", "good"] == [(T0 - 1, 0.5), (T0, 1), (T0 + 1, True)]
        assert found["pi1", "state", "text"] == [(T0, "t")]
        assert ("pi1", "state", "odd") not in found

    @pytest.mark.parametrize("value", [2**63, 2**64, -(2**63) - 1, 10**30])
    async def test_an_integer_past_64_bits_becomes_a_float(self, both: Both, value: int) -> None:
        await both.write(row(T0, {"x": value}))
        assert typed([value for _, value in await both.points()]) == typed([float(value)])

    async def test_a_lone_surrogate_is_stored_as_the_replacement_character(self, both: Both) -> None:
        await both.write(row(T0, {"x\ud800": "a\udfffb"}, device="d\ud800"))
        assert as_dict(await both.query()) == {("d\ufffd", "state", "x\ufffd"): [(T0, "a\ufffdb")]}

    async def test_writing_again_changes_nothing(self, both: Both) -> None:
        batch = Batch(
            rows=[row(T0 + n, {"temp": n / 2, "on": n % 2 == 0, "text": str(n)}) for n in range(50)],
            states=[DeviceState(APP, "pi1", T0, "state", True)],
            dead_letters=[letter(1)],
            positions={(APP, 0): 50},
        )
        answers = []
        for _ in range(3):
            await both.writer.write(batch)
            await both.settle()
            answers.append(
                (
                    await both.query(),
                    await both.query(every=MINUTE, aggregate="count"),
                    await both.reader.states(APP),
                    await both.reader.dead_letters(APP, limit=10),
                    await both.writer.positions(APP),
                    (await both.reader.stats(APP)).points,
                )
            )
        assert answers[0] == answers[1] == answers[2]
        assert answers[0][-1] == 150

    async def test_a_row_written_again_with_other_fields_is_replaced(self, both: Both) -> None:
        wide = {f"field{n}": n for n in range(60)}
        await both.write(row(T0, wide, seq=1))
        await both.settle()
        await both.write(row(T0, {"field3": 3.5, "field59": "new", "extra": True}, seq=1))
        await both.settle()
        expected = {
            ("pi1", "state", "extra"): [(T0, True)],
            ("pi1", "state", "field3"): [(T0, 3.5)],
            ("pi1", "state", "field59"): [(T0, "new")],
        }
        assert as_dict(await both.query()) == expected
        hours = as_dict(await both.query(every=60 * MINUTE, aggregate="last"))
        assert {key: [value for _, value in points] for key, points in hours.items()} == {
            key: [value for _, value in points] for key, points in expected.items()
        }

    async def test_rows_of_one_time_are_told_apart_by_seq(self, both: Both) -> None:
        """myt.md 2.3, case 25: the same series and microsecond do not overwrite each other."""
        await both.write(row(T0, {"x": 2}, seq=9), row(T0, {"x": 1}, seq=4), row(T0, {"x": 3}, seq=2**62))
        assert await both.points() == [(T0, 1), (T0, 2), (T0, 3)]

    @pytest.mark.parametrize("count", [1, 16, 17, 100, 256])
    async def test_a_row_has_as_many_fields_as_it_likes_in_any_order(self, both: Both, count: int) -> None:
        names = [f"field {n}" for n in range(count)]
        await both.write(row(T0, {name: n for n, name in enumerate(names)}))
        await both.write(row(T0 + 1, {name: n + 0.5 for n, name in reversed(list(enumerate(names)))}))
        await both.write(row(T0 + 2, {names[-1]: -1}))
        found = as_dict(await both.query())
        assert len(found) == count
        for n, name in enumerate(names):
            expected = [(T0, n), (T0 + 1, n + 0.5)] + ([(T0 + 2, -1)] if name == names[-1] else [])
            assert found["pi1", "state", name] == expected

    async def test_names_are_values_and_never_part_of_a_statement(self, both: Both) -> None:
        hostile = ["x) VALUES (1); DROP TABLE points", 'a"b', "a'b", "[x]", "`x`", "x\x00y", "", " ", "%", "ä", "v0"]
        for index, name in enumerate(hostile):
            await both.write(row(T0 + index, {name: index}, device=name, measurement=name))
        found = as_dict(await both.query())
        assert found == {(name, name, name): [(T0 + index, index)] for index, name in enumerate(hostile)}

    async def test_positions_come_back_by_topic(self, both: Both) -> None:
        assert await both.writer.positions(APP) == {}
        await both.write(positions={(APP, 0): 5, (APP, 3): 1, (OTHER, 0): 99})
        await both.write(positions={(APP, 0): 7})
        assert await both.writer.positions(APP) == {0: 7, 3: 1}
        assert await both.writer.positions(OTHER) == {0: 99}

    async def test_batches_given_together_are_all_written_and_share_transactions(self, both: Both) -> None:
        before = both.commits()
        batches = [
            Batch(rows=[row(T0 + n * 100 + m, {"x": m}) for m in range(100)], positions={(APP, n): 100})
            for n in range(60)
        ]
        await asyncio.gather(*map(both.writer.write, batches))
        assert len(await both.points()) == 6000
        assert await both.writer.positions(APP) == dict.fromkeys(range(60), 100)
        assert both.commits() - before < 40

    async def test_more_batches_than_may_wait_are_all_written(self, both: Both) -> None:
        await asyncio.gather(*(both.write(row(T0 + n, {"x": n})) for n in range(500)))
        assert await both.points() == [(T0 + n, n) for n in range(500)]

    async def test_everything_is_there_after_a_restart(self, telemetry: Telemetry) -> None:
        first = Both(telemetry, await telemetry.open(), telemetry.reader())
        await first.write(
            row(T0, {"x": 1.5, "s": "text", "b": True}),
            states=[DeviceState(APP, "pi1", T0, "state")],
            dead_letters=[letter(1)],
            positions={(APP, 0): 1},
        )
        before = (await first.query(), await first.reader.states(APP), await first.reader.stats(APP))
        await telemetry.close()
        again = Both(telemetry, await telemetry.open(), telemetry.reader())
        assert (await again.query(), await again.reader.states(APP)) == before[:2]
        assert (await again.reader.stats(APP)).points == 3
        assert await again.writer.positions(APP) == {0: 1}
        assert await again.reader.dead_letter(APP, "event-000001") == letter(1)
        await again.write(row(T0, {"x": 1.5, "s": "text", "b": True}))
        assert await again.query() == before[0]

    async def test_readers_see_whole_batches_only(self, both: Both) -> None:
        """Rows, dead letters and states of one batch appear together, whoever looks and whenever."""

        async def write() -> None:
            for n in range(60):
                rows = [row(T0 + n * 10 + m, {"x": m}) for m in range(10)]
                await both.write(*rows, states=[DeviceState(APP, "pi1", T0 + n, "state")])

        async def look() -> None:
            for _ in itertools.repeat(None):
                points = len(await both.points())
                assert points % 10 == 0
                if points == 600:
                    return

        await asyncio.gather(write(), look(), look())

    async def test_health_is_good(self, both: Both) -> None:
        await both.write(row(T0, {"x": 1}))
        assert both.writer.health() is None

    async def test_a_stopped_store_refuses(self, telemetry: Telemetry) -> None:
        writer, reader = await telemetry.open(), telemetry.reader()
        await telemetry.close()
        with pytest.raises(Exception, match=r"platform\.stopping"):
            await writer.write(Batch(rows=[row(T0, {"x": 1})]))
        with pytest.raises(Exception, match=r"platform\.stopping"):
            await reader.states(APP)
