# SPDX-License-Identifier: Apache-2.0
"""One device: what it last said, its chart, events and commands; its secret, aliases and gateways.

The name is a query parameter and never a part of the path: names may hold slashes, or be `..`.
"""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Form, Query, Request, Response

from freehold.console import resources
from freehold.console.known import known_of
from freehold.console.pages.devices import show_secret
from freehold.console.series import series_for_page
from freehold.console.web import Application, Console, go, in_thread
from freehold.core.errors import RESOURCE_INVALID
from freehold.deliver.models import Selection
from freehold.events.models import Event
from freehold.identity.interfaces import Permission
from freehold.registry.interfaces import Preconditions

_EVENTS = 10
_COMMANDS = 5
_NAME = Query(max_length=255)
_VERSION = Form("", max_length=64)


def routes(console: Console) -> APIRouter:
    pages = APIRouter(route_class=console.route_class)
    services = console.services
    registry = services.registry

    @pages.get("/apps/{app}/device")
    async def device(request: Request, app: str, name: str = _NAME) -> Response:
        principal = await console.visitor(request)
        application = await console.application(principal, app, Permission.APP_READ)
        resource = await in_thread(registry.get_device, application.tenant, app, name)
        known = await known_of(services.telemetry, application.uid, devices=(name,))
        return await console.page(
            request, principal, "device.html",
            section="applications", application_name=app, tab_name="devices",
            name=name, resource=resource, enabled=resources.enabled(resource), state=known.states.get(name),
            aliases=resources.texts(resource.spec.get("alias")), gateways=resources.gateways(resource.spec),
            labels=resources.labels_text(resource.metadata.get("labels", {})),
            credentials=credential_kinds(resource.spec), trouble=known.trouble,
            series=known.series, chart=series_for_page(app, known.series, device=name),
            events=await _latest(console, application, name),
            commands=await services.commands.list(application.uid, device=name, limit=_COMMANDS),
        )  # fmt: skip

    @pages.get("/apps/{app}/device/live/latest-events")
    async def latest_events(request: Request, app: str, name: str = _NAME) -> Response:
        principal = await console.visitor(request)
        application = await console.application(principal, app, Permission.APP_READ)
        events = await _latest(console, application, name)
        return console.renderer.page("partials/latest_events.html", events=events, show_application=False)

    @pages.post("/apps/{app}/device")
    async def save(
        request: Request,
        app: str,
        name: str = _NAME,
        version: str = _VERSION,
        labels: str = Form("", max_length=4000),
        aliases: str = Form("", max_length=20_000),
        gateways: str = Form("", max_length=20_000),
    ) -> Response:
        application = await _writable(console, request, app)
        resource = await in_thread(registry.get_device, application.tenant, app, name)
        body = resources.with_device_form(resources.body(resource, version), labels, aliases, gateways)
        await in_thread(registry.update_device, application.tenant, app, name, body)
        return go(request, f"/apps/{app}/device", name=name, done="saved")

    @pages.post("/apps/{app}/device/document")
    async def save_document(
        request: Request,
        app: str,
        name: str = _NAME,
        version: str = _VERSION,
        document: str = Form(max_length=resources.LONGEST_TEXT),
    ) -> Response:
        application = await _writable(console, request, app)
        body = resources.parse_document(document, version)
        await in_thread(registry.update_device, application.tenant, app, name, body)
        return go(request, f"/apps/{app}/device", name=name, done="saved")

    @pages.post("/apps/{app}/device/enabled")
    async def enable(
        request: Request, app: str, name: str = _NAME, on: bool = Form(), version: str = _VERSION
    ) -> Response:
        application = await _writable(console, request, app)
        resource = await in_thread(registry.get_device, application.tenant, app, name)
        body = resources.with_enabled(resources.body(resource, version), on)
        await in_thread(registry.update_device, application.tenant, app, name, body)
        return go(request, f"/apps/{app}/device", name=name, done="enabled" if on else "disabled")

    @pages.post("/apps/{app}/device/secret")
    async def new_secret(request: Request, app: str, name: str = _NAME) -> Response:
        application = await _writable(console, request, app)
        secret = await in_thread(registry.generate_password, application.tenant, app, name)
        return show_secret(console, app, name, secret, title=f"{name} has a new secret")

    @pages.post("/apps/{app}/device/delete")
    async def delete(request: Request, app: str, name: str = _NAME, typed: str = Form("", max_length=300)) -> Response:
        application = await _writable(console, request, app)
        if typed != name:
            raise RESOURCE_INVALID.error("The name that was typed is not the device's name")
        await in_thread(registry.delete_device, application.tenant, app, name, Preconditions())
        return go(request, f"/apps/{app}/devices", done="device-deleted")

    return pages


async def _writable(console: Console, request: Request, app: str) -> Application:
    principal = await console.visitor(request)
    return await console.application(principal, app, Permission.APP_WRITE)


async def _latest(console: Console, application: Application, name: str) -> Sequence[Event]:
    found = await console.services.live.latest(application.uid, Selection(device=name), _EVENTS)
    return [item.event for item in reversed(found)]


_KINDS = {
    "pass": "password for this device's name",
    "user": "user name and password",
    "psk": "pre-shared key",
    "cert": "certificate",
}


def credential_kinds(spec: object) -> list[str]:
    """What this device can sign in with, in words; never what is behind it."""
    section = spec.get("authentication", spec.get("credentials")) if isinstance(spec, dict) else None
    entries = section.get("credentials") if isinstance(section, dict) else None
    found = []
    for entry in entries if isinstance(entries, list) else ():
        for kind, words in _KINDS.items():
            if isinstance(entry, dict) and kind in entry:
                user = entry[kind].get("username") if kind == "user" and isinstance(entry[kind], dict) else None
                found.append(f"{words} ({user})" if user else words)
    return found
