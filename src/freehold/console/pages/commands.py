# SPDX-License-Identifier: Apache-2.0
"""Sending a command to a device, and what became of those sent before."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Form, Query, Request, Response

from freehold.console.web import Console, go, in_thread, is_fragment
from freehold.identity.interfaces import Permission

_LISTED = 50
_OFFERED = 200
"""Devices that the name field offers; any other can be typed."""


def routes(console: Console) -> APIRouter:
    pages = APIRouter(route_class=console.route_class)
    services = console.services

    @pages.get("/apps/{app}/commands")
    async def commands(request: Request, app: str, device: str = Query("", max_length=255)) -> Response:
        principal = await console.visitor(request)
        application = await console.application(principal, app, Permission.APP_READ)
        devices = await in_thread(services.registry.list_devices, application.tenant, app, limit=_OFFERED)
        return await console.page(
            request, principal, "commands.html",
            section="applications", application_name=app, tab_name="commands",
            device=device, devices=[one.metadata["name"] for one in devices],
            commands=await services.commands.list(application.uid, limit=_LISTED),
            timeout=services.settings.commands.timeout_seconds,
        )  # fmt: skip

    @pages.get("/apps/{app}/commands/history")
    async def history(request: Request, app: str) -> Response:
        principal = await console.visitor(request)
        application = await console.application(principal, app, Permission.APP_READ)
        found = await services.commands.list(application.uid, limit=_LISTED)
        return console.renderer.page(
            "partials/command_history.html", application_name=app, commands=found, compact=False
        )

    @pages.post("/apps/{app}/commands")
    async def send(
        request: Request,
        app: str,
        device: str = Form(max_length=255),
        name: str = Form(max_length=255),
        payload: str = Form("", max_length=60_000),
        content_type: Literal["application/json", "text/plain", "application/octet-stream"] = Form("application/json"),
    ) -> Response:
        principal = await console.visitor(request)
        application = await console.application(principal, app, Permission.COMMAND_SEND)
        body = payload.replace("\r\n", "\n").encode("utf-8", "replace")
        # A command without a payload is one: "nothing" is no JSON, so it must not be declared as such.
        declared = content_type if body else "application/octet-stream"
        record = await services.commands.send(application.uid, app, device, name, declared, body)
        if not is_fragment(request):
            return go(request, f"/apps/{app}/commands", device=device)
        response = console.renderer.page("partials/command_sent.html", record=record)
        response.headers["HX-Trigger"] = "command-sent"
        return response

    return pages
