# SPDX-License-Identifier: Apache-2.0
"""A registry on a real database file with two tenants, and its HTTP API over ASGI."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import insert

from freehold.core.database import METADATA, Database
from freehold.core.errors import FreeholdError
from freehold.identity.service import IdentityService
from freehold.identity.tables import people, tenants
from freehold.registry.api import BASE, router
from freehold.registry.interfaces import Preconditions
from freehold.registry.service import RegistryService
from freehold.registry.verifiers import Verifiers
from freehold.vault.service import Vault

OURS, THEIRS = "tenant-ours", "tenant-theirs"
ANY = Preconditions()


def app(name: str = "app1", **more: Any) -> dict[str, Any]:
    """Body of an application; `more` are further metadata, and `spec` or `status`."""
    body = {part: more.pop(part) for part in ("spec", "status") if part in more}
    return {"metadata": {"name": name, **more}, **body}


def device(name: str = "device1", application: str = "app1", **more: Any) -> dict[str, Any]:
    return app(name, application=application, **more)


def credentials(*entries: dict[str, Any], legacy: bool = False) -> dict[str, Any]:
    """A spec with these credentials."""
    return {"credentials" if legacy else "authentication": {"credentials": list(entries)}}


def with_password(secret: str = "foo") -> dict[str, Any]:
    return credentials({"pass": secret})


def code_of(call: Callable[..., Any], *arguments: Any, **named: Any) -> str:
    """The code with which `call` refuses."""
    with pytest.raises(FreeholdError) as refused:
        call(*arguments, **named)
    return refused.value.refusal.code


def edited(body: dict[str, Any], change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    body = copy.deepcopy(body)
    change(body)
    return body


@dataclass
class House:
    """An installation: a database that several "processes" may open, and the keys of all."""

    path: Path
    databases: list[Database] = field(default_factory=list)
    vault: Vault = field(default_factory=lambda: Vault(bytes(range(32))))

    def database(self) -> Database:
        self.databases.append(Database.sqlite(self.path))
        return self.databases[-1]

    def registry(self, committed: Callable[[], None] = lambda: None) -> RegistryService:
        return RegistryService(self.database(), self.vault, Verifiers(self.vault), committed)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path / "meta.db")
    database = house.database()
    METADATA.create_all(database.engine)
    with database.write() as connection:
        for uid, person in ((OURS, "ann"), (THEIRS, "bob")):
            connection.execute(insert(tenants).values(uid=uid, name=uid, created=1))
            row = {"uid": person, "tenant": uid, "name": person, "role": "owner", "created": 1}
            connection.execute(insert(people).values(row))
    yield house
    for each in house.databases:
        each.close()


@pytest.fixture
def registry(house: House) -> RegistryService:
    return house.registry()


@pytest.fixture
def app1(registry: RegistryService) -> str:
    return registry.create_application(OURS, app())


class Client:
    """The registry API as one person uses it. Paths are relative to the API's base."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def get(self, path: str, **query: Any) -> httpx.Response:
        return await self.http.get(BASE + path, params=query)

    async def post(self, path: str, body: Any) -> httpx.Response:
        return await self.http.post(BASE + path, json=body)

    async def put(self, path: str, body: Any) -> httpx.Response:
        return await self.http.put(BASE + path, json=body)

    async def delete(self, path: str, body: Any = None) -> httpx.Response:
        return await self.http.request("DELETE", BASE + path, json=body)


@pytest.fixture
def clients(house: House, registry: RegistryService) -> Callable[[str | None], Client]:
    """Makes the client of a person (`ann`, `bob`), or of nobody."""
    identity = IdentityService(house.database(), house.vault)
    server = FastAPI()
    server.include_router(router(registry=registry, identity=identity, body_bytes=100_000))

    def client(person: str | None) -> Client:
        headers = {}
        if person is not None:
            headers["authorization"] = f"Bearer {identity.create_token(identity.principal(person)).secret}"
        transport = httpx.ASGITransport(server)
        return Client(httpx.AsyncClient(transport=transport, base_url="http://test", headers=headers))

    return client


@pytest.fixture
async def client(clients: Callable[[str | None], Client]) -> AsyncIterator[Client]:
    ann = clients("ann")
    async with ann.http:
        yield ann
