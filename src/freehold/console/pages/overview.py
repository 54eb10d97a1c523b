# SPDX-License-Identifier: Apache-2.0
"""The first page: what flows, what is connected, what is unwell, and what came in last."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import JSONResponse

from freehold.console.figures import figures, rates
from freehold.console.rendering import NO_STORE
from freehold.console.web import Console, in_thread
from freehold.deliver.models import Selection
from freehold.events.models import Event
from freehold.identity.interfaces import Principal

_APPLICATIONS = 12
"""Applications whose newest events are looked at: each costs a look at its log."""

_EVENTS = 8


def routes(console: Console) -> APIRouter:
    pages = APIRouter(route_class=console.route_class)
    services = console.services

    @pages.get("/")
    async def overview(request: Request) -> Response:
        principal = await console.visitor(request)
        return await console.page(
            request,
            principal,
            "overview.html",
            section="overview",
            figures=figures(services.platform.history()),
            health=services.platform.health(),
            rates=rates(services.platform.history()),
            events=await _latest(console, principal),
        )

    @pages.get("/live/overview")
    async def live(request: Request, since: float = Query(0.0)) -> Response:
        """What changed since the sample at `since`: asked for once a second by an open page."""
        await console.visitor(request)
        history = services.platform.history()
        body: dict[str, Any] = {"figures": asdict(figures(history)), "rates": rates(history, since)}
        body["problems"] = sum(problem is not None for problem in services.platform.health().values())
        return JSONResponse(body, headers=NO_STORE)

    @pages.get("/live/latest-events")
    async def latest_events(request: Request) -> Response:
        principal = await console.visitor(request)
        events = await _latest(console, principal)
        return console.renderer.page("partials/latest_events.html", events=events, show_application=True)

    @pages.get("/live/health")
    async def health(request: Request) -> Response:
        await console.visitor(request)
        return console.renderer.page("partials/health.html", health=services.platform.health())

    return pages


async def _latest(console: Console, principal: Principal) -> list[Event]:
    """The newest events of the visitor's applications, newest first."""
    services = console.services
    applications = await in_thread(services.registry.list_applications, principal.tenant, limit=_APPLICATIONS)
    found = await asyncio.gather(
        *(services.live.latest(one.metadata["uid"], Selection(), _EVENTS) for one in applications)
    )
    events = [item.event for items in found for item in items]
    return sorted(events, key=lambda event: event.time, reverse=True)[:_EVENTS]
