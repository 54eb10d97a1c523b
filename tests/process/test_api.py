# SPDX-License-Identifier: Apache-2.0
"""The routes of processors, as HTTP clients see them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI, Request

from freehold.core.bus import MemoryBus
from freehold.core.database import METADATA, Database
from freehold.core.errors import FORBIDDEN, NOT_FOUND
from freehold.events.models import Event
from freehold.process.api import router
from freehold.process.interfaces import Sandbox
from freehold.process.service import ProcessorService
from freehold.process.tables import active, versions
from freehold.process.template import TEMPLATE
from tests.process.making import event

UID = "5f0c3f62-3d8a-4d2c-a5a4-6a1b6f0f3c11"
BASE = "/api/v1/apps/plant/processor"
DOUBLE = "def main(data):\n    print('x is', data['x'])\n    return {'x': data['x'] * 2}\n"
RECORDED = [event({"x": number}) for number in range(5)]


async def resolve(request: Request, app: str, permission: str) -> str:
    """A guest may read, an owner everything, and there is one application."""
    if app != "plant":
        raise NOT_FOUND.error()
    if permission != "app.read" and request.headers.get("person") != "owner":
        raise FORBIDDEN.error(f"This needs the permission {permission}")
    return UID


async def recorded(application: str, most: int) -> Sequence[Event]:
    assert application == UID
    return RECORDED[-most:]


async def author(request: Request) -> str:
    return request.headers["person"]


@pytest.fixture
async def client(tmp_path: Path, bubblewrap: Sandbox) -> AsyncIterator[httpx.AsyncClient]:
    database = Database.sqlite(tmp_path / "meta.db")
    METADATA.create_all(database.engine, tables=[versions, active])
    service = ProcessorService(
        database=database, bus=MemoryBus(), sandbox=bubblewrap, folder=tmp_path / "process", versions_kept=5
    )
    app = FastAPI()
    app.include_router(
        router(processors=service, sandbox=bubblewrap, resolve=resolve, reader_of_recent_events=recorded, author=author)
    )
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://x", headers={"person": "owner"}) as client:
        yield client
    database.close()


async def test_61_the_life_of_a_processor(client: httpx.AsyncClient) -> None:
    found = (await client.get(BASE)).json()
    assert found == {"active": None, "versions": [], "template": TEMPLATE, "isolated": True, "problem": None}

    answer = await client.post(f"{BASE}/versions", json={"source": DOUBLE, "note": "first"})
    assert answer.status_code == 201
    first = answer.json()
    assert first | {"created": ""} == {
        "number": 1,
        "created": "",
        "author": "owner",
        "note": "first",
        "packages": [],
        "active": False,
        "source": DOUBLE,
    }
    assert first["created"].endswith("Z")
    assert (await client.post(f"{BASE}/versions", json={"source": DOUBLE})).json()["number"] == 2

    for number in (1, 2):
        assert (await client.post(f"{BASE}/versions/{number}/activate")).status_code == 204
    assert (await client.get(BASE)).json()["active"] == 2
    assert (await client.post(f"{BASE}/rollback")).json()["number"] == 1
    found = (await client.get(BASE)).json()
    assert (found["active"], [version["number"] for version in found["versions"]]) == (1, [2, 1])
    assert (await client.delete(BASE)).status_code == 204
    assert (await client.get(BASE)).json()["active"] is None


async def test_a_run_over_given_payloads(client: httpx.AsyncClient) -> None:
    body = {"source": DOUBLE, "events": [{"x": 4}, {"y": 1}, 5]}
    answer = await client.post(f"{BASE}/try", json=body)
    assert answer.status_code == 200
    result = answer.json()
    good, bad, other = result["results"]
    assert good["input"] == '{"x":4}'
    assert good["rows"] == [{"measurement": None, "sensor": None, "time": None, "data": {"x": 8}}]
    assert bad["failed"]["reason"] == "KeyError: 'x'"
    assert "processor.py" in bad["failed"]["detail"]
    assert other["failed"]["reason"] == "KeyError: 'x'"
    assert result["printed"] == "x is 4\n"
    assert (await client.get(BASE)).json()["versions"] == []


async def test_a_run_over_recorded_events(client: httpx.AsyncClient) -> None:
    source = "def main(data, event):\n    return {'measurement': 'm', 'time': 0, 'data': {'by': event['device']}}\n"
    result = (await client.post(f"{BASE}/try", json={"source": source, "recent": 2})).json()
    assert [one["id"] for one in result["results"]] == [one.id for one in RECORDED[-2:]]
    assert result["results"][0]["rows"] == [
        {"measurement": "m", "sensor": None, "time": "1970-01-01T00:00:00.000000Z", "data": {"by": "my-dev"}}
    ]


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("versions", {"source": "def"}, 422, "processor.invalid"),
        ("versions", {"source": DOUBLE, "packages": ["-r"]}, 422, "processor.package.invalid"),
        ("versions", {"source": "x" * 300_000}, 400, "request.invalid"),
        ("versions", {}, 400, "request.invalid"),
        ("versions", {"source": DOUBLE, "surprise": 1}, 400, "request.invalid"),
        ("versions", {"source": DOUBLE, "packages": "numpy"}, 400, "request.invalid"),
        ("try", {"source": "import nothing_like_it"}, 422, "processor.invalid"),
        ("try", {"source": DOUBLE, "recent": 201}, 400, "request.invalid"),
        ("try", {"source": DOUBLE, "recent": -1}, 400, "request.invalid"),
        ("try", {"source": DOUBLE, "events": [{}] * 1001}, 400, "request.invalid"),
        ("versions/7/activate", None, 404, "resource.not-found"),
        ("versions/x/activate", None, 400, "request.invalid"),
        ("rollback", None, 404, "resource.not-found"),
    ],
)
async def test_every_refusal_teaches(
    client: httpx.AsyncClient, path: str, body: object, status: int, code: str
) -> None:
    answer = await client.post(f"{BASE}/{path}", json=body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["code"] == code
    assert problem["detail"]
    assert problem["remedy"]


async def test_text_that_is_not_unicode_is_refused(client: httpx.AsyncClient) -> None:
    for body in (b'{"source": "\\ud800"}', b'{"source": "def main(d): ...", "events": ["\\ud800"]}'):
        answer = await client.post(f"{BASE}/try", content=body, headers={"content-type": "application/json"})
        assert answer.status_code in (400, 422)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/versions"),
        ("POST", "/try"),
        ("POST", "/versions/1/activate"),
        ("POST", "/rollback"),
        ("DELETE", ""),
    ],
)
async def test_who_may_only_read_changes_nothing(client: httpx.AsyncClient, method: str, path: str) -> None:
    body = {"source": DOUBLE} if path in ("/versions", "/try") else None
    answer = await client.request(method, BASE + path, json=body, headers={"person": "guest"})
    assert answer.status_code == 403
    assert (await client.get(BASE, headers={"person": "guest"})).status_code == 200


async def test_an_application_that_is_not_there(client: httpx.AsyncClient) -> None:
    assert (await client.get("/api/v1/apps/other/processor")).status_code == 404
