# SPDX-License-Identifier: Apache-2.0
"""An application's settings: on or off, the raw resource, deleting it."""

from __future__ import annotations

from fastapi import APIRouter, Form, Request, Response

from freehold.console import resources
from freehold.console.web import Console, go, in_thread
from freehold.core.errors import RESOURCE_INVALID
from freehold.identity.interfaces import Permission
from freehold.registry.interfaces import Preconditions


def routes(console: Console) -> APIRouter:
    pages = APIRouter(route_class=console.route_class)
    registry = console.services.registry

    @pages.get("/apps/{app}/settings")
    async def settings(request: Request, app: str) -> Response:
        principal = await console.visitor(request)
        application = await console.application(principal, app, Permission.APP_READ)
        return await console.page(
            request, principal, "settings.html",
            section="applications", application_name=app, tab_name="settings",
            resource=application.resource, enabled=resources.enabled(application.resource),
        )  # fmt: skip

    @pages.post("/apps/{app}/settings")
    async def save(
        request: Request,
        app: str,
        version: str = Form("", max_length=64),
        document: str = Form(max_length=resources.LONGEST_TEXT),
    ) -> Response:
        principal = await console.visitor(request)
        application = await console.application(principal, app, Permission.APP_WRITE)
        body = resources.parse_document(document, version)
        await in_thread(registry.update_application, application.tenant, app, body)
        return go(request, f"/apps/{app}/settings", done="saved")

    @pages.post("/apps/{app}/enabled")
    async def enable(request: Request, app: str, on: bool = Form(), version: str = Form("", max_length=64)) -> Response:
        principal = await console.visitor(request)
        application = await console.application(principal, app, Permission.APP_WRITE)
        body = resources.with_enabled(resources.body(application.resource, version), on)
        await in_thread(registry.update_application, application.tenant, app, body)
        return go(request, f"/apps/{app}/settings", done="enabled" if on else "disabled")

    @pages.post("/apps/{app}/delete")
    async def delete(request: Request, app: str, typed: str = Form("", max_length=300)) -> Response:
        principal = await console.visitor(request)
        application = await console.application(principal, app, Permission.APP_ADMIN)
        if typed != app:
            raise RESOURCE_INVALID.error("The name that was typed is not the application's name")
        await in_thread(registry.delete_application, application.tenant, app, Preconditions(uid=application.uid))
        return go(request, "/apps", done="application-deleted")

    return pages
