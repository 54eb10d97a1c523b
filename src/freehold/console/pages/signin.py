# SPDX-License-Identifier: Apache-2.0
"""Signing in with a one-time link, and out. Works without JavaScript: the code can be pasted."""

from __future__ import annotations

from fastapi import APIRouter, Form, Query, Request, Response
from starlette.responses import RedirectResponse

from freehold.console.rendering import NO_STORE
from freehold.console.web import Console, go, in_thread
from freehold.core.errors import FreeholdError
from freehold.identity.presented import COOKIE

LONGEST_CODE = 2000


def code_of(pasted: str) -> str:
    """The secret in what somebody pasted: the code, or the whole link with it."""
    return pasted.strip().rpartition("#")[2]


def routes(console: Console) -> APIRouter:
    pages = APIRouter(route_class=console.route_class)
    identity, door = console.services.identity, console.door

    @pages.get("/signin")
    async def signin() -> Response:
        return console.renderer.page("signin.html", refusal=None)

    @pages.post("/signin")
    async def redeem(request: Request, code: str = Form("", max_length=LONGEST_CODE)) -> Response:
        try:
            door.check_origin(request)
            secret = await in_thread(identity.redeem_link, code_of(code))
        except FreeholdError as refused:
            status = refused.refusal.status
            return console.renderer.page("signin.html", status=status, refusal=refused.problem())
        response = RedirectResponse("/", 303, headers=NO_STORE)
        door.set_cookie(request, response, secret)
        return response

    @pages.post("/signout")
    async def sign_out(request: Request, everywhere: bool = Query(False)) -> Response:
        principal = await console.visitor(request)
        if everywhere:
            await in_thread(identity.sign_out_everywhere, principal)
        await in_thread(identity.sign_out, request.cookies.get(COOKIE, ""))
        response = go(request, "/signin")
        door.clear_cookie(request, response)
        return response

    return pages
