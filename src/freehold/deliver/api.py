# SPDX-License-Identifier: Apache-2.0
"""`GET /api/v1/apps/{app}/events`: an application's events, live as Server-Sent Events or the newest as JSON."""

from __future__ import annotations

from typing import Literal

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response

from freehold.core.errors import NOT_FOUND
from freehold.deliver.models import Selection
from freehold.deliver.service import LiveEvents
from freehold.deliver.stream import EventStream
from freehold.events.cloudevents import to_structured
from freehold.identity.http import Door
from freehold.identity.interfaces import Authorizer, Identity, Permission
from freehold.identity.problems import ProblemRoute
from freehold.registry.interfaces import ApplicationSnapshot, Directory

BATCH = "application/cloudevents-batch+json"
"""Media type of several events (CloudEvents JSON 1.0.2, 4)."""

MOST = 500


def router(
    *,
    live: LiveEvents,
    directory: Directory,
    identity: Identity,
    authorizer: Authorizer,
    public_url: str = "",
) -> APIRouter:
    """The route. Refusals are problem details."""
    door = Door(identity, public_url)
    routes = APIRouter(prefix="/api/v1", route_class=ProblemRoute, tags=["events"])

    async def readable(request: Request, app: str) -> ApplicationSnapshot:
        principal = await door.principal_of(request)
        return authorizer.require(principal, Permission.APP_READ, await directory.application(app))

    @routes.get("/apps/{app}/events", response_class=Response)
    async def events(
        request: Request,
        app: str,
        format: Literal["sse", "json"] = "sse",
        limit: int = Query(50, ge=1, le=MOST, description="newest events (format=json)"),
        backfill: int = Query(0, ge=0, le=MOST, description="older events first (format=sse)"),
        device: str | None = Query(None, max_length=255),
        channel: str | None = Query(None, max_length=1024),
        type: str | None = Query(None, max_length=255),
        last_event_id: str = Query("", max_length=2048, description="as the header Last-Event-ID"),
        last_event_id_header: str = Header("", alias="Last-Event-ID", max_length=2048),
    ) -> Response:
        """`format=json`: a CloudEvents batch of the newest events, oldest first. Otherwise a stream of `event`
        (one CloudEvent; its id resumes exactly), `gap` (`missed` events were skipped) and `live`.
        """
        application = await readable(request, app)
        selection = Selection(device or None, channel or None, type or None)
        if format == "json":
            found = await live.latest(application.uid, selection, limit)
            body = b"[" + b",".join(to_structured(item.event) for item in found) + b"]"
            return Response(body, media_type=BATCH, headers={"Cache-Control": "no-store"})

        async def still_allowed() -> None:
            now = await readable(request, app)
            if now.uid != application.uid:  # deleted, and made again under the same name
                raise NOT_FOUND.error()

        return EventStream(
            live,
            application.uid,
            selection,
            backfill=backfill,
            last_event_id=last_event_id_header or last_event_id,
            still_allowed=still_allowed,
        )

    return routes
