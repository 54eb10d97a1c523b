# SPDX-License-Identifier: Apache-2.0
"""The registry over HTTP: `/api/registry/v1alpha1` as Drogue's clients know it (contract drogue.md 4.1), and
`/api/v1/apps/{app}/devices/{device}/password`, which is ours.

Where this is stricter or says more than Drogue: a refused body tells the field and the rule instead of
nothing, and an application of another tenant is 404 like one that does not exist, never 403.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Request, Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse

from freehold.core.errors import NOT_FOUND, REFERENCE_NOT_FOUND, FreeholdError
from freehold.identity.authorize import RoleAuthorizer
from freehold.identity.http import Door
from freehold.identity.interfaces import Authorizer, Identity, Permission, Principal
from freehold.identity.problems import ProblemRoute
from freehold.registry.bodies import preconditions, read_object, whole_number
from freehold.registry.interfaces import ApplicationRef, Registry

BASE = "/api/registry/v1alpha1"
BODY_BYTES = 1_048_576


class LegacyRoute(APIRoute):
    """Renders refusals as Drogue does: two fields, and nothing at all for a GET of what is not there."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_or_refuse(request: Request) -> Response:
            try:
                return await handle(request)
            except FreeholdError as error:
                if request.method == "GET" and error.refusal is NOT_FOUND:
                    return Response(status_code=404)
                return JSONResponse(error.legacy_body(), error.refusal.status)

        return handle_or_refuse


def router(
    *,
    registry: Registry,
    identity: Identity,
    authorizer: Authorizer | None = None,
    public_url: str = "",
    body_bytes: int = BODY_BYTES,
) -> APIRouter:
    """All routes of the registry. `public_url` and `body_bytes` are the settings of section `api`."""
    api = _Api(registry, authorizer or RoleAuthorizer(), Door(identity, public_url), body_bytes)
    routes = APIRouter(tags=["registry"])
    routes.include_router(_applications(api))
    routes.include_router(_devices(api))
    routes.include_router(_ours(api))
    return routes


class _Api:
    """What every handler needs: the registry, and who may."""

    def __init__(self, registry: Registry, authorizer: Authorizer, door: Door, body_bytes: int) -> None:
        self.registry = registry
        self.authorizer = authorizer
        # As a default value, not `Annotated`: a local name in an annotation cannot be resolved from its text.
        self.signed_in: Any = Depends(door.principal_of)
        self._body_bytes = body_bytes

    async def permitted(self, principal: Principal, permission: Permission, application: str) -> ApplicationRef:
        """The application, if `principal` may do this to it; acting for its tenant is then right."""
        found = await run_in_threadpool(self.registry.find_application, application)
        return self.authorizer.require(principal, permission, found)

    async def body(self, request: Request) -> dict[str, Any]:
        return await read_object(request, self._body_bytes)


def _page(request: Request) -> dict[str, Any]:
    return {
        "labels": request.query_params.get("labels", ""),
        "limit": whole_number(request, "limit"),
        "offset": whole_number(request, "offset") or 0,
    }


def _created(*segments: str) -> Response:
    path = "/".join(quote(segment, safe="") for segment in segments)
    return Response(status_code=201, headers={"Location": f"{BASE}/{path}"})


def _applications(api: _Api) -> APIRouter:
    routes = APIRouter(prefix=BASE, route_class=LegacyRoute)
    registry, signed_in = api.registry, api.signed_in

    @routes.get("/apps")
    async def list_applications(request: Request, principal: Principal = signed_in) -> Response:
        api.authorizer.require(principal, Permission.APP_READ, principal)
        found = await run_in_threadpool(registry.list_applications, principal.tenant, **_page(request))
        return JSONResponse([each.as_json() for each in found])

    @routes.post("/apps")
    async def create_application(request: Request, principal: Principal = signed_in) -> Response:
        api.authorizer.require(principal, Permission.APP_CREATE, principal)
        name = await run_in_threadpool(registry.create_application, principal.tenant, await api.body(request))
        return _created("apps", name)

    @routes.get("/apps/{app}")
    async def get_application(app: str, principal: Principal = signed_in) -> Response:
        ref = await api.permitted(principal, Permission.APP_READ, app)
        return JSONResponse((await run_in_threadpool(registry.get_application, ref.tenant, app)).as_json())

    @routes.put("/apps/{app}")
    async def update_application(request: Request, app: str, principal: Principal = signed_in) -> Response:
        ref = await api.permitted(principal, Permission.APP_WRITE, app)
        await run_in_threadpool(registry.update_application, ref.tenant, app, await api.body(request))
        return Response(status_code=204)

    @routes.delete("/apps/{app}")
    async def delete_application(request: Request, app: str, principal: Principal = signed_in) -> Response:
        ref = await api.permitted(principal, Permission.APP_ADMIN, app)
        when = preconditions(await api.body(request))
        await run_in_threadpool(registry.delete_application, ref.tenant, app, when)
        return Response(status_code=204)

    return routes


def _devices(api: _Api) -> APIRouter:
    # `device:path`: the server has decoded `bar%2Fbaz` before routes are matched, so a name may hold slashes.
    routes = APIRouter(prefix=BASE, route_class=LegacyRoute)
    registry, signed_in = api.registry, api.signed_in

    @routes.get("/apps/{app}/devices")
    async def list_devices(request: Request, app: str, principal: Principal = signed_in) -> Response:
        ref = await api.permitted(principal, Permission.APP_READ, app)
        found = await run_in_threadpool(registry.list_devices, ref.tenant, app, **_page(request))
        return JSONResponse([each.as_json() for each in found])

    @routes.post("/apps/{app}/devices")
    async def create_device(request: Request, principal: Principal = signed_in) -> Response:
        # The application is the one that the body names; the path's is not looked at (contract drogue.md 4.1).
        body = await api.body(request)
        ref = await _referenced(api, principal, body)
        application, device = await run_in_threadpool(registry.create_device, ref.tenant, body)
        return _created("apps", application, "devices", device)

    @routes.get("/apps/{app}/devices/{device:path}")
    async def get_device(app: str, device: str, principal: Principal = signed_in) -> Response:
        ref = await api.permitted(principal, Permission.APP_READ, app)
        return JSONResponse((await run_in_threadpool(registry.get_device, ref.tenant, app, device)).as_json())

    @routes.put("/apps/{app}/devices/{device:path}")
    async def update_device(request: Request, app: str, device: str, principal: Principal = signed_in) -> Response:
        ref = await api.permitted(principal, Permission.APP_WRITE, app)
        await run_in_threadpool(registry.update_device, ref.tenant, app, device, await api.body(request))
        return Response(status_code=204)

    @routes.delete("/apps/{app}/devices/{device:path}")
    async def delete_device(request: Request, app: str, device: str, principal: Principal = signed_in) -> Response:
        ref = await api.permitted(principal, Permission.APP_WRITE, app)
        when = preconditions(await api.body(request))
        await run_in_threadpool(registry.delete_device, ref.tenant, app, device, when)
        return Response(status_code=204)

    return routes


async def _referenced(api: _Api, principal: Principal, body: dict[str, Any]) -> ApplicationRef:
    """The application that a new device's body names. Raises `resource.reference.not-found` for one that is
    absent or not ours, alike."""
    metadata = body.get("metadata")
    name = metadata.get("application") if isinstance(metadata, dict) else None
    if not isinstance(name, str):
        # The registry names what is wrong with the body.
        return ApplicationRef("", "", principal.tenant)
    try:
        return await api.permitted(principal, Permission.APP_WRITE, name)
    except FreeholdError as error:
        if error.refusal is NOT_FOUND:
            raise REFERENCE_NOT_FOUND.error() from None
        raise


def _ours(api: _Api) -> APIRouter:
    routes = APIRouter(prefix="/api/v1", route_class=ProblemRoute)
    registry, signed_in = api.registry, api.signed_in

    @routes.post("/apps/{app}/devices/{device:path}/password")
    async def generate_password(app: str, device: str, principal: Principal = signed_in) -> Response:
        """Make a password for a device, in place of the one made here before, and show it this once."""
        ref = await api.permitted(principal, Permission.APP_WRITE, app)
        secret = await run_in_threadpool(registry.generate_password, ref.tenant, app, device)
        return JSONResponse({"password": secret}, headers={"Cache-Control": "no-store"})

    return routes
