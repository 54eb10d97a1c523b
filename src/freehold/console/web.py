# SPDX-License-Identifier: Apache-2.0
"""What every page needs of a request: who asks, for which application, and how refusals look.

A route refuses by raising `FreeholdError`. A browser that navigates gets a page, htmx gets a fragment for the
place that asked, and somebody who is not signed in gets the sign-in page.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlencode

import structlog
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, RedirectResponse

from freehold.console.rendering import DONE, NO_STORE, Renderer
from freehold.console.services import Services
from freehold.core.errors import INTERNAL, NOT_SIGNED_IN, PAYLOAD_TOO_LARGE, REQUEST_INVALID, FreeholdError
from freehold.identity.http import Door
from freehold.identity.interfaces import Permission, Principal
from freehold.registry.interfaces import Resource

_log = structlog.get_logger(__name__)

_LISTED = 12
"""Applications in the side bar."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Frame:
    """What is around every page."""

    person: str
    instance: str
    applications: tuple[str, ...]
    problems: int

    @property
    def initials(self) -> str:
        words = self.person.split()
        return "".join(word[0] for word in words[:2]).upper() or "?"


@dataclass(frozen=True, slots=True)
class Application:
    """An application for which the visitor was found to be permitted. Calls to the registry are for `tenant`."""

    uid: str
    name: str
    tenant: str
    resource: Resource


class Console:
    """What the pages share. One for the life of the process."""

    def __init__(self, services: Services, renderer: Renderer) -> None:
        self.services = services
        self.renderer = renderer
        self.door = Door(services.identity, services.settings.api.public_url)
        self.route_class = _page_route(renderer, services.settings.api.body_bytes)

    async def visitor(self, request: Request) -> Principal:
        """Raises `identity.not-signed-in`, and `identity.forbidden` for a form that another site sent."""
        return await self.door.principal_of(request)

    async def application(self, principal: Principal, name: str, permission: Permission) -> Application:
        """Raises `resource.not-found`, `identity.forbidden`."""
        registry, authorizer = self.services.registry, self.services.authorizer
        found = await in_thread(registry.find_application, name)
        ref = authorizer.require(principal, permission, found)
        resource = await in_thread(registry.get_application, ref.tenant, name)
        return Application(resource.metadata["uid"], name, ref.tenant, resource)

    async def page(self, request: Request, principal: Principal, template: str, /, **context: Any) -> HTMLResponse:
        """A whole page in its frame."""
        return self.renderer.page(
            template,
            frame=await self._frame(principal),
            done=DONE.get(request.query_params.get("done", ""), ""),
            **context,
        )

    async def _frame(self, principal: Principal) -> Frame:
        services = self.services
        applications = await in_thread(services.registry.list_applications, principal.tenant, limit=_LISTED)
        return Frame(
            person=principal.name,
            instance=services.settings.instance,
            applications=tuple(one.metadata["name"] for one in applications),
            problems=sum(problem is not None for problem in services.platform.health().values()),
        )


async def in_thread(function: Callable[..., Result], *arguments: Any, **named: Any) -> Result:
    """A blocking call of registry or identity."""
    return await run_in_threadpool(function, *arguments, **named)


def is_fragment(request: Request) -> bool:
    """Whether htmx asks for a part of a page."""
    return request.headers.get("hx-request") == "true"


def go(request: Request, path: str, **query: str) -> Response:
    """Lead the browser to another of our pages, whether it navigates or htmx asked for it."""
    target = f"{path}?{urlencode(query)}" if query else path
    if is_fragment(request):
        return Response(status_code=204, headers={"HX-Redirect": target} | NO_STORE)
    return RedirectResponse(target, 303, headers=NO_STORE)


def _page_route(renderer: Renderer, body_bytes: int) -> type[APIRoute]:
    """The class of the pages' routes: whatever their handlers refuse becomes something to read."""

    class PageRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def handle_or_explain(request: Request) -> Response:
                try:
                    _check_length(request, body_bytes)
                    return await handle(request)
                except FreeholdError as refused:
                    if refused.refusal is NOT_SIGNED_IN:
                        return go(request, "/signin")
                    return renderer.problem(refused, fragment=is_fragment(request))
                except RequestValidationError as invalid:
                    first = invalid.errors()[0]
                    reason = REQUEST_INVALID.error(f"{first['loc'][-1]}: {first['msg']}")
                    return renderer.problem(reason, fragment=is_fragment(request))
                except Exception:
                    _log.exception("a page failed", path=request.url.path)
                    return renderer.problem(INTERNAL.error(), fragment=is_fragment(request))

            return handle_or_explain

    return PageRoute


def _check_length(request: Request, most: int) -> None:
    """Refuse a form before it is read: the one for signing in comes from anybody."""
    if request.method in {"GET", "HEAD"}:
        return
    length = request.headers.get("content-length", "")
    if not length.isdigit():
        raise REQUEST_INVALID.error("A form needs its length in the header Content-Length")
    if int(length) > most:
        raise PAYLOAD_TOO_LARGE.error(f"A form has at most {most} bytes (`api.body_bytes`)")
