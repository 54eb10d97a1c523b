# SPDX-License-Identifier: Apache-2.0
"""The list of applications, making one, and the first page of one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from fastapi import APIRouter, Form, Query, Request, Response

from freehold.console.known import Known, known_of
from freehold.console.resources import enabled
from freehold.console.web import Application, Console, go, in_thread
from freehold.deliver.models import Selection
from freehold.identity.interfaces import Permission, Principal
from freehold.registry.interfaces import Resource

PAGE = 20
_COUNTED = 1000
"""Devices are counted up to here; what is more is "1000+"."""

_EVENTS = 8
_VALUES = 12


@dataclass(frozen=True, slots=True)
class Line:
    """One application in the list."""

    name: str
    enabled: bool
    deleting: bool
    devices: str
    known: Known


def routes(console: Console) -> APIRouter:
    pages = APIRouter(route_class=console.route_class)
    services = console.services

    @pages.get("/apps")
    async def applications(request: Request, page: int = Query(1, ge=1, le=10_000)) -> Response:
        principal = await console.visitor(request)
        offset = (page - 1) * PAGE
        found = await in_thread(services.registry.list_applications, principal.tenant, limit=PAGE + 1, offset=offset)
        lines = await asyncio.gather(*(_line(console, principal, one) for one in found[:PAGE]))
        return await console.page(
            request, principal, "applications.html",
            section="applications", lines=lines, page=page, more=len(found) > PAGE,
        )  # fmt: skip

    @pages.post("/apps")
    async def create(request: Request, name: str = Form("", max_length=300)) -> Response:
        principal = await console.visitor(request)
        services.authorizer.require(principal, Permission.APP_CREATE, principal)
        body = {"metadata": {"name": name.strip()}}
        made = await in_thread(services.registry.create_application, principal.tenant, body)
        return go(request, f"/apps/{made}", done="application-created")

    @pages.get("/apps/{app}")
    async def overview(request: Request, app: str) -> Response:
        principal = await console.visitor(request)
        application = await console.application(principal, app, Permission.APP_READ)
        devices = await _count(console, application)
        known = await known_of(services.telemetry, application.uid)
        return await console.page(
            request, principal, "application.html",
            section="applications", application_name=app, tab_name="overview",
            application=application, enabled=enabled(application.resource), devices=devices, known=known,
            series=sorted(known.series, key=lambda one: one.last_time, reverse=True)[:_VALUES],
            version=next((v for v in await services.processors.versions(application.uid) if v.active), None),
            events=await _latest(console, application),
        )  # fmt: skip

    @pages.get("/apps/{app}/live/latest-events")
    async def latest_events(request: Request, app: str) -> Response:
        principal = await console.visitor(request)
        application = await console.application(principal, app, Permission.APP_READ)
        events = await _latest(console, application)
        return console.renderer.page("partials/latest_events.html", events=events, show_application=False)

    return pages


async def _line(console: Console, principal: Principal, resource: Resource) -> Line:
    name = resource.metadata["name"]
    application = Application(resource.metadata["uid"], name, principal.tenant, resource)
    return Line(
        name=name,
        enabled=enabled(resource),
        deleting="deletionTimestamp" in resource.metadata,
        devices=await _count(console, application),
        known=await known_of(console.services.telemetry, application.uid),
    )


async def _count(console: Console, application: Application) -> str:
    registry = console.services.registry
    found = await in_thread(registry.list_devices, application.tenant, application.name, limit=_COUNTED + 1)
    return str(len(found)) if len(found) <= _COUNTED else f"{_COUNTED}+"


async def _latest(console: Console, application: Application) -> Sequence[object]:
    found = await console.services.live.latest(application.uid, Selection(), _EVENTS)
    return [item.event for item in reversed(found)]
