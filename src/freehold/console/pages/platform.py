# SPDX-License-Identifier: Apache-2.0
"""The platform itself: health with what to do, where devices connect, and every setting as it is."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

import freehold
from freehold.console.web import Console
from freehold.core.settings import TABLE, as_flat
from freehold.identity.interfaces import Permission


def routes(console: Console) -> APIRouter:
    pages = APIRouter(route_class=console.route_class)
    services = console.services

    @pages.get("/platform")
    async def platform(request: Request) -> Response:
        principal = await console.visitor(request)
        services.authorizer.require(principal, Permission.TENANT_ADMIN, principal)
        flat = as_flat(services.settings)
        return await console.page(
            request, principal, "platform.html",
            section="platform", health=services.platform.health(), endpoints=services.platform.endpoints(),
            version=freehold.__version__, settings=[(row, flat[row.name]) for row in TABLE],
        )  # fmt: skip

    return pages
