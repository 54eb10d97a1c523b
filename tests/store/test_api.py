# SPDX-License-Identifier: Apache-2.0
"""`/api/v1/apps/{app}/telemetry`, `/telemetry/series` and `/dead-letters` over a store that runs."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pyarrow as pa
import pytest
from fastapi import FastAPI, Request

from freehold.core.clock import now_us, to_rfc3339
from freehold.core.errors import NOT_FOUND
from freehold.events.models import encode
from freehold.store.api import router
from tests.store.telemetry import APP, HOUR, MINUTE, SECOND, T0, Both, Telemetry, letter, row
from tests.store.test_rows import event

BASE = "/api/v1/apps/shop/telemetry"


class Guard:
    """Stands for identity and registry: knows one application, and what was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    async def resolve(self, _request: Request, name: str, permission: str) -> str:
        self.asked.append((name, permission))
        if name != "shop":
            raise NOT_FOUND.error(f"no application {name!r}")
        return APP


@pytest.fixture
def guard() -> Guard:
    return Guard()


@pytest.fixture
async def client(both: Both, guard: Guard) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    app.include_router(router(reader=both.reader, resolve=guard.resolve))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://freehold.test") as made:
        yield made


@pytest.fixture
async def measured(both: Both) -> list[int]:
    """Times of ten points a minute apart, the newest half a minute ago."""
    now = now_us()
    times = [now - 30 * SECOND - n * MINUTE for n in reversed(range(10))]
    await both.write(*(row(time, {"temp": 20.0 + n, "on": n % 2 == 0}) for n, time in enumerate(times)))
    await both.write(row(times[-1], {"temp": 5}, device="pi2", measurement="other"))
    return times


async def test_json_is_the_default(client: httpx.AsyncClient, measured: list[int], guard: Guard) -> None:
    answer = await client.get(BASE, params={"field": "temp", "device": "pi1"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    (series,) = answer.json()["series"]
    assert series["times"] == measured
    assert series["values"] == [20.0 + n for n in range(10)]
    assert guard.asked == [("shop", "app.read")]


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", {"pi1/state/on", "pi1/state/temp", "pi2/other/temp"}),
        ("device=pi2", {"pi2/other/temp"}),
        ("device=pi1&device=pi2&field=temp", {"pi1/state/temp", "pi2/other/temp"}),
        ("measurement=state&field=on", {"pi1/state/on"}),
        ("field=none", set()),
        ("start=-20s", set()),
        ("end=-1h", set()),
    ],
)
@pytest.mark.usefixtures("measured")
async def test_selection(client: httpx.AsyncClient, query: str, names: set[str]) -> None:
    found = (await client.get(f"{BASE}?{query}")).json()["series"]
    assert {"/".join((series["device"], series["measurement"], series["field"])) for series in found} == names


async def test_times_in_every_form(client: httpx.AsyncClient, measured: list[int]) -> None:
    for start in (to_rfc3339(measured[3]), str(measured[3]), f"{measured[3] / 1e6:.6f}"):
        answer = await client.get(BASE, params={"start": start, "field": "temp", "device": "pi1"})
        assert answer.json()["series"][0]["times"] == measured[3:]
    answer = await client.get(BASE, params={"start": "now-2m", "end": "now", "field": "temp", "device": "pi1"})
    assert answer.json()["series"][0]["times"] == measured[-2:]


async def test_aggregates(client: httpx.AsyncClient, both: Both) -> None:
    await both.write(*(row(T0 + n * MINUTE, {"temp": n}) for n in range(120)))
    params = {"start": to_rfc3339(T0), "end": to_rfc3339(T0 + 3 * HOUR), "every": "1h"}
    answer = (await client.get(BASE, params=params)).json()
    assert (answer["everySeconds"], answer["aggregate"]) == (3600, "mean")
    assert answer["series"][0]["times"] == [T0, T0 + HOUR]
    assert answer["series"][0]["values"] == [29.5, 89.5]
    answer = (await client.get(BASE, params=params | {"aggregate": "max", "limit": "1"})).json()
    assert (answer["aggregate"], answer["series"][0]["values"]) == ("max", [119])


async def test_csv_by_accept_and_by_name(client: httpx.AsyncClient, measured: list[int]) -> None:
    by_accept = await client.get(BASE, headers={"Accept": "text/csv"}, params={"end": str(measured[-1] + 1)})
    by_name = await client.get(BASE, params={"format": "csv", "end": str(measured[-1] + 1)})
    assert by_accept.headers["content-type"].startswith("text/csv")
    assert "Accept" in by_accept.headers["vary"]
    assert by_accept.content == by_name.content
    rows = list(csv.DictReader(io.StringIO(by_accept.text)))
    assert len(rows) == 21
    assert rows[0] == {
        "time": to_rfc3339(measured[0]),
        "device": "pi1",
        "measurement": "state",
        "field": "on",
        "value": "true",
    }


async def test_arrow_by_accept(client: httpx.AsyncClient, measured: list[int]) -> None:
    answer = await client.get(BASE, headers={"Accept": "application/vnd.apache.arrow.stream"})
    assert answer.headers["content-type"] == "application/vnd.apache.arrow.stream"
    table = pa.ipc.open_stream(answer.content).read_all()
    assert table.num_rows == 21
    assert table.column("time").cast(pa.int64()).to_pylist()[:10] == measured


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("start=yesterday", "`start`"),
        ("end=2023-11-14", "`end`"),
        ("every=5y", "`every`"),
        ("every=0s", "`every`"),
        ("aggregate=mean", "`aggregate` needs `every`"),
        ("start=now&end=-1h", "`start` lies after `end`"),
        ("every=1m&aggregate=median", "aggregate"),
        ("limit=0", "limit"),
        ("limit=9999999", "limit"),
        ("format=xml", "format"),
        ("start=" + "1" * 99, "start"),
        ("&".join(f"device={n}" for n in range(201)), "device"),
    ],
)
async def test_what_cannot_be_understood_is_named(client: httpx.AsyncClient, query: str, word: str) -> None:
    answer = await client.get(f"{BASE}?{query}")
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert word in answer.json()["detail"]
    assert len(answer.text) < 1500


async def test_a_form_that_we_do_not_have_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.get(BASE, headers={"Accept": "image/png"})
    assert (answer.status_code, answer.json()["code"]) == (400, "telemetry.query.invalid")


@pytest.mark.parametrize("path", ["telemetry", "telemetry/series", "telemetry/live", "dead-letters"])
async def test_an_application_that_is_not_there(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(f"/api/v1/apps/other/{path}")
    assert (answer.status_code, answer.json()["code"]) == (404, "resource.not-found")


async def test_an_answer_past_the_bound_is_refused(telemetry: Telemetry, guard: Guard, both: Both) -> None:
    await both.write(*(row(T0 + n, {"x": n}) for n in range(20)))
    app = FastAPI()
    app.include_router(router(reader=telemetry.reader(most=10), resolve=guard.resolve))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://freehold.test") as client:
        answer = await client.get(BASE, params={"start": "0"})
        assert (answer.status_code, answer.json()["code"]) == (400, "telemetry.query.invalid")
        assert "more than 10 points" in answer.json()["detail"]


async def test_series_with_their_newest_values(client: httpx.AsyncClient, measured: list[int]) -> None:
    found = (await client.get(f"{BASE}/series")).json()["series"]
    assert found[0] == {
        "device": "pi1",
        "measurement": "state",
        "field": "on",
        "lastTime": to_rfc3339(measured[-1]),
        "lastValue": False,
    }
    assert [info["lastValue"] for info in found] == [False, 29.0, 5]
    found = (await client.get(f"{BASE}/series", params={"device": "pi2"})).json()["series"]
    assert [info["device"] for info in found] == ["pi2"]


async def test_dead_letters_in_pages(client: httpx.AsyncClient, both: Both) -> None:
    sent = event({"temp": 1}, id="not a uuid")
    letters = [replace(letter(n, detail="Traceback <b>"), event=encode(sent)) for n in range(5)]
    await both.write(dead_letters=letters)
    first = (await client.get("/api/v1/apps/shop/dead-letters", params={"limit": 3})).json()
    assert [found["reason"] for found in first["deadLetters"]] == ["reason 4", "reason 3", "reason 2"]
    found = first["deadLetters"][0]
    assert found["event"]["data"] == {"temp": 1}
    assert found["event"]["id"] == "not a uuid"
    assert (found["id"], found["processorVersion"], found["detail"]) == ("event-000004", 3, "Traceback <b>")
    second = (await client.get("/api/v1/apps/shop/dead-letters", params={"limit": 3, "before": first["next"]})).json()
    assert [found["reason"] for found in second["deadLetters"]] == ["reason 1", "reason 0"]
    assert second["next"] is None
    await both.write(dead_letters=[letter(9)])  # its event is no event
    third = (await client.get("/api/v1/apps/shop/dead-letters")).json()["deadLetters"]
    assert [(found["reason"], found["event"] is None) for found in third][:2] == [
        ("reason 9", True),
        ("reason 4", False),
    ]
    answer = await client.get("/api/v1/apps/shop/dead-letters", params={"before": "x"})
    assert (answer.status_code, answer.json()["code"]) == (400, "telemetry.query.invalid")


async def test_a_store_that_was_never_written(telemetry: Telemetry, guard: Guard) -> None:
    app = FastAPI()
    app.include_router(router(reader=telemetry.reader(), resolve=guard.resolve))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://freehold.test") as client:
        assert (await client.get(BASE)).json()["series"] == []
        assert (await client.get(f"{BASE}/series")).json() == {"series": []}
        assert (await client.get("/api/v1/apps/shop/dead-letters")).json() == {"deadLetters": [], "next": None}
