# SPDX-License-Identifier: Apache-2.0
"""The live viewer of an application's events. The events themselves come from `/api/v1/apps/{app}/events`."""

from __future__ import annotations

from fastapi import APIRouter, Query, Request, Response

from freehold.console.web import Console
from freehold.events.models import CONNECTION_EVENT, DEVICE_EVENT, REGISTRY_EVENT
from freehold.identity.interfaces import Permission

TYPES = {DEVICE_EVENT: "Device events", CONNECTION_EVENT: "Connections", REGISTRY_EVENT: "Registry changes"}


def routes(console: Console) -> APIRouter:
    pages = APIRouter(route_class=console.route_class)

    @pages.get("/apps/{app}/events")
    async def events(
        request: Request,
        app: str,
        device: str = Query("", max_length=255),
        channel: str = Query("", max_length=1024),
        type: str = Query("", max_length=255),
    ) -> Response:
        principal = await console.visitor(request)
        await console.application(principal, app, Permission.APP_READ)
        return await console.page(
            request, principal, "events.html",
            section="applications", application_name=app, tab_name="events",
            types=TYPES, wanted={"device": device, "channel": channel, "type": type},
        )  # fmt: skip

    return pages
