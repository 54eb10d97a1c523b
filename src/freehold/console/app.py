# SPDX-License-Identifier: Apache-2.0
"""The console on a FastAPI application: pages, files, headers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from freehold.console.pages import (
    applications,
    commands,
    dead_letters,
    device,
    devices,
    events,
    overview,
    platform,
    processor,
    settings,
    signin,
    telemetry,
)
from freehold.console.rendering import Renderer
from freehold.console.security import SecurityHeaders
from freehold.console.services import Services
from freehold.console.static_files import StaticFiles
from freehold.console.web import Console
from freehold.core.errors import NOT_FOUND

PAGES = (
    signin,
    overview,
    applications,
    devices,
    device,
    telemetry,
    events,
    processor,
    dead_letters,
    commands,
    settings,
    platform,
)

NEEDED = (
    "vendor/htmx/htmx.min.js",
    "vendor/tabler/tabler.min.css",
    "vendor/icons/tabler.svg",
    "vendor/uplot/uPlot.iife.min.js",
    "vendor/ace/ace.js",
)


def mount(app: FastAPI, services: Services) -> None:
    """Add the console to `app`, and the security headers to everything that `app` answers.

    Call it before the application starts. Raises `AssetsMissing` in a checkout that was never built.
    """
    static = StaticFiles()
    static.require(*NEEDED)
    console = Console(services, Renderer(static))
    app.include_router(_files(static))
    for page in PAGES:
        app.include_router(page.routes(console), include_in_schema=False)
    app.add_exception_handler(404, _not_found(console.renderer))
    app.add_middleware(SecurityHeaders)


def _files(static: StaticFiles) -> APIRouter:
    router = APIRouter(include_in_schema=False)

    @router.get("/static/{version}/{name:path}")
    async def file(request: Request, version: str, name: str) -> Response:
        return static.respond(request, version, name)

    @router.get("/favicon.ico")
    async def favicon(request: Request) -> Response:
        return static.respond(request, "", "img/logo.svg")

    return router


def _not_found(renderer: Renderer) -> Callable[[Request, Exception], Awaitable[Response]]:
    """A page for people; programs get what FastAPI answers."""

    async def handle(request: Request, missing: Exception) -> Response:
        if "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/api/"):
            return renderer.problem(NOT_FOUND.error("There is no page at this address"), fragment=False)
        detail = missing.detail if isinstance(missing, HTTPException) else "Not Found"
        return JSONResponse({"detail": detail}, 404)

    return handle
