# SPDX-License-Identifier: Apache-2.0
"""The console over the real parts: registry, identity, log, pipeline, store, commands, processors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request

from freehold.commands.service import CommandService
from freehold.console.app import mount
from freehold.console.services import Sample, Services
from freehold.console.snippets import Endpoints
from freehold.core.bus import PROCESSOR_CHANGED, MemoryBus
from freehold.core.clock import now_us
from freehold.core.database import METADATA, Database
from freehold.core.errors import NOT_FOUND
from freehold.core.ids import uuid7
from freehold.core.settings import Log, Process, Settings
from freehold.deliver.api import router as events_api
from freehold.deliver.service import LiveEvents
from freehold.events.models import Event, encode
from freehold.identity.api import router as identity_api
from freehold.identity.authorize import RoleAuthorizer
from freehold.identity.http import Door
from freehold.identity.interfaces import Permission
from freehold.identity.service import IdentityService
from freehold.log.sqlite.engine import SqliteLog
from freehold.process.interfaces import Sandbox
from freehold.process.pipeline import ApplicationPipeline, Pipeline
from freehold.process.sandbox.engines import choose
from freehold.process.service import ProcessorService
from freehold.registry.cache import CachedDirectory
from freehold.registry.service import RegistryService
from freehold.registry.verifiers import Verifiers
from freehold.store.api import router as telemetry_api
from freehold.store.interfaces import TelemetryReader
from freehold.store.rows import rows_of
from freehold.store.sqlite.engine import SqliteTelemetry
from freehold.store.sqlite.reader import SqliteTelemetryReader
from freehold.vault.service import Vault

ORIGIN = "http://console.test"

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "evil\u202egnp.exe",
    "zero\u200bwidth",
    "شركة",
    "javascript:alert(1)",
    "../../etc/passwd",
    "a b&c=d#e?f%2Fg+h",
    'it\'s "quoted" `id` $(id) \\',
    "x" * 255,
)
"""Names that devices may have, each with something that a careless page gets wrong."""


@dataclass
class Board:
    """`Platform` of the tests: this process's own parts, its samples set by hand."""

    telemetry: TelemetryReader
    pipeline: Pipeline
    samples: list[Sample]
    problems: dict[str, str | None]

    def history(self) -> Sequence[Sample]:
        return self.samples

    def health(self) -> Mapping[str, str | None]:
        return self.problems

    def endpoints(self) -> Endpoints:
        return Endpoints("127.0.0.1", 8088, 1883)

    async def retry_dead_letter(self, application: str, event_id: str) -> None:
        letter = await self.telemetry.dead_letter(application, event_id)
        if letter is None:
            raise NOT_FOUND.error()
        await self.pipeline.retry(application, letter)


@dataclass
class World:
    """One installation in a temporary directory, and a browser that is signed in to it."""

    app: FastAPI
    services: Services
    log: SqliteLog
    store: SqliteTelemetry
    board: Board
    tenant: str
    browser: httpx.AsyncClient

    def create(self, application: str, *devices: str, **labels: str) -> str:
        """An application with devices; returns its uid."""
        registry = self.services.registry
        registry.create_application(self.tenant, {"metadata": {"name": application}})
        for device in devices:
            metadata = {"name": device, "application": application, "labels": labels}
            registry.create_device(self.tenant, {"metadata": metadata})
        return str(registry.get_application(self.tenant, application).metadata["uid"])

    async def send(self, uid: str, application: str, device: str, data: bytes, **fields: Any) -> Event:
        """An event as the door would have made it, durable in the log."""
        values: dict[str, Any] = {
            "id": uuid7(),
            "time": now_us(),
            "application": application,
            "applicationuid": uid,
            "device": device,
            "deviceuid": "d",
            "sender": device,
            "senderuid": "d",
            "subject": "telemetry",
            "datacontenttype": "application/json",
            "data": data,
            "instance": "test",
        }
        event = Event(**(values | fields))
        await self.log.submit([self.log.route(uid, event.partitionkey)], [encode(event)])
        return event

    async def html(self, path: str, status: int = 200) -> str:
        answer = await self.browser.get(path, headers={"accept": "text/html"})
        assert answer.status_code == status, (path, answer.status_code, answer.text[:2000])
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        return answer.text

    async def fragment(self, path: str, status: int = 200, **form: object) -> httpx.Response:
        """What htmx gets: a POST with `form`, else a GET."""
        headers = {"hx-request": "true"}
        if form:
            answer = await self.browser.post(path, data=form, headers=headers)
        else:
            answer = await self.browser.get(path, headers=headers)
        assert answer.status_code == status, (path, answer.status_code, answer.text[:2000])
        return answer


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    """The sandbox of this machine; finding it starts processes, so it is found once."""
    return choose(Process(), tmp_path_factory.mktemp("hidden"))


@pytest.fixture
async def world(tmp_path: Path, sandbox: Sandbox) -> AsyncIterator[World]:
    for name in ("keys", "log", "process"):
        (tmp_path / name).mkdir()
    settings = Settings(data=tmp_path)
    database = Database.sqlite(tmp_path / "meta.db")
    METADATA.create_all(database.engine)
    vault, bus = Vault.open(tmp_path / "keys", {}), MemoryBus()
    identity = IdentityService(database, vault)
    directory = CachedDirectory(database, bus)
    log = SqliteLog(tmp_path / "log", Log(partitions=2))
    store = SqliteTelemetry(tmp_path / "telemetry.db")
    telemetry = SqliteTelemetryReader(tmp_path / "telemetry.db")
    live = LiveEvents(log)
    processors = ProcessorService(
        database=database, bus=bus, sandbox=sandbox, folder=tmp_path / "process", versions_kept=5
    )
    pipeline = Pipeline(
        lambda uid, counters: ApplicationPipeline(
            uid, log=log, store=store, processors=processors, sandbox=sandbox,
            rows_of=rows_of, batch=100, counters=counters,
        ),
        log,
    )  # fmt: skip
    bus.subscribe(PROCESSOR_CHANGED, lambda message: pipeline.processor_changed(message.decode()))
    commands = CommandService(database, bus, directory.device_by_name, settings.commands)
    services = Services(
        registry=RegistryService(database, vault, Verifiers(vault)),
        identity=identity,
        authorizer=RoleAuthorizer(),
        processors=processors,
        sandbox=sandbox,
        telemetry=telemetry,
        live=live,
        commands=commands,
        settings=settings,
        platform=Board(telemetry, pipeline, [], {"log.sqlite": None, "store.sqlite": None}),
    )
    parts = (directory, log, store, live, pipeline, commands)
    for part in parts:
        await part.start()
    app = application_of(services, directory)
    identity.ensure_first_owner()
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url=ORIGIN, headers={"origin": ORIGIN}
    ) as browser:
        answer = await browser.post("/signin", data={"code": identity.make_link(identity.first_owner())})
        assert answer.status_code == 303, answer.text
        principal = identity.session(browser.cookies["freehold_session"])
        assert principal is not None
        yield World(app, services, log, store, services.platform, principal.tenant, browser)  # type: ignore[arg-type]
    for part in reversed(parts):
        await part.drain()
        await part.stop()
    await telemetry.close()
    database.close()


def application_of(services: Services, directory: CachedDirectory) -> FastAPI:
    """Console and the APIs that its scripts use, composed as `runtime` does."""
    identity, authorizer = services.identity, services.authorizer
    door = Door(identity)

    async def resolve(request: Request, application: str, permission: str) -> str:
        principal = await door.principal_of(request)
        found = await directory.application(application)
        return authorizer.require(principal, Permission(permission), found).uid

    app = FastAPI()
    app.include_router(identity_api(identity=identity))
    app.include_router(events_api(live=services.live, directory=directory, identity=identity, authorizer=authorizer))
    app.include_router(telemetry_api(reader=services.telemetry, resolve=resolve))
    mount(app, services)
    return app
