# SPDX-License-Identifier: Apache-2.0
"""`/api/v1/apps/{app}/events` over a real server and real connections, with real identities."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from sqlalchemy import insert

import freehold.deliver.stream
from freehold.core.bus import MemoryBus
from freehold.core.database import METADATA, Database
from freehold.deliver.api import BATCH, router
from freehold.deliver.service import Bounds, LiveEvents
from freehold.events.cloudevents import from_structured
from freehold.events.models import Event
from freehold.identity.authorize import RoleAuthorizer
from freehold.identity.service import IdentityService
from freehold.identity.tables import tenants
from freehold.log.sqlite.engine import SqliteLog
from freehold.registry.cache import CachedDirectory
from freehold.registry.interfaces import Preconditions
from freehold.registry.service import RegistryService
from freehold.registry.verifiers import Verifiers
from freehold.vault.service import Vault

from .conftest import Put, make_event
from .test_sse import parse

BOUNDS = Bounds(viewers=2, items=50, gulp=50, pace=0.0, heartbeat=0.2)
PATH = "/api/v1/apps/plant/events"


@dataclass
class Site:
    """A running API for one tenant's application `plant`."""

    client: httpx.AsyncClient
    live: LiveEvents
    identity: IdentityService
    registry: RegistryService
    tenant: str
    uid: str
    port: int
    database: Database


@pytest.fixture
async def site(log: SqliteLog, tmp_path: Path) -> AsyncIterator[Site]:
    database = Database.sqlite(tmp_path / "meta.db")
    METADATA.create_all(database.engine)
    (tmp_path / "keys").mkdir()
    vault = Vault.open(tmp_path / "keys", {})
    identity = IdentityService(database, vault)
    identity.ensure_first_owner()
    session = identity.redeem_link(identity.make_link(identity.first_owner()))
    principal = identity.session(session)
    assert principal is not None
    registry = RegistryService(database, vault, Verifiers(vault))
    registry.create_application(principal.tenant, {"metadata": {"name": "plant"}})
    uid = str(registry.get_application(principal.tenant, "plant").metadata["uid"])
    directory, live = CachedDirectory(database, MemoryBus()), LiveEvents(log, BOUNDS)
    await directory.start()
    await live.start()
    app = FastAPI()
    app.include_router(router(live=live, directory=directory, identity=identity, authorizer=RoleAuthorizer()))
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="off"))
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    serving = asyncio.create_task(server.serve([listening]))
    cookies = {"freehold_session": session}
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", cookies=cookies, trust_env=False) as client:
        yield Site(client, live, identity, registry, principal.tenant, uid, port, database)
        await live.drain()
    server.should_exit = True
    await serving
    await live.stop()
    await directory.stop()
    database.close()


def owned(site: Site, number: int, **fields: object) -> Event:
    return make_event(number, applicationuid=site.uid, **fields)  # type: ignore[arg-type]


class Stream:
    """Reads events of an open response as they come."""

    def __init__(self, response: httpx.Response) -> None:
        self._chunks = response.aiter_bytes()
        self._rest = b""
        self._events: list[dict[str, str]] = []

    async def next(self, name: str) -> dict[str, str]:
        """The next event of this name; others before it are skipped."""
        async with asyncio.timeout(20):
            while True:
                while self._events:
                    if (event := self._events.pop(0))["event"] == name:
                        return event
                self._rest += await anext(self._chunks)
                whole, end, self._rest = self._rest.rpartition(b"\n\n")
                self._events += parse(whole + end)


@contextlib.asynccontextmanager
async def watching(site: Site, query: str = "", **headers: str) -> AsyncIterator[Stream]:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    async with site.client.stream("GET", f"{PATH}?{query}", headers=names) as response:
        assert response.status_code == 200, (await response.aread())[:500]
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.headers["cache-control"] == "no-store"
        yield Stream(response)


def number(event: dict[str, str]) -> int:
    return int(json.loads(event["data"])["data"]["n"])


async def test_events_arrive_live_as_structured_cloud_events(site: Site, put: Put) -> None:
    async with watching(site) as stream:
        await stream.next("live")
        sent = owned(site, 1, device="boîte <1>")
        await put([sent], site.uid)
        received = await stream.next("event")
    assert from_structured(received["data"].encode()) == sent


async def test_the_backfill_comes_first(site: Site, put: Put) -> None:
    await put([owned(site, n) for n in range(5)], site.uid)
    async with watching(site, "backfill=2") as stream:
        assert [number(await stream.next("event")) for _ in range(2)] == [3, 4]
        await stream.next("live")
        await put([owned(site, 5)], site.uid)
        assert number(await stream.next("event")) == 5


@pytest.mark.parametrize("how", ["header", "query"])
async def test_a_client_resumes_exactly_where_it_was(site: Site, put: Put, how: str) -> None:
    await put([owned(site, n, device=f"d{n % 3}") for n in range(9)], site.uid)
    async with watching(site, "backfill=500") as stream:
        seen = [await stream.next("event") for _ in range(9)]
    await put([owned(site, 9)], site.uid)
    last = seen[4]["id"]
    query, headers = (f"last_event_id={last}", {}) if how == "query" else ("", {"last_event_id": last})
    async with watching(site, query, **headers) as stream:
        rest = [number(await stream.next("event")) for _ in range(5)]
    assert rest == [number(event) for event in seen[5:]] + [9]


async def test_filters(site: Site, put: Put) -> None:
    connection = {"type": "io.drogue.connection.v1", "subject": "connection"}
    await put([owned(site, 0), owned(site, 1, device="pump"), owned(site, 2, subject="state")], site.uid)
    await put([owned(site, 3, **connection)], site.uid)
    for query, wanted in {
        "device=pump": [1],
        "channel=state": [2],
        "type=io.drogue.connection.v1": [3],
        "device=boiler&channel=telemetry": [0],
        "device=&channel=&type=": [0, 1, 2, 3],
        "device=%3Cnobody%3E": [],
    }.items():
        answer = await site.client.get(f"{PATH}?format=json&{query}")
        assert sorted(event["data"]["n"] for event in answer.json()) == wanted, query


async def test_the_newest_events_without_a_stream(site: Site, put: Put) -> None:
    await put([owned(site, n) for n in range(60)], site.uid)
    answer = await site.client.get(f"{PATH}?format=json&limit=3")
    assert answer.headers["content-type"].startswith(BATCH)
    assert [event["data"]["n"] for event in answer.json()] == [57, 58, 59]
    assert len((await site.client.get(f"{PATH}?format=json")).json()) == 50


async def test_silence_is_filled_with_heartbeats(site: Site) -> None:
    async with site.client.stream("GET", PATH) as response:
        seen = b""
        async with asyncio.timeout(20):
            async for chunk in response.aiter_bytes():
                seen += chunk
                if seen.count(b": still here\n\n") == 2:
                    break


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("backfill=501", 400, "request.invalid"),
        ("backfill=-1", 400, "request.invalid"),
        ("format=xml", 400, "request.invalid"),
        ("format=json&limit=0", 400, "request.invalid"),
        ("device=" + "x" * 256, 400, "request.invalid"),
    ],
)
async def test_what_cannot_be_asked_is_refused(site: Site, query: str, status: int, code: str) -> None:
    answer = await site.client.get(f"{PATH}?{query}")
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_one_viewer_too_many_is_told_so_and_a_place_is_free_again(site: Site) -> None:
    async with contextlib.AsyncExitStack() as stack:
        # Kept: a stream that nobody holds is collected, and httpx closes its connection with it.
        streams = [await stack.enter_async_context(watching(site)) for _ in range(BOUNDS.viewers)]
        for stream in streams:
            await stream.next("live")
        answer = await site.client.get(PATH)
        assert (answer.status_code, answer.json()["code"]) == (429, "quota.exceeded")
        assert (await site.client.get(f"{PATH}?format=json")).status_code == 200
    async with asyncio.timeout(20):
        while site.live.viewers:
            await asyncio.sleep(0.02)
    async with watching(site) as stream:
        await stream.next("live")


async def test_who_is_nobody_sees_nothing(site: Site) -> None:
    site.client.cookies.clear()
    answer = await site.client.get(PATH)
    assert (answer.status_code, answer.json()["code"]) == (403, "identity.not-signed-in")


async def test_absent_and_not_yours_are_one_answer(site: Site) -> None:
    with site.database.write() as connection:
        connection.execute(insert(tenants).values(uid="another-tenant", name="another", created=0))
    site.registry.create_application("another-tenant", {"metadata": {"name": "theirs"}})
    theirs = await site.client.get("/api/v1/apps/theirs/events")
    absent = await site.client.get("/api/v1/apps/nothing/events")
    assert theirs.status_code == absent.status_code == 404
    assert theirs.json() == absent.json()


@pytest.mark.parametrize("how", ["sign out", "delete", "delete and make again"])
async def test_a_stream_ends_when_its_viewer_may_not_look_any_longer(
    site: Site, put: Put, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(freehold.deliver.stream, "CHECK_SECONDS", 0.05)
    async with watching(site) as stream:
        await stream.next("live")
        if how == "sign out":
            site.identity.sign_out(site.client.cookies["freehold_session"])
        else:
            site.registry.delete_application(site.tenant, "plant", Preconditions())
            if how == "delete and make again":
                site.registry.create_application(site.tenant, {"metadata": {"name": "plant"}})
        with pytest.raises(StopAsyncIteration):
            await stream.next("never")
    async with asyncio.timeout(20):
        while site.live.viewers:
            await asyncio.sleep(0.02)


async def test_draining_ends_open_streams_so_that_the_server_can_stop(site: Site) -> None:
    async with watching(site) as stream:
        await stream.next("live")
        await site.live.drain()
        with pytest.raises(StopAsyncIteration):
            await stream.next("never")
    answer = await site.client.get(PATH)
    assert (answer.status_code, answer.json()["code"]) == (503, "platform.stopping")


async def test_a_client_that_stops_reading_is_skipped_ahead(site: Site, put: Put) -> None:
    """A raw connection with a tiny receive buffer, so that the server's writes really stop."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(raw, ("127.0.0.1", site.port))
    session = site.client.cookies["freehold_session"]
    request = f"GET {PATH} HTTP/1.1\r\nHost: x\r\nCookie: freehold_session={session}\r\n\r\n"
    await loop.sock_sendall(raw, request.encode())
    async with asyncio.timeout(60):
        while not site.live.viewers:
            await asyncio.sleep(0.01)
        padding = "x" * 20_000
        for n in range(400):
            data = json.dumps({"n": n, "padding": padding}, separators=(",", ":")).encode()
            await put([owned(site, n, data=data)], site.uid)
        seen = b""
        while not (b'"n":399' in seen and seen.endswith(b"\n\n\r\n")):
            seen += await loop.sock_recv(raw, 1 << 20)
    raw.close()
    events = parse(b"".join(_dechunked(seen.partition(b"\r\n\r\n")[2])))
    missed = sum(json.loads(event["data"])["missed"] for event in events if event["event"] == "gap")
    numbers = [number(event) for event in events if event["event"] == "event"]
    assert missed > 0
    assert numbers == sorted(numbers)
    assert numbers[-1] == 399
    assert missed + len(numbers) == 400


def _dechunked(body: bytes) -> list[bytes]:
    """The chunks of a chunked body (RFC 9112, 7.1)."""
    chunks = []
    while b"\r\n" in body:
        size, _, body = body.partition(b"\r\n")
        chunks.append(body[: int(size, 16)])
        body = body[int(size, 16) + 2 :]
    return chunks
