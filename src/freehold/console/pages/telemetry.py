# SPDX-License-Identifier: Apache-2.0
"""Charts of an application's values. The points themselves come from `/api/v1/apps/{app}/telemetry`."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from freehold.console.series import series_for_page
from freehold.console.web import Console
from freehold.identity.interfaces import Permission


def routes(console: Console) -> APIRouter:
    pages = APIRouter(route_class=console.route_class)

    @pages.get("/apps/{app}/telemetry")
    async def telemetry(request: Request, app: str) -> Response:
        principal = await console.visitor(request)
        application = await console.application(principal, app, Permission.APP_READ)
        series = await console.services.telemetry.series(application.uid)
        return await console.page(
            request, principal, "telemetry.html",
            section="applications", application_name=app, tab_name="telemetry",
            series=series, chart=series_for_page(app, series),
        )  # fmt: skip

    return pages
