# SPDX-License-Identifier: Apache-2.0
"""Refusals of `/api/v1` as RFC 9457 problem details: a route class, so that a router carries its own form."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.responses import JSONResponse

from freehold.core.errors import REQUEST_INVALID, FreeholdError


def problem_response(error: FreeholdError) -> Response:
    return JSONResponse(error.problem(), error.refusal.status, media_type="application/problem+json")


class ProblemRoute(APIRoute):
    """`APIRouter(route_class=ProblemRoute)`: what its handlers refuse is answered as `application/problem+json`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_or_refuse(request: Request) -> Response:
            try:
                return await handle(request)
            except FreeholdError as error:
                return problem_response(error)
            except RequestValidationError as invalid:
                # Only where and why: `input` would repeat what was sent, a secret perhaps.
                first = invalid.errors()[0]
                where = ".".join(str(part) for part in first["loc"])
                return problem_response(REQUEST_INVALID.error(f"{where}: {first['msg']}"))

        return handle_or_refuse
