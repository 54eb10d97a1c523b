# SPDX-License-Identifier: Apache-2.0
"""The processor: edit, try, save, activate, compare, roll back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from fastapi import APIRouter, Form, Query, Request, Response
from starlette.responses import PlainTextResponse

from freehold.console import format as write
from freehold.console import trial
from freehold.console.progress import Progress
from freehold.console.rendering import NO_STORE
from freehold.console.web import Application, Console, go, in_thread
from freehold.core.errors import NOT_FOUND, REQUEST_INVALID
from freehold.core.ids import new_uid
from freehold.deliver.models import Selection
from freehold.events.models import DEVICE_EVENT, Event
from freehold.identity.interfaces import Permission, Principal
from freehold.process.interfaces import Version
from freehold.process.service import NOTE_CHARACTERS, SOURCE_BYTES
from freehold.process.template import TEMPLATE

_RECORDED = 10
_SOURCE = Form(max_length=SOURCE_BYTES)
_PACKAGES = Form("", max_length=4000)
_JOB = Form("", max_length=40)


def parse_packages(text: str) -> list[str]:
    """Names of packages, separated by commas, blanks or line breaks."""
    return list(dict.fromkeys(filter(None, re.split(r"[,\s]+", text))))


def routes(console: Console) -> APIRouter:
    pages = APIRouter(route_class=console.route_class)
    services = console.services
    processors = services.processors
    progress = Progress()

    async def writable(request: Request, app: str) -> tuple[Principal, Application]:
        principal = await console.visitor(request)
        return principal, await console.application(principal, app, Permission.PROCESSOR_WRITE)

    @pages.get("/apps/{app}/processor")
    async def processor(request: Request, app: str, version: int | None = Query(None)) -> Response:
        principal = await console.visitor(request)
        application = await console.application(principal, app, Permission.APP_READ)
        versions = await processors.versions(application.uid)
        stats = await services.telemetry.stats(application.uid)
        return await console.page(
            request, principal, "processor.html",
            section="applications", application_name=app, tab_name="processor",
            versions=versions, shown=_chosen(versions, version), sample=TEMPLATE,
            active=next((one for one in versions if one.active), None), dead_letters=stats.dead_letters,
            recorded=_RECORDED, job=new_uid(), sandbox_problem=await in_thread(services.sandbox.problem),
            isolated=services.sandbox.isolated,
        )  # fmt: skip

    @pages.post("/apps/{app}/processor/try")
    async def try_out(
        request: Request,
        app: str,
        source: str = _SOURCE,
        packages: str = _PACKAGES,
        take: Literal["recorded", "pasted"] = Form("recorded"),
        sample: str = Form("", max_length=100_000),
        job: str = _JOB,
    ) -> Response:
        principal, application = await writable(request, app)
        if take == "pasted":
            events = trial.pasted_events(sample, app, application.uid, services.settings.instance)
        else:
            events = await _recorded(console, application)
        report = progress.reporter(principal.person, job)
        result = await processors.try_out(
            application.uid, normal(source), parse_packages(packages), events, progress=report
        )
        progress.forget(principal.person, job)
        return console.renderer.page(
            "partials/trial.html", shown=trial.shown(events, result), printed=result.printed, seconds=result.seconds
        )

    @pages.post("/apps/{app}/processor")
    async def save(
        request: Request,
        app: str,
        source: str = _SOURCE,
        packages: str = _PACKAGES,
        note: str = Form("", max_length=NOTE_CHARACTERS),
        then: Literal["activate", "keep"] = Form("activate"),
        job: str = _JOB,
    ) -> Response:
        principal, application = await writable(request, app)
        version = await processors.add(
            application.uid,
            normal(source),
            parse_packages(packages),
            author=principal.name,
            note=note,
            progress=progress.reporter(principal.person, job),
        )
        progress.forget(principal.person, job)
        if then == "activate":
            await processors.activate(application.uid, version.number)
            return go(request, f"/apps/{app}/processor", done="activated")
        return go(request, f"/apps/{app}/processor", version=str(version.number), done="saved")

    @pages.post("/apps/{app}/processor/activate")
    async def activate(request: Request, app: str, version: int = Form()) -> Response:
        _, application = await writable(request, app)
        await processors.activate(application.uid, version)
        return go(request, f"/apps/{app}/processor", done="activated")

    @pages.post("/apps/{app}/processor/roll-back")
    async def roll_back(request: Request, app: str) -> Response:
        _, application = await writable(request, app)
        await processors.roll_back(application.uid)
        return go(request, f"/apps/{app}/processor", done="rolled-back")

    @pages.post("/apps/{app}/processor/deactivate")
    async def deactivate(request: Request, app: str) -> Response:
        _, application = await writable(request, app)
        await processors.deactivate(application.uid)
        return go(request, f"/apps/{app}/processor", done="deactivated")

    @pages.get("/apps/{app}/processor/progress")
    async def working(request: Request, app: str, job: str = Query("", max_length=40)) -> Response:
        """The newest line that installing packages printed, while a test run or a save is under way."""
        principal, _ = await writable(request, app)
        return PlainTextResponse(write.visible(progress.line(principal.person, job)), headers=NO_STORE)

    @pages.get("/apps/{app}/processor/diff")
    async def diff(request: Request, app: str, old: int = Query(), new: int = Query()) -> Response:
        principal = await console.visitor(request)
        application = await console.application(principal, app, Permission.APP_READ)
        versions = {one.number: one for one in await processors.versions(application.uid)}
        if old not in versions or new not in versions:
            raise NOT_FOUND.error("there is no such version (any more)")
        before, after = versions[old], versions[new]
        lines = list(trial.diff(before.source, after.source, f"version {old}", f"version {new}"))
        packages = (", ".join(before.packages), ", ".join(after.packages))
        return console.renderer.page("partials/diff.html", old=before, new=after, lines=lines, packages=packages)

    return pages


def normal(source: str) -> str:
    """Forms send CRLF (HTML Standard, 4.10.22.7); Python and diffs want LF."""
    return source.replace("\r\n", "\n")


def _chosen(versions: Sequence[Version], number: int | None) -> Version | None:
    """The version for the editor: the one asked for, else the active one, else the newest."""
    if number is not None:
        chosen = next((one for one in versions if one.number == number), None)
        if chosen is None:
            raise NOT_FOUND.error(f"there is no version {number} (any more)")
        return chosen
    return next((one for one in versions if one.active), versions[0] if versions else None)


async def _recorded(console: Console, application: Application) -> list[Event]:
    found = await console.services.live.latest(application.uid, Selection(type=DEVICE_EVENT), _RECORDED)
    if not found:
        raise REQUEST_INVALID.error("No events are recorded yet: let a device send one, or paste a payload to try with")
    return [item.event for item in found]
