# SPDX-License-Identifier: Apache-2.0
"""Commands over HTTP: Drogue's call (drogue.md 3.5), and ours for what became of them.

Refusals of Drogue's call have its two-field body, also where Drogue answers with an empty one (advice A-7).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse

from freehold.commands.models import Record
from freehold.commands.service import CommandService
from freehold.core.errors import NOT_FOUND, PAYLOAD_TOO_LARGE, REQUEST_INVALID, FreeholdError
from freehold.identity.interfaces import Permission

Resolve = Callable[[Request, str, str], Awaitable[str]]
"""(request, application name, permission) → application uid, or raises `FreeholdError`."""

PAYLOAD_BYTES = 65_536
PAGE = 100
LARGEST_PAGE = 1000
DROGUE = "/api/command/v1alpha1"


def router(service: CommandService, resolve: Resolve) -> APIRouter:
    """Routes of the management API for commands. Sending needs a permission of its own (advice A-9)."""
    routes = APIRouter(tags=["commands"])

    @routes.get(f"{DROGUE}/", summary="Whether commands are taken")
    async def alive() -> dict[str, bool]:
        return {"success": True}

    @routes.post(
        f"{DROGUE}/apps/{{application}}/devices/{{device:path}}",
        status_code=202,
        summary="Send a command to a device",
        response_class=Response,
    )
    async def send(
        request: Request, application: str, device: str, command: Annotated[str | None, Query()] = None
    ) -> Response:
        try:
            uid = await resolve(request, application, Permission.COMMAND_SEND)
            if not command:
                raise REQUEST_INVALID.error("the query argument `command` names the command")
            payload = await _body(request)
            content_type = request.headers.get("content-type")
            record = await service.send(uid, application, device, command, content_type, payload)
        except FreeholdError as error:
            return _refused(error, application)
        location = f"/api/v1/apps/{quote(application, safe='')}/commands/{record.id}"
        return Response(status_code=202, headers={"Location": location, "Command-Id": record.id})

    @routes.get("/api/v1/apps/{application}/commands", summary="Commands of an application, newest first")
    async def history(
        request: Request,
        application: str,
        device: Annotated[str | None, Query()] = None,
        before: Annotated[str | None, Query(description="id of the last command of the page before")] = None,
        limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = PAGE,
    ) -> dict[str, Any]:
        uid = await resolve(request, application, Permission.APP_READ)
        records = await service.list(uid, device=device, before=before, limit=limit)
        return {"commands": [record.as_json() for record in records], "next": _next(records, limit)}

    @routes.get("/api/v1/apps/{application}/commands/{command_id}", summary="The life of one command")
    async def life(request: Request, application: str, command_id: str) -> dict[str, Any]:
        uid = await resolve(request, application, Permission.APP_READ)
        return (await service.get(uid, command_id)).as_json()

    return routes


def _next(records: Any, limit: int) -> str | None:
    """What to give as `before` for the next page; None on the last."""
    last: Record | None = records[-1] if len(records) == limit else None
    return None if last is None else last.id


async def _body(request: Request) -> bytes:
    """The payload, read no further than its bound."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > PAYLOAD_BYTES:
            raise PAYLOAD_TOO_LARGE.error(f"a command's payload has at most {PAYLOAD_BYTES} bytes")
    return bytes(body)


def _refused(error: FreeholdError, application: str) -> JSONResponse:
    message = f"Resource not found: Application / {application}" if error.refusal is NOT_FOUND else None
    return JSONResponse(
        error.legacy_body(message),
        status_code=error.refusal.status,
        headers={"Freehold-Error": error.refusal.code},
    )
