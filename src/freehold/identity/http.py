# SPDX-License-Identifier: Apache-2.0
"""The door of every HTTP API and of the console: from a request to the `Principal` behind it.

door = Door(identity, public_url=settings.api.public_url)

@router.get("/things")
async def things(principal: Annotated[Principal, Depends(door.principal_of)]) -> ...
"""

from __future__ import annotations

from fastapi import Request, Response
from starlette.concurrency import run_in_threadpool

from freehold.core.errors import FORBIDDEN, NOT_SIGNED_IN
from freehold.identity.interfaces import Identity
from freehold.identity.models import Principal
from freehold.identity.presented import COOKIE, Shown, credentials, origin_of, same_origin

COOKIE_SECONDS = 400 * 24 * 3600
"""As long as browsers keep a cookie. The session behind it ends earlier; only the server decides when."""


def sign_in_url(base: str, secret: str) -> str:
    """The one-time link. Its secret is in the fragment, which browsers send to nobody: no log ever holds it."""
    return f"{base.rstrip('/')}/signin#{secret}"


class Door:
    """Signs requests in. `public_url` is the setting `api.public_url`: where people reach us through a proxy."""

    def __init__(self, identity: Identity, public_url: str = "") -> None:
        self._identity = identity
        self._public_origin = origin_of(public_url)

    async def principal_of(self, request: Request) -> Principal:
        """Who sent `request`: by session cookie, `Bearer` or `Basic` access token, and exactly one of them.

        Raises `identity.not-signed-in`, and `identity.forbidden` when a page that is not ours made a
        signed-in browser send something that changes.
        """
        shown = credentials(request.headers.get("authorization"), request.cookies.get(COOKIE))
        if shown.kind is Shown.SESSION:
            self.check_origin(request)
            principal = await run_in_threadpool(self._identity.session, shown.secret)
        else:
            principal = await run_in_threadpool(self._identity.token, shown.secret)
        if principal is None or shown.user not in {None, principal.name}:
            raise NOT_SIGNED_IN.error()
        return principal

    def check_origin(self, request: Request) -> None:
        """Raise `identity.forbidden` for a request from a page that is not ours, if its method changes things.

        `principal_of` calls it; sign-in, where no session exists yet, must call it by itself.
        """
        here = origin_of(str(request.base_url))
        if not same_origin(request.method, request.headers, frozenset({here, self._public_origin}) - {""}):
            raise FORBIDDEN.error("This request came from another site's page")

    def set_cookie(self, request: Request, response: Response, secret: str) -> None:
        """Give the browser its session."""
        response.set_cookie(
            COOKIE, secret, max_age=COOKIE_SECONDS, httponly=True, samesite="strict", secure=self._secure(request)
        )

    def clear_cookie(self, request: Request, response: Response) -> None:
        response.delete_cookie(COOKIE, httponly=True, samesite="strict", secure=self._secure(request))

    def _secure(self, request: Request) -> bool:
        return request.url.scheme == "https" or self._public_origin.startswith("https:")
