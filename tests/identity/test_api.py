# SPDX-License-Identifier: Apache-2.0
"""Signing in over HTTP: the cookie, the ways to show who one is, forged requests, tokens."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from freehold.identity.api import router
from freehold.identity.http import sign_in_url
from freehold.identity.models import Principal
from freehold.identity.presented import COOKIE
from freehold.identity.service import IdentityService
from tests.identity.conftest import House

HERE = "http://testserver"
OWN_PAGE = {"origin": HERE}


def serve(identity: IdentityService, base: str = HERE, public_url: str = "") -> httpx.AsyncClient:
    app = FastAPI()
    app.include_router(router(identity=identity, public_url=public_url))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base)


@pytest.fixture
async def client(identity: IdentityService) -> AsyncIterator[httpx.AsyncClient]:
    async with serve(identity) as client:
        yield client


async def sign_in(client: httpx.AsyncClient, identity: IdentityService) -> httpx.Response:
    link = identity.make_link(identity.first_owner())
    return await client.post("/api/v1/session", json={"link": link}, headers=OWN_PAGE)


async def test_signing_in_gives_a_cookie_that_scripts_and_other_sites_cannot_use(
    client: httpx.AsyncClient, identity: IdentityService
) -> None:
    answer = await sign_in(client, identity)
    assert answer.status_code == 204
    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith(f"{COOKIE}=frs_")
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "path=/" in cookie
    assert "secure" not in cookie
    me = await client.get("/api/v1/me")
    assert me.json()["name"] == "owner"
    assert me.json()["via"] == "session"


@pytest.mark.parametrize(("base", "public_url"), [("https://testserver", ""), (HERE, "https://iot.example/x")])
async def test_on_https_the_cookie_never_travels_in_clear(
    identity: IdentityService, base: str, public_url: str
) -> None:
    async with serve(identity, base, public_url) as client:
        link = identity.make_link(identity.first_owner())
        answer = await client.post("/api/v1/session", json={"link": link}, headers={"origin": base})
    assert "; secure" in answer.headers["set-cookie"].lower()


async def test_behind_a_proxy_the_public_url_is_ours_too(identity: IdentityService) -> None:
    async with serve(identity, public_url="https://iot.example") as client:
        link = identity.make_link(identity.first_owner())
        headers = {"origin": "https://iot.example"}
        assert (await client.post("/api/v1/session", json={"link": link}, headers=headers)).status_code == 204


async def test_a_link_is_taken_once(client: httpx.AsyncClient, identity: IdentityService) -> None:
    link = identity.make_link(identity.first_owner())
    for status in (204, 403):
        answer = await client.post("/api/v1/session", json={"link": link}, headers=OWN_PAGE)
        assert answer.status_code == status
    assert answer.json()["code"] == "identity.link.invalid"
    assert answer.headers["content-type"] == "application/problem+json"
    assert link not in answer.text


async def test_signing_out_ends_the_session_and_the_cookie(
    client: httpx.AsyncClient, identity: IdentityService
) -> None:
    await sign_in(client, identity)
    secret = client.cookies[COOKIE]
    answer = await client.delete("/api/v1/session", headers=OWN_PAGE)
    assert answer.status_code == 204
    assert "max-age=0" in answer.headers["set-cookie"].lower()
    assert identity.session(secret) is None


@pytest.mark.parametrize(
    "headers",
    [{}, {"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}],
)
async def test_another_sites_page_cannot_act_for_a_signed_in_browser(
    client: httpx.AsyncClient, identity: IdentityService, owner: Principal, headers: dict[str, str]
) -> None:
    await sign_in(client, identity)
    for method, path in (("POST", "/api/v1/tokens"), ("DELETE", "/api/v1/tokens/x"), ("DELETE", "/api/v1/session")):
        answer = await client.request(method, path, headers=headers, json={})
        assert answer.status_code == 403
        assert answer.json()["code"] == "identity.forbidden"
    assert identity.tokens(owner) == []
    assert (await client.get("/api/v1/me", headers=headers)).status_code == 200


async def test_another_sites_page_cannot_sign_a_browser_in(
    client: httpx.AsyncClient, identity: IdentityService
) -> None:
    link = identity.make_link(identity.first_owner())
    headers = {"origin": "https://evil.example"}
    answer = await client.post("/api/v1/session", json={"link": link}, headers=headers)
    assert answer.status_code == 403
    assert identity.redeem_link(link)


def basic(user: str, token: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{token}".encode()).decode()


async def test_tokens_work_as_bearer_and_as_basic_password(
    client: httpx.AsyncClient, identity: IdentityService, owner: Principal
) -> None:
    secret = identity.create_token(owner).secret
    for authorization in (f"Bearer {secret}", basic("owner", secret)):
        answer = await client.get("/api/v1/me", headers={"authorization": authorization})
        assert answer.json()["via"] == "token"
    # A token is no cookie: it needs no proof of origin.
    answer = await client.post("/api/v1/tokens", headers={"authorization": f"Bearer {secret}"}, json={})
    assert answer.status_code == 201


async def test_a_token_under_the_name_of_somebody_else_is_refused(
    client: httpx.AsyncClient, identity: IdentityService, owner: Principal
) -> None:
    secret = identity.create_token(owner).secret
    for user in ("", "Owner", "mallory"):
        answer = await client.get("/api/v1/me", headers={"authorization": basic(user, secret)})
        assert answer.status_code == 403


async def test_two_ways_to_sign_in_at_once_are_refused(
    client: httpx.AsyncClient, identity: IdentityService, owner: Principal
) -> None:
    await sign_in(client, identity)
    headers = {"authorization": f"Bearer {identity.create_token(owner).secret}"}
    assert (await client.get("/api/v1/me", headers=headers)).status_code == 403


@pytest.mark.parametrize("path", ["/api/v1/me", "/api/v1/tokens"])
async def test_nobody_is_refused_with_what_to_do(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert answer.status_code == 403
    problem = answer.json()
    assert problem["code"] == "identity.not-signed-in"
    assert problem["remedy"]


async def test_the_life_of_a_token(client: httpx.AsyncClient, identity: IdentityService) -> None:
    await sign_in(client, identity)
    body = {"description": "backup", "expires": "2090-01-01T00:00:00Z"}
    made = await client.post("/api/v1/tokens", headers=OWN_PAGE, json=body)
    assert made.headers["cache-control"] == "no-store"
    secret, uid = made.json()["token"], made.json()["uid"]
    (listed,) = (await client.get("/api/v1/tokens")).json()
    assert listed["description"] == "backup"
    assert listed["expires"] == "2090-01-01T00:00:00.000000Z"
    assert "token" not in listed
    async with serve(identity) as machine:
        headers = {"authorization": f"Bearer {secret}"}
        assert (await machine.get("/api/v1/me", headers=headers)).status_code == 200
        assert (await client.delete(f"/api/v1/tokens/{uid}", headers=OWN_PAGE)).status_code == 204
        assert (await machine.get("/api/v1/me", headers=headers)).status_code == 403
    assert (await client.delete(f"/api/v1/tokens/{uid}", headers=OWN_PAGE)).status_code == 404


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"description": 5}, "description"),
        ({"description": "x" * 256}, "description"),
        ({"expires": "tomorrow"}, "expires"),
        ({"expires": "2030-01-01T00:00:00"}, "expires"),
        ({"expires": "2001-01-01T00:00:00Z"}, "expires"),
        ([], "body"),
    ],
)
async def test_a_token_request_that_cannot_be_is_refused_with_the_reason(
    client: httpx.AsyncClient, identity: IdentityService, body: object, where: str
) -> None:
    await sign_in(client, identity)
    answer = await client.post("/api/v1/tokens", headers=OWN_PAGE, json=body)
    assert answer.status_code == 400
    assert where in answer.json()["detail"]


async def test_what_is_sent_as_a_link_is_not_repeated(client: httpx.AsyncClient) -> None:
    for body in ({"link": "secret" * 100}, {"link": ["secret"]}, {"lnik": "secret"}):
        answer = await client.post("/api/v1/session", headers=OWN_PAGE, json=body)
        assert answer.status_code == 400
        assert "secret" not in answer.text


@pytest.mark.parametrize("host", ["[::", "a:b", "evil.example", "é"])
async def test_a_hostile_host_header_opens_nothing(
    client: httpx.AsyncClient, identity: IdentityService, host: str
) -> None:
    await sign_in(client, identity)
    headers = [("host", host.encode()), ("origin", HERE.encode())]
    answer = await client.post("/api/v1/tokens", headers=headers, json={})
    assert answer.status_code == 403


def test_the_link_carries_its_secret_where_no_server_sees_it(house: House) -> None:
    url = httpx.URL(sign_in_url("https://iot.example/", "frl_secret"))
    assert str(url) == "https://iot.example/signin#frl_secret"
    assert b"frl_secret" not in url.raw_path
    assert url.fragment == "frl_secret"
