# SPDX-License-Identifier: Apache-2.0
"""The table of an application's devices, with its filter, and making a device."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query, Request, Response

from freehold.console.devices import State, Wanted, find_devices
from freehold.console.known import known_of
from freehold.console.resources import enabled, parse_labels
from freehold.console.snippets import snippets
from freehold.console.web import Application, Console, in_thread, is_fragment
from freehold.identity.interfaces import Permission


def routes(console: Console) -> APIRouter:
    pages = APIRouter(route_class=console.route_class)
    services = console.services

    @pages.get("/apps/{app}/devices")
    async def devices(
        request: Request,
        app: str,
        q: str = Query("", max_length=255),
        labels: str = Query("", max_length=1000),
        state: State = Query(""),
        page: int = Query(1, ge=1, le=100_000),
        new: bool = Query(False),
    ) -> Response:
        principal = await console.visitor(request)
        application = await console.application(principal, app, Permission.APP_READ)
        wanted = Wanted(q, labels, state, page)
        table = await _table(console, application, wanted)
        if is_fragment(request):
            return console.renderer.page("partials/devices.html", application_name=app, **table)
        return await console.page(
            request, principal, "devices.html",
            section="applications", application_name=app, tab_name="devices", open_new=new, **table,
        )  # fmt: skip

    @pages.post("/apps/{app}/devices")
    async def create(
        request: Request,
        app: str,
        name: str = Form("", max_length=255),
        labels: str = Form("", max_length=2000),
    ) -> Response:
        principal = await console.visitor(request)
        application = await console.application(principal, app, Permission.APP_WRITE)
        body = {"metadata": {"name": name, "application": app, "labels": parse_labels(labels)}}
        await in_thread(services.registry.create_device, application.tenant, body)
        secret = await in_thread(services.registry.generate_password, application.tenant, app, name)
        return show_secret(console, app, name, secret, title=f"{name} is ready")

    return pages


def show_secret(console: Console, app: str, device: str, secret: str, *, title: str) -> Response:
    """The one time that a secret is shown, with lines to try it."""
    return console.renderer.page(
        "partials/credentials.html",
        title=title,
        device=device,
        secret=secret,
        snippets=snippets(console.services.platform.endpoints(), app, device, secret),
    )


async def _table(console: Console, application: Application, wanted: Wanted) -> dict[str, Any]:
    known = await known_of(console.services.telemetry, application.uid)
    found = await in_thread(
        find_devices, console.services.registry, application.tenant, application.name, wanted, known.states
    )
    rows = [(device, enabled(device), known.states.get(device.metadata["name"])) for device in found.devices]
    query = urlencode({"q": wanted.name, "labels": wanted.labels, "state": wanted.state}, errors="replace")
    return {
        "rows": rows,
        "wanted": wanted,
        "page": wanted.page,
        "more": found.more,
        "cut": found.cut,
        "trouble": known.trouble,
        "address": f"/apps/{application.name}/devices?{query}&",
    }
