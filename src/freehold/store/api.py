# SPDX-License-Identifier: Apache-2.0
"""`/api/v1/apps/{app}/telemetry` and `/dead-letters`: what an application measured, and what could not be stored."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal

import msgspec
from fastapi import APIRouter, Header, Request
from fastapi import Query as Parameter
from starlette.responses import Response, StreamingResponse

from freehold.core.clock import from_rfc3339, now_us, to_rfc3339
from freehold.core.errors import NOT_FOUND, QUERY_INVALID
from freehold.events.cloudevents import to_structured
from freehold.events.models import decode
from freehold.identity.interfaces import Permission
from freehold.identity.problems import ProblemRoute
from freehold.store.formats import render
from freehold.store.interfaces import Aggregate, DeadLetter, Query, SeriesInfo, TelemetryReader
from freehold.store.live import Follower, LiveResponse, Selection, Viewers
from freehold.store.params import FORMATS, LONGEST, choose_format, parse_duration, parse_time

Resolve = Callable[[Request, str, str], Awaitable[str]]
"""(request, application's name, permission) → the application's uid, or raises `FreeholdError`."""

MOST_NAMES = 200
NO_STORE = {"Cache-Control": "no-store"}

_encode = msgspec.json.Encoder().encode


def router(*, reader: TelemetryReader, resolve: Resolve) -> APIRouter:
    """The routes. Refusals are problem details."""
    routes = APIRouter(prefix="/api/v1", route_class=ProblemRoute, tags=["telemetry"])
    viewers = Viewers()

    @routes.get("/apps/{app}/telemetry", response_class=Response)
    async def telemetry(
        request: Request,
        app: str,
        start: str = Parameter("-1h", max_length=LONGEST, description="RFC 3339, seconds since 1970, `now`, `-1h`"),
        end: str = Parameter("now", max_length=LONGEST),
        device: list[str] = Parameter([], max_length=MOST_NAMES),
        measurement: list[str] = Parameter([], max_length=MOST_NAMES),
        field: list[str] = Parameter([], max_length=MOST_NAMES),
        every: str | None = Parameter(None, max_length=LONGEST, description="a bucket, like `1m`"),
        aggregate: Aggregate | None = None,
        limit: int = Parameter(100_000, ge=1, le=1_000_000, description="newest points of each series"),
        format: Literal["json", "csv", "arrow"] | None = Parameter(None, description="instead of `Accept`"),
        accept: str = Header(""),
    ) -> Response:
        """Points by time: raw values, or with `every` one aggregate a bucket (`mean` if not said).

        Answers JSON, `text/csv` or `application/vnd.apache.arrow.stream`.
        """
        application = await resolve(request, app, Permission.APP_READ)
        media = choose_format(accept, format)
        if aggregate is not None and every is None:
            raise QUERY_INVALID.error("`aggregate` needs `every`, the length of a bucket")
        now = now_us()
        query = Query(
            application,
            parse_time("start", start, now),
            parse_time("end", end, now),
            tuple(device),
            tuple(measurement),
            tuple(field),
            None if every is None else parse_duration("every", every),
            aggregate or "mean",
            limit,
        )
        if query.start > query.end:
            raise QUERY_INVALID.error("`start` lies after `end`")
        found = await reader.query(query)
        return StreamingResponse(render(media, query, found), media_type=media, headers=NO_STORE | {"Vary": "Accept"})

    @routes.get("/apps/{app}/telemetry/series", response_class=Response)
    async def series(request: Request, app: str, device: list[str] = Parameter([], max_length=MOST_NAMES)) -> Response:
        """The series that exist, each with its newest value."""
        application = await resolve(request, app, Permission.APP_READ)
        found = await reader.series(application, devices=tuple(device))
        return _json({"series": [_info(info) for info in found]})

    @routes.get("/apps/{app}/telemetry/live", response_class=Response)
    async def live(
        request: Request,
        app: str,
        device: list[str] = Parameter([], max_length=MOST_NAMES),
        measurement: list[str] = Parameter([], max_length=MOST_NAMES),
        field: list[str] = Parameter([], max_length=MOST_NAMES),
        since: str | None = Parameter(None, max_length=LONGEST, description="as `start`, or an event's id"),
        last_event_id: str | None = Header(None, alias="Last-Event-ID", max_length=LONGEST),
    ) -> Response:
        """New points as Server-Sent Events: `points` with `series` as in the query's JSON.

        A point is known by series and time; after a reconnect some may come again.
        """
        application = await resolve(request, app, Permission.APP_READ)
        last = last_event_id or since
        follower = Follower(
            reader,
            application,
            Selection(tuple(device), tuple(measurement), tuple(field)),
            None if last is None else parse_time("since", last, now_us()),
        )

        async def still_allowed() -> None:
            if await resolve(request, app, Permission.APP_READ) != application:
                raise NOT_FOUND.error()  # deleted, and made again under the same name

        return LiveResponse(follower, viewers, still_allowed)

    @routes.get("/apps/{app}/dead-letters", response_class=Response)
    async def dead_letters(
        request: Request,
        app: str,
        limit: int = Parameter(100, ge=1, le=1000),
        before: str | None = Parameter(None, max_length=LONGEST, description="`next` of the page before"),
    ) -> Response:
        """Events that a processor or the store could not take, newest first."""
        application = await resolve(request, app, Permission.APP_READ)
        found = await reader.dead_letters(application, limit=limit, before=_before(before))
        following = to_rfc3339(found[-1].time) if len(found) == limit else None
        return _json({"deadLetters": [_letter(letter) for letter in found], "next": following})

    return routes


def _before(text: str | None) -> int | None:
    try:
        return None if text is None else from_rfc3339(text)
    except ValueError as cause:
        raise QUERY_INVALID.error(f"`before`: {cause}") from None


def _json(body: Any) -> Response:
    return Response(_encode(body), media_type=FORMATS["json"], headers=NO_STORE)


def _info(info: SeriesInfo) -> dict[str, Any]:
    return {
        "device": info.device,
        "measurement": info.measurement,
        "field": info.field,
        "lastTime": to_rfc3339(info.last_time),
        "lastValue": info.last_value,
    }


def _letter(letter: DeadLetter) -> dict[str, Any]:
    return {
        "id": letter.event_id,
        "time": to_rfc3339(letter.time),
        "device": letter.device,
        "channel": letter.channel,
        "reason": letter.reason,
        "detail": letter.detail,
        "processorVersion": letter.processor_version,
        "event": _event(letter.event),
    }


def _event(kept: bytes) -> msgspec.Raw | None:
    """The CloudEvent; None for one that this version cannot read, which must not hide the others."""
    try:
        return msgspec.Raw(to_structured(decode(kept)))
    except msgspec.DecodeError:
        return None
