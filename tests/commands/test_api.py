# SPDX-License-Identifier: Apache-2.0
"""The commands API (drogue.md 3.5, check 56) over ASGI, as clients meet it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from freehold.commands.api import DROGUE, PAYLOAD_BYTES, router
from freehold.commands.service import CommandService
from freehold.core.errors import FORBIDDEN, NOT_FOUND, FreeholdError
from freehold.identity.interfaces import Permission

DEVICES = f"{DROGUE}/apps/app1/devices"


class Doorkeeper:
    """Lets everybody do everything with app1 but what `denied` says; remembers what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.denied: set[str] = set()

    async def __call__(self, request: Request, application: str, permission: str) -> str:
        self.asked.append((application, permission))
        if permission in self.denied:
            raise FORBIDDEN.error()
        if application != "app1":
            raise NOT_FOUND.error()
        return "uid-app1"


@pytest.fixture
def doorkeeper() -> Doorkeeper:
    return Doorkeeper()


@pytest_asyncio.fixture
async def client(service: CommandService, doorkeeper: Doorkeeper) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    app.include_router(router(service, doorkeeper))

    @app.exception_handler(FreeholdError)
    async def refused(_: Request, error: FreeholdError) -> JSONResponse:
        return JSONResponse(error.problem(), status_code=error.refusal.status)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as client:
        yield client


async def test_alive(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"{DROGUE}/")
    assert (answer.status_code, answer.json()) == (200, {"success": True})


async def test_drogue_56_accepted_is_202_empty_and_says_where_to_look(client: httpx.AsyncClient) -> None:
    answer = await client.post(f"{DEVICES}/device1?command=SET", json={"on": True})
    assert (answer.status_code, answer.content) == (202, b"")
    life = await client.get(answer.headers["location"])
    assert life.status_code == 200
    assert life.json() == {
        "id": answer.headers["command-id"],
        "application": "app1",
        "device": "device1",
        "command": "SET",
        "contentType": "application/json",
        "size": 11,
        "state": "accepted",
        "created": "2027-01-15T08:00:00.000000Z",
        "expires": "2027-01-15T08:00:30.000000Z",
    }


@pytest.mark.parametrize(
    ("path", "content", "headers", "status", "error"),
    [
        (f"{DEVICES}/device1", b"", {}, 400, "InvalidRequest"),
        (f"{DEVICES}/device1?command=", b"", {}, 400, "InvalidRequest"),
        (f"{DEVICES}/device1?command=a%0d%0ab", b"", {}, 400, "InvalidRequest"),
        (f"{DEVICES}/nobody?command=SET", b"", {}, 406, "NotAcceptable"),
        (f"{DROGUE}/apps/other/devices/device1?command=SET", b"", {}, 404, "NotFound"),
        (f"{DEVICES}/device1?command=SET", b"{oops", {"content-type": "application/json"}, 406, "NotAcceptable"),
        (f"{DEVICES}/device1?command=SET", b"x" * (PAYLOAD_BYTES + 1), {}, 413, "PayloadTooLarge"),
    ],
)
async def test_drogue_56_refusals(
    client: httpx.AsyncClient,
    service: CommandService,
    path: str,
    content: bytes,
    headers: dict[str, str],
    status: int,
    error: str,
) -> None:
    answer = await client.post(path, content=content, headers=headers)
    assert answer.status_code == status
    assert answer.json()["error"] == error
    assert answer.json()["message"]
    assert await service.list("uid-app1") == []


async def test_drogue_56_an_unknown_application_is_named_as_drogue_names_it(client: httpx.AsyncClient) -> None:
    answer = await client.post(f"{DROGUE}/apps/other/devices/device1?command=SET")
    assert answer.json() == {"error": "NotFound", "message": "Resource not found: Application / other"}


async def test_largest_payload_is_taken(client: httpx.AsyncClient) -> None:
    answer = await client.post(f"{DEVICES}/device1?command=SET", content=b"x" * PAYLOAD_BYTES)
    assert answer.status_code == 202


async def test_device_names_may_hold_slashes_and_other_text(client: httpx.AsyncClient, devices: Any) -> None:
    devices.add("bar/baz ü")
    answer = await client.post(f"{DEVICES}/bar%2Fbaz%20%C3%BC?command=SET")
    assert answer.status_code == 202


async def test_sending_and_looking_need_permissions_of_their_own(
    client: httpx.AsyncClient, doorkeeper: Doorkeeper
) -> None:
    doorkeeper.denied = {Permission.COMMAND_SEND}
    refused = await client.post(f"{DEVICES}/device1?command=SET")
    assert (refused.status_code, refused.json()["error"]) == (403, "Forbidden")
    assert (await client.get("/api/v1/apps/app1/commands")).status_code == 200
    assert doorkeeper.asked == [("app1", Permission.COMMAND_SEND), ("app1", Permission.APP_READ)]


async def test_permission_is_asked_before_anything_else_is_looked_at(
    client: httpx.AsyncClient, doorkeeper: Doorkeeper
) -> None:
    doorkeeper.denied = {Permission.COMMAND_SEND}
    for query in ("", "?command=", "?command=SET"):
        answer = await client.post(f"{DEVICES}/nobody{query}", content=b"{oops")
        assert answer.status_code == 403


async def test_history_in_pages(client: httpx.AsyncClient) -> None:
    for number in range(5):
        device = "device1" if number % 2 else "dev2"
        await client.post(f"{DEVICES}/{device}?command=C{number}")
    first = (await client.get("/api/v1/apps/app1/commands?limit=3")).json()
    assert [each["command"] for each in first["commands"]] == ["C4", "C3", "C2"]
    rest = (await client.get(f"/api/v1/apps/app1/commands?limit=3&before={first['next']}")).json()
    assert [each["command"] for each in rest["commands"]] == ["C1", "C0"]
    assert rest["next"] is None
    only = (await client.get("/api/v1/apps/app1/commands?device=device1")).json()
    assert [each["command"] for each in only["commands"]] == ["C3", "C1"]


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x"])
async def test_page_sizes_are_bounded(client: httpx.AsyncClient, query: str) -> None:
    assert (await client.get(f"/api/v1/apps/app1/commands?{query}")).status_code == 422


async def test_what_is_not_yours_is_not_there(client: httpx.AsyncClient) -> None:
    for path in ("/api/v1/apps/app1/commands/nothing", "/api/v1/apps/other/commands", "/api/v1/apps/other/commands/x"):
        answer = await client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "resource.not-found")
