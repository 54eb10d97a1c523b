# SPDX-License-Identifier: Apache-2.0
"""MyT's acceptance checks (contract myt.md, section 4) as far as the store is concerned: event in, rows out."""

from __future__ import annotations

import resource
from typing import Any

import pytest

from freehold.core.clock import now_us, to_rfc3339
from freehold.core.ids import uuid7
from freehold.events.models import encode
from freehold.process.interfaces import Measured
from freehold.store.interfaces import Batch, DeadLetter
from freehold.store.rows import rows_of
from tests.store.telemetry import APP, MINUTE, SECOND, T0, Both, as_dict, typed
from tests.store.test_rows import event

SAMPLE = {"measurement": "sensorData", "sensor": "pi1", "data": {"temp": 22, "pressure": 15, "device": "pi1"}}


async def store(both: Both, payload: Any, measured: list[Measured] | None = None, **rest: Any) -> list[str]:
    """What the pipeline does with one event. Returns the reasons for a dead letter."""
    sent = event(payload, **({"id": uuid7()} | rest))
    rows, problems = rows_of(sent, measured)
    letters = [
        DeadLetter(APP, sent.id, sent.time, sent.device, sent.subject, p, "", encode(sent)) for p in problems[:1]
    ]
    await both.writer.write(Batch(rows=rows, dead_letters=letters))
    return problems


async def test_myt_39_one_row_with_measurement_sensor_numbers_and_time(both: Both) -> None:
    assert await store(both, SAMPLE) == []
    assert as_dict(await both.query()) == {
        ("pi1", "sensorData", "device"): [(T0, "pi1")],
        ("pi1", "sensorData", "pressure"): [(T0, 15)],
        ("pi1", "sensorData", "temp"): [(T0, 22)],
    }
    (found,) = await both.query(every=MINUTE, fields=["temp"])
    assert (found.measurement, list(found.values)) == ("sensorData", [22.0])


async def test_myt_40_what_the_processor_made_is_stored(both: Both) -> None:
    assert await store(both, SAMPLE, [Measured({"temp": 44}, measurement="sensorData", sensor="pi1")]) == []
    assert as_dict(await both.query()) == {("pi1", "sensorData", "temp"): [(T0, 44)]}


async def test_myt_44_int_then_float_and_float_then_int(both: Both) -> None:
    for index, temp in enumerate([22, 22.5, 23]):
        assert await store(both, {"temp": temp}, time=T0 + index) == []
    points = await both.points()
    assert typed([value for _, value in points]) == typed([22, 22.5, 23])
    for settled in (False, True):
        if settled:
            await both.settle()
        assert await both.points(every=MINUTE) == [(T0, 22.5)]


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (None, []),
        (True, [True]),
        (False, [False]),
        ("Größe 🌡 \u0000", ["Größe 🌡 \u0000"]),
        (2**63 - 1, [2**63 - 1]),
        (-(2**63), [-(2**63)]),
        (2**63, [float(2**63)]),
        (1e308, [1e308]),
        (10**400, []),
        (float("nan"), []),
        (float("inf"), []),
        ([1, 2], None),
        ({"a": 1}, None),
    ],
)
async def test_myt_45_odd_values_have_a_defined_result_and_block_nothing(
    both: Both, value: Any, stored: list[Any] | None
) -> None:
    assert await store(both, {"x": 1}, [Measured({"odd": value, "good": 1})]) == []
    assert await store(both, {"x": 1}, [Measured({"odd": 5, "good": 2})], time=T0 + 1) == []
    found = as_dict(await both.query())
    assert found["pi1", "state", "good"] == [(T0, 1), (T0 + 1, 2)]
    if stored is None:  # nested: its parts have names of their own
        assert {"odd.0", "odd.a"} & {name for _, _, name in found}
        stored = []
    values = [value for _, value in found["pi1", "state", "odd"]]
    assert typed(values) == typed([*stored, 5])
    assert await both.points(fields=["good"], every=MINUTE, aggregate="sum") == [(T0, 3.0)]


@pytest.mark.parametrize(
    "name", ["x) VALUES (1); DROP TABLE points; --", "x'; DROP TABLE sources; --", 'x"; --', "`x`", "x\x00y"]
)
async def test_myt_46_a_field_name_is_never_part_of_a_statement(both: Both, name: str) -> None:
    message = {"measurement": name, "sensor": name, "data": {name: 1, "temp": 2}}
    assert await store(both, message) == []
    await both.settle()
    found = as_dict(await both.query())
    assert found["pi1", name, name] == [(T0, 1)]
    assert found["pi1", name, "temp"] == [(T0, 2)]
    assert found["pi1", name, "sensor"] == [(T0, name)]
    assert await both.points(fields=[name], measurements=[name], every=MINUTE, aggregate="max") == [(T0, 1)]
    assert (await both.reader.stats(APP)).points == 3


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (to_rfc3339(T0 - 5 * SECOND), T0 - 5 * SECOND),
        (T0 // SECOND - 60, T0 - MINUTE),
        (T0 / SECOND + 0.25, T0 + SECOND // 4),
        (T0 // 1000 + 7, T0 + 7000),
        (T0 + 3, T0 + 3),
        (None, T0),
    ],
)
async def test_myt_54_the_devices_time_is_used_and_else_the_servers(both: Both, time: Any, expected: int) -> None:
    assert await store(both, SAMPLE | {"time": time}) == []
    assert await both.points(fields=["temp"]) == [(expected, 22)]


async def test_myt_54_the_servers_time_is_utc(both: Both) -> None:
    before = now_us()
    assert await store(both, SAMPLE, time=now_us()) == []
    ((time, _),) = await both.points(fields=["temp"])
    assert before <= time <= now_us()


async def test_myt_55_soak_4028_messages_are_4028_rows(both: Both) -> None:
    """The report's fortnight on a compressed clock: one message every five minutes, each once."""
    for n in range(4028):
        rows, problems = rows_of(event(SAMPLE, id=uuid7(), time=T0 + n * 5 * MINUTE), None)
        assert problems == []
        await both.writer.write(Batch(rows=rows, positions={(APP, 0): n + 1}))
    assert len(await both.points(fields=["temp"])) == 4028
    await both.settle()
    assert (await both.reader.stats(APP)).points == 3 * 4028
    counts = await both.points(fields=["temp"], every=24 * 60 * MINUTE, aggregate="count")
    assert [count for _, count in counts] == [288] * 13 + [284]


async def test_myt_56_numbers_stay_what_they_are(both: Both) -> None:
    """21.6 stays 21.6, and each type comes back as it went in."""
    assert await store(both, {"i": 21, "f": 21.6, "t": "21.6", "b": True}) == []
    found = {series.field: list(series.values) for series in await both.query()}
    assert {name: typed(values) for name, values in found.items()} == {
        "i": typed([21]),
        "f": typed([21.6]),
        "t": typed(["21.6"]),
        "b": typed([True]),
    }


async def test_myt_57_an_unknown_field_is_added_and_an_impossible_one_is_a_dead_letter(both: Both) -> None:
    assert await store(both, {"temp": 1}) == []
    assert await store(both, {"temp": 2, "new": "x"}, time=T0 + 1) == []
    problems = await store(both, {"temp": 3, "long": "x" * 9000}, time=T0 + 2)
    assert problems == ["the text in field 'long' is longer than 8192 bytes"]
    assert await store(both, {"temp": 4}, time=T0 + 3) == []
    assert [value for _, value in await both.points(fields=["temp"])] == [1, 2, 3, 4]
    assert [found.reason for found in await both.reader.dead_letters(APP, limit=9)] == problems


async def test_myt_26_memory_does_not_grow_with_the_number_of_messages(both: Both) -> None:
    """MyT kept 2.5 kB of every message for ever."""

    async def send(first: int) -> None:
        for start in range(first, first + 20_000, 1000):
            rows = [
                rows_of(event(SAMPLE, id=uuid7(), time=T0 + n * 1000), None)[0][0] for n in range(start, start + 1000)
            ]
            await both.writer.write(Batch(rows=rows, positions={(APP, 0): start + 1000}))

    await send(0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for first in range(20_000, 120_000, 20_000):
        await send(first)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    # The page cache of SQLite may fill up to its bound; 2.5 kB a message would be 250 MB.
    assert grown < 60_000
