# SPDX-License-Identifier: Apache-2.0
"""`/api/v1/session`, `/api/v1/me`, `/api/v1/tokens`: signing in and out, and one's own access tokens."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field, SecretStr
from starlette.concurrency import run_in_threadpool

from freehold.core.clock import from_rfc3339, to_rfc3339
from freehold.core.errors import REQUEST_INVALID
from freehold.identity.http import Door
from freehold.identity.interfaces import Identity
from freehold.identity.models import AccessToken, Principal
from freehold.identity.presented import COOKIE
from freehold.identity.problems import ProblemRoute
from freehold.identity.service import LONGEST_DESCRIPTION


class SignIn(BaseModel):
    link: SecretStr = Field(max_length=200)


class TokenRequest(BaseModel):
    description: str = Field("", max_length=LONGEST_DESCRIPTION)
    expires: str | None = Field(None, max_length=40, description="RFC 3339; absent: never")


def router(*, identity: Identity, public_url: str = "") -> APIRouter:
    """The routes. Refusals are problem details."""
    door = Door(identity, public_url)
    routes = APIRouter(prefix="/api/v1", route_class=ProblemRoute, tags=["identity"])
    # As a default, not `Annotated`: a local name in an annotation cannot be resolved from its text.
    signed_in = Depends(door.principal_of)

    @routes.post("/session", status_code=204)
    async def sign_in(request: Request, body: SignIn) -> Response:
        door.check_origin(request)
        secret = await run_in_threadpool(identity.redeem_link, body.link.get_secret_value())
        response = Response(status_code=204)
        door.set_cookie(request, response, secret)
        return response

    @routes.delete("/session", status_code=204)
    async def sign_out(request: Request) -> Response:
        door.check_origin(request)
        await run_in_threadpool(identity.sign_out, request.cookies.get(COOKIE, ""))
        response = Response(status_code=204)
        door.clear_cookie(request, response)
        return response

    @routes.get("/me")
    async def me(principal: Principal = signed_in) -> dict[str, Any]:
        return {"name": principal.name, "via": principal.via, "permissions": sorted(principal.permissions)}

    @routes.get("/tokens")
    async def tokens(principal: Principal = signed_in) -> list[dict[str, Any]]:
        return [_shape(token) for token in await run_in_threadpool(identity.tokens, principal)]

    @routes.post("/tokens", status_code=201)
    async def create(body: TokenRequest, response: Response, principal: Principal = signed_in) -> Any:
        expires = _time(body.expires)
        made = await run_in_threadpool(identity.create_token, principal, body.description, expires)
        response.headers["Cache-Control"] = "no-store"
        return {**_shape(made.token), "token": made.secret}

    @routes.delete("/tokens/{uid}", status_code=204)
    async def revoke(uid: str, principal: Principal = signed_in) -> None:
        await run_in_threadpool(identity.revoke_token, principal, uid)

    return routes


def _time(text: str | None) -> int | None:
    try:
        return None if text is None else from_rfc3339(text)
    except ValueError as reason:
        raise REQUEST_INVALID.error(f"expires: {reason}") from None


def _shape(token: AccessToken) -> dict[str, Any]:
    times = {"created": token.created, "expires": token.expires, "lastUsed": token.last_used}
    return {
        "uid": token.uid,
        "description": token.description,
        **{name: to_rfc3339(time) for name, time in times.items() if time is not None},
    }
