# SPDX-License-Identifier: Apache-2.0
"""The role `api`: management API and console. It reads log and store; it is on the path of no event."""

from __future__ import annotations

import asyncio

from fastapi import FastAPI, Request, Response
from starlette.responses import JSONResponse

from freehold import __version__
from freehold.commands.api import router as commands_api
from freehold.commands.service import CommandService
from freehold.commands.tables import commands as sent
from freehold.console.app import mount
from freehold.console.services import Services
from freehold.core.bus import REGISTRY_CHANGED, Bus
from freehold.core.datadir import DataDir
from freehold.core.errors import FreeholdError
from freehold.core.lifecycle import Component, Lifecycle
from freehold.core.settings import Settings
from freehold.deliver.api import router as events_api
from freehold.deliver.models import Selection
from freehold.deliver.service import LiveEvents
from freehold.events.models import DEVICE_EVENT, Event
from freehold.identity.api import router as identity_api
from freehold.identity.authorize import RoleAuthorizer
from freehold.identity.http import Door
from freehold.identity.models import Permission
from freehold.identity.problems import problem_response
from freehold.process.api import router as processor_api
from freehold.process.sandbox.engines import choose
from freehold.process.service import ProcessorService
from freehold.process.tables import versions
from freehold.registry.api import router as registry_api
from freehold.registry.cache import CachedDirectory
from freehold.registry.service import RegistryService
from freehold.registry.verifiers import Verifiers
from freehold.runtime import engines, messages
from freehold.runtime.api_server import ApiServer
from freehold.runtime.housekeeping import Housekeeping, distinct, orphans
from freehold.runtime.platform import Sampling, StatusBoard
from freehold.runtime.roles import Role
from freehold.store.api import router as telemetry_api


def build_api(settings: Settings, bus: Bus) -> Role:
    database, vault = engines.meta_database(settings), engines.vault(settings)
    identity = engines.identity(settings)
    authorizer = RoleAuthorizer()
    directory = CachedDirectory(database, bus)
    loop = asyncio.get_running_loop()

    def changed() -> None:
        """After a commit, in the thread that made it: tell every role to look at the change feed at once."""
        loop.call_soon_threadsafe(bus.publish, REGISTRY_CHANGED, b"")

    registry = RegistryService(database, vault, Verifiers(vault), changed)
    log, telemetry = engines.log_reader(settings), engines.telemetry_reader(settings)
    live = LiveEvents(log)
    data = DataDir(settings.data)
    sandbox = choose(settings.process, data.root)
    processors = ProcessorService(
        database=database,
        bus=bus,
        sandbox=sandbox,
        folder=data.process,
        versions_kept=settings.process.versions_kept,
    )
    commands = CommandService(database, bus, directory.device_by_name, settings.commands)
    door = Door(identity, settings.api.public_url)

    async def resolve(request: Request, application: str, permission: str) -> str:
        """Application uid for who may, else a refusal that does not tell absent from not yours."""
        principal = await door.principal_of(request)
        found = await directory.application(application)
        return authorizer.require(principal, Permission(permission), found).uid

    async def author(request: Request) -> str:
        return (await door.principal_of(request)).name

    async def recent_events(application: str, count: int) -> list[Event]:
        return [item.event for item in await live.latest(application, Selection(type=DEVICE_EVENT), count)]

    role = Role([])
    life = Lifecycle(role.components)

    def own() -> messages.Status:
        return messages.Status("api", {}, life.health(), role.metrics.exposition())

    board = StatusBoard(settings, bus, telemetry, own)
    app = FastAPI(title="Freehold", version=__version__, docs_url=None, redoc_url=None)
    app.include_router(identity_api(identity=identity, public_url=settings.api.public_url))
    app.include_router(
        registry_api(
            registry=registry,
            identity=identity,
            authorizer=authorizer,
            public_url=settings.api.public_url,
            body_bytes=settings.api.body_bytes,
        )
    )
    app.include_router(commands_api(commands, resolve))
    app.include_router(telemetry_api(reader=telemetry, resolve=resolve))
    app.include_router(
        processor_api(
            processors=processors,
            sandbox=sandbox,
            resolve=resolve,
            reader_of_recent_events=recent_events,
            author=author,
        )
    )
    app.include_router(
        events_api(
            live=live,
            directory=directory,
            identity=identity,
            authorizer=authorizer,
            public_url=settings.api.public_url,
        )
    )
    _add_probes(app, board)
    app.add_exception_handler(FreeholdError, _refuse)
    mount(
        app,
        Services(
            registry=registry,
            identity=identity,
            authorizer=authorizer,
            processors=processors,
            sandbox=sandbox,
            telemetry=telemetry,
            live=live,
            commands=commands,
            settings=settings,
            platform=board,
        ),
    )

    async def forget_deleted() -> None:
        for uid in await orphans(database, lambda: distinct(database, versions.c.application)):
            await processors.forget(uid)
        for uid in await orphans(database, lambda: distinct(database, sent.c.application_uid)):
            await commands.forget(uid)

    server = ApiServer(app, settings.api.host, settings.port(settings.api.port))
    # Draining goes backwards: live streams must end before the server waits for its open responses.
    components: list[Component] = [directory, log, commands, Sampling(board), server, live]
    components.append(Housekeeping("api.housekeeping", [forget_deleted]))
    role.components += components
    role.ports = lambda: {"api": server.port}
    commands.register(role.metrics)
    return role


def _add_probes(app: FastAPI, board: StatusBoard) -> None:
    """`/health` (alive, and how each component feels), `/ready` (503 while one is unwell), `/metrics`."""

    @app.get("/health", include_in_schema=False)
    async def health() -> dict[str, object]:
        return {"status": "up", "components": board.health()}

    @app.get("/ready", include_in_schema=False)
    async def ready() -> Response:
        problems = {name: problem for name, problem in board.health().items() if problem}
        return JSONResponse({"ready": not problems, "problems": problems}, 503 if problems else 200)

    @app.get("/metrics", include_in_schema=False)
    async def metrics() -> Response:
        return Response(board.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8")


async def _refuse(_request: Request, error: Exception) -> Response:
    assert isinstance(error, FreeholdError)
    return problem_response(error)
