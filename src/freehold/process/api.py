# SPDX-License-Identifier: Apache-2.0
"""Processors over HTTP: `/api/v1/apps/{app}/processor`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from freehold.core.clock import now_us, to_rfc3339
from freehold.core.errors import REQUEST_INVALID
from freehold.core.ids import uuid7
from freehold.events.models import Event
from freehold.identity.interfaces import Permission
from freehold.identity.problems import ProblemRoute
from freehold.process.interfaces import Failed, Outcome, Processors, Sandbox, Version
from freehold.process.service import NOTE_CHARACTERS, SOURCE_BYTES, TRIAL_EVENTS
from freehold.process.template import TEMPLATE

Resolve = Callable[[Request, str, str], Awaitable[str]]
"""(request, application's name, permission) → application's uid. Raises what a refused request deserves."""

RecentEvents = Callable[[str, int], Awaitable[Sequence[Event]]]
"""(application's uid, how many at most) → its newest events, oldest first."""

Author = Callable[[Request], Awaitable[str]]
"""Who sends this request, for the list of versions."""

MOST_RECENT = 200


class NewVersion(BaseModel):
    model_config = ConfigDict(extra="forbid")

    source: str = Field(max_length=SOURCE_BYTES)
    packages: list[str] = []
    note: str = Field("", max_length=NOTE_CHARACTERS)


class Trial(BaseModel):
    """`events`: payloads to run over, as a device would send them. `recent`: so many recorded ones."""

    model_config = ConfigDict(extra="forbid")

    source: str = Field(max_length=SOURCE_BYTES)
    packages: list[str] = []
    events: list[Any] = Field([], max_length=TRIAL_EVENTS)
    recent: int = Field(0, ge=0, le=MOST_RECENT)


def router(
    *,
    processors: Processors,
    sandbox: Sandbox,
    resolve: Resolve,
    reader_of_recent_events: RecentEvents,
    author: Author,
) -> APIRouter:
    """All routes of processors. Refusals are problem details."""
    routes = APIRouter(prefix="/api/v1/apps/{app}/processor", route_class=ProblemRoute, tags=["processors"])

    @routes.get("")
    async def read(request: Request, app: str) -> dict[str, Any]:
        """The active version, all versions (newest first), and the template of a new one."""
        application = await resolve(request, app, Permission.APP_READ)
        found = await processors.versions(application)
        return {
            "active": next((version.number for version in found if version.active), None),
            "versions": [_shown(version) for version in found],
            "template": TEMPLATE,
            "isolated": sandbox.isolated,
            "problem": sandbox.problem(),
        }

    @routes.post("/versions", status_code=201)
    async def add(request: Request, app: str, body: NewVersion) -> dict[str, Any]:
        """Check source and packages, and keep them as a new, inactive version."""
        application = await resolve(request, app, Permission.PROCESSOR_WRITE)
        version = await processors.add(
            application, body.source, body.packages, author=await author(request), note=body.note
        )
        return _shown(version)

    @routes.post("/try")
    async def try_out(request: Request, app: str, body: Trial) -> dict[str, Any]:
        """Run a source over given payloads and recorded events; nothing is stored."""
        application = await resolve(request, app, Permission.PROCESSOR_WRITE)
        events = [_event(app, application, payload) for payload in body.events]
        if body.recent:
            events += await reader_of_recent_events(application, body.recent)
        result = await processors.try_out(application, body.source, body.packages, events)
        return {
            "results": [_result(event, outcome) for event, outcome in zip(events, result.outcomes, strict=True)],
            "printed": result.printed,
            "seconds": result.seconds,
        }

    @routes.post("/versions/{number}/activate", status_code=204)
    async def activate(request: Request, app: str, number: int) -> Response:
        application = await resolve(request, app, Permission.PROCESSOR_WRITE)
        await processors.activate(application, number)
        return Response(status_code=204)

    @routes.post("/rollback")
    async def roll_back(request: Request, app: str) -> dict[str, Any]:
        """Activate what was active before; doing it twice is no change."""
        application = await resolve(request, app, Permission.PROCESSOR_WRITE)
        return _shown(await processors.roll_back(application))

    @routes.delete("", status_code=204)
    async def deactivate(request: Request, app: str) -> Response:
        """No processor: payloads are stored as they come. Versions are kept."""
        application = await resolve(request, app, Permission.PROCESSOR_WRITE)
        await processors.deactivate(application)
        return Response(status_code=204)

    return routes


def _event(name: str, uid: str, payload: Any) -> Event:
    """A payload of a test run as the event that a device called `sample` would have caused."""
    try:
        data = msgspec.json.encode(payload)
    except (UnicodeEncodeError, ValueError) as cause:
        raise REQUEST_INVALID.error(f"events: {cause}") from None
    return Event(
        id=uuid7(),
        time=now_us(),
        application=name,
        applicationuid=uid,
        device="sample",
        deviceuid="",
        sender="sample",
        senderuid="",
        subject="sample",
        datacontenttype="application/json",
        data=data,
        instance="",
    )


def _shown(version: Version) -> dict[str, Any]:
    return {
        "number": version.number,
        "created": to_rfc3339(version.created),
        "author": version.author,
        "note": version.note,
        "packages": list(version.packages),
        "active": version.active,
        "source": version.source,
    }


def _result(event: Event, outcome: Outcome) -> dict[str, Any]:
    """One event of a test run: what went in, and `rows` or `failed`."""
    shown: dict[str, Any] = {
        "id": event.id,
        "time": event.time_text,
        "device": event.device,
        "channel": event.subject,
        "contenttype": event.datacontenttype,
        "input": event.data.decode("utf-8", "replace"),
    }
    if isinstance(outcome, Failed):
        return shown | {"failed": {"reason": outcome.reason, "detail": outcome.detail}}
    rows = [
        {
            "measurement": part.measurement,
            "sensor": part.sensor,
            "time": None if part.time is None else to_rfc3339(part.time),
            "data": part.data,
        }
        for part in outcome
    ]
    return shown | {"rows": rows}
