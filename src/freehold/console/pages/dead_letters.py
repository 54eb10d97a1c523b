# SPDX-License-Identifier: Apache-2.0
"""Dead letters: events that the processor or the store could not take, why, and trying them again."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import msgspec
from fastapi import APIRouter, Form, Query, Request, Response

from freehold.console.web import Console, go
from freehold.core.errors import NOT_FOUND, FreeholdError
from freehold.events.models import Event, decode
from freehold.identity.interfaces import Permission
from freehold.store.interfaces import DeadLetter

PAGE = 20
_AT_ONCE = 50
"""Letters that "retry all" takes in one go, so that the request ends; it can be asked again."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A dead letter with its event, None where that cannot be read."""

    letter: DeadLetter
    event: Event | None


def routes(console: Console) -> APIRouter:
    pages = APIRouter(route_class=console.route_class)
    services = console.services

    async def retry_one(application: str, event_id: str) -> bool:
        """Whether the letter left the list; one that somebody else retried meanwhile did."""
        try:
            await services.platform.retry_dead_letter(application, event_id)
        except FreeholdError as refused:
            if refused.refusal is not NOT_FOUND:
                raise
        return await services.telemetry.dead_letter(application, event_id) is None

    @pages.get("/apps/{app}/dead-letters")
    async def dead_letters(request: Request, app: str, before: int | None = Query(None)) -> Response:
        principal = await console.visitor(request)
        application = await console.application(principal, app, Permission.APP_READ)
        found = await services.telemetry.dead_letters(application.uid, limit=PAGE + 1, before=before)
        stats = await services.telemetry.stats(application.uid)
        return await console.page(
            request, principal, "dead_letters.html",
            section="applications", application_name=app, tab_name="processor",
            letters=[Shown(letter, _event_of(letter)) for letter in found[:PAGE]],
            more=found[PAGE - 1].time if len(found) > PAGE else None, total=stats.dead_letters, at_once=_AT_ONCE,
        )  # fmt: skip

    @pages.post("/apps/{app}/dead-letters/retry")
    async def retry(request: Request, app: str, event_id: str = Form(max_length=255)) -> Response:
        principal = await console.visitor(request)
        application = await console.application(principal, app, Permission.PROCESSOR_WRITE)
        left = await retry_one(application.uid, event_id)
        return go(request, f"/apps/{app}/dead-letters", done="retried" if left else "failed-again")

    @pages.post("/apps/{app}/dead-letters/retry-all")
    async def retry_all(request: Request, app: str) -> Response:
        principal = await console.visitor(request)
        application = await console.application(principal, app, Permission.PROCESSOR_WRITE)
        letters = await services.telemetry.dead_letters(application.uid, limit=_AT_ONCE)
        # Side by side: one that fails again is waited for, and fifty of them must not add up.
        left = await asyncio.gather(*(retry_one(application.uid, letter.event_id) for letter in letters))
        return go(request, f"/apps/{app}/dead-letters", done="retried" if all(left) else "some-failed-again")

    return pages


def _event_of(letter: DeadLetter) -> Event | None:
    try:
        return decode(letter.event)
    except msgspec.DecodeError:
        return None  # a record that never was an event: the reason says so
