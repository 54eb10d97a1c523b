# SPDX-License-Identifier: Apache-2.0
"""The registry over HTTP as Drogue's clients use it: paths, status codes, empty bodies, error bodies."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from freehold.registry.api import BASE
from freehold.vault import secret_text
from tests.registry.conftest import OURS, Client, app, credentials, device, with_password


@pytest.fixture
async def app1_client(client: Client) -> Client:
    assert (await client.post("/apps", app())).status_code == 201
    return client


async def make(client: Client, *devices: dict[str, Any]) -> None:
    for each in devices:
        answer = await client.post("/apps/app1/devices", each)
        assert answer.status_code == 201, answer.text


def is_refusal(answer: Any, status: int, error: str) -> bool:
    body = answer.json()
    assert set(body) == {"error", "message"}
    assert body["message"]
    return (answer.status_code, body["error"]) == (status, error)


# --- applications ----------------------------------------------------------------------------------


async def test_drogue_64_creating_an_application(client: Client) -> None:
    answer = await client.post("/apps", app())
    assert (answer.status_code, answer.content) == (201, b"")
    assert answer.headers["location"] == f"{BASE}/apps/app1"
    shown = await client.get("/apps/app1")
    assert shown.status_code == 200
    metadata = shown.json()["metadata"]
    assert set(metadata) == {"name", "uid", "creationTimestamp", "generation", "resourceVersion"}
    conditions = {each["type"]: each["status"] for each in shown.json()["status"]["conditions"]}
    assert conditions == {"KafkaReady": "True", "Ready": "True"}


async def test_drogue_64_bad_names_and_taken_names(client: Client) -> None:
    for name in ("App", "", "a_b", "x" * 64):
        assert is_refusal(await client.post("/apps", app(name)), 400, "BadRequest")
    assert (await client.post("/apps", app())).status_code == 201
    assert is_refusal(await client.post("/apps", app()), 409, "Conflict")


async def test_drogue_65_replacing_an_application(app1_client: Client) -> None:
    client = app1_client
    first = (await client.get("/apps/app1")).json()
    answer = await client.put("/apps/app1", first)
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await client.get("/apps/app1")).json() == first
    labelled = copy.deepcopy(first)
    labelled["metadata"]["labels"] = {"a": "1"}
    assert (await client.put("/apps/app1", labelled)).status_code == 204
    second = (await client.get("/apps/app1")).json()
    assert second["metadata"]["generation"] == 0
    second["spec"] = {"x": 1}
    assert (await client.put("/apps/app1", second)).status_code == 204
    third = (await client.get("/apps/app1")).json()
    assert third["metadata"]["generation"] == 1
    versions = {each["metadata"]["resourceVersion"] for each in (first, second, third)}
    assert len(versions) == 3


async def test_drogue_66_refused_replacements(app1_client: Client) -> None:
    client = app1_client
    for body, status, error in (
        (app(resourceVersion="stale"), 409, "OptimisticLockFailed"),
        (app(uid="foreign"), 409, "OptimisticLockFailed"),
        (app("app2"), 400, "BadRequest"),
        (app(label={}), 400, "BadRequest"),
        (app(spec=[]), 400, "BadRequest"),
    ):
        assert is_refusal(await client.put("/apps/app1", body), status, error)
    assert is_refusal(await client.put("/apps/app2", app("app2")), 404, "NotFound")


async def test_drogue_66_deleting_with_preconditions_in_the_body(app1_client: Client) -> None:
    client = app1_client
    metadata = (await client.get("/apps/app1")).json()["metadata"]
    for wrong in ({"uid": "foreign"}, {"resourceVersion": "stale"}, {"uid": metadata["uid"], "resourceVersion": "x"}):
        answer = await client.delete("/apps/app1", {"preconditions": wrong})
        assert is_refusal(answer, 409, "OptimisticLockFailed")
    right = {"uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"]}
    answer = await client.delete("/apps/app1", {"preconditions": right})
    assert (answer.status_code, answer.content) == (204, b"")


@pytest.mark.parametrize(
    "body", [None, {}, {"preconditions": {}}, {"preconditions": None}, {"preconditions": {"uid": None}}]
)
async def test_deleting_without_preconditions(app1_client: Client, body: object) -> None:
    assert (await app1_client.delete("/apps/app1", body)).status_code == 204
    answer = await app1_client.get("/apps/app1")
    assert (answer.status_code, answer.content) == (404, b"")
    assert is_refusal(await app1_client.delete("/apps/app1", body), 404, "NotFound")


@pytest.mark.parametrize("body", [[], "x", 5, {"preconditions": []}, {"preconditions": {"uid": 5}}])
async def test_preconditions_that_are_none_delete_nothing(app1_client: Client, body: object) -> None:
    assert is_refusal(await app1_client.delete("/apps/app1", body), 400, "InvalidRequest")
    assert (await app1_client.get("/apps/app1")).status_code == 200


async def test_drogue_68_the_finalizer_flow(app1_client: Client) -> None:
    client = app1_client
    await make(client, device(finalizers=["f"]))
    assert (await client.delete("/apps/app1/devices/device1")).status_code == 204
    assert (await client.get("/apps/app1/devices/device1")).json()["metadata"]["deletionTimestamp"]
    assert (await client.delete("/apps/app1")).status_code == 204
    assert (await client.get("/apps/app1")).json()["metadata"]["finalizers"] == ["has-devices"]
    assert is_refusal(await client.post("/apps/app1/devices", device("late")), 404, "ReferenceNotFound")
    assert (await client.put("/apps/app1/devices/device1", device())).status_code == 204
    assert (await client.get("/apps/app1/devices/device1")).status_code == 404
    assert (await client.get("/apps/app1")).status_code == 404


async def test_drogue_70_listing(app1_client: Client) -> None:
    client = app1_client
    assert (await client.get("/apps/app1/devices")).json() == []
    await make(client, *(device(name, labels={"n": name, "all": "1"}) for name in ("c", "a", "b")))

    async def names(**query: Any) -> list[str]:
        answer = await client.get("/apps/app1/devices", **query)
        assert answer.status_code == 200
        return [each["metadata"]["name"] for each in answer.json()]

    assert await names() == ["a", "b", "c"]
    assert await names(limit=2) == ["a", "b"]
    assert await names(limit=1, offset=1) == ["b"]
    assert await names(offset=2) == ["c"]
    assert await names(labels="n in (a, c)") == ["a", "c"]
    assert await names(labels="n!=a,all", limit=1, offset=1) == ["c"]
    assert await names(labels="", limit="", offset="") == ["a", "b", "c"]
    assert [each["metadata"]["name"] for each in (await client.get("/apps")).json()] == ["app1"]
    assert (await client.get("/apps", labels="x")).json() == []


@pytest.mark.parametrize(
    "query",
    [{"labels": "foo,#"}, {"limit": "-1"}, {"limit": "x"}, {"offset": "1.5"}, {"limit": "9" * 30}, {"offset": "²"}],
)
async def test_drogue_70_queries_that_cannot_be(app1_client: Client, query: dict[str, str]) -> None:
    for path in ("/apps", "/apps/app1/devices"):
        assert is_refusal(await app1_client.get(path, **query), 400, "InvalidRequest")


# --- devices ---------------------------------------------------------------------------------------


async def test_creating_a_device(app1_client: Client) -> None:
    answer = await app1_client.post("/apps/app1/devices", device("bar/baz", spec=with_password()))
    assert (answer.status_code, answer.content) == (201, b"")
    assert answer.headers["location"] == f"{BASE}/apps/app1/devices/bar%2Fbaz"
    assert (await app1_client.http.get(answer.headers["location"])).json()["metadata"]["name"] == "bar/baz"


@pytest.mark.parametrize(
    "name",
    ["bar/baz", "/lead", "trail/", "a//b", "a b", "a?b#c", "ä/ü", "🛰", "100%", "%2F", "a+b", "..", "a/../b", "x;y"],
)
async def test_any_name_works_percent_encoded(app1_client: Client, name: str) -> None:
    client, path = app1_client, f"/apps/app1/devices/{quote(name, safe='')}".replace("..", "%2E%2E")
    await make(client, device(name), device("neighbour"))
    shown = await client.get(path)
    assert shown.json()["metadata"]["name"] == name
    body = shown.json() | {"spec": {"x": 1}}
    assert (await client.put(path, body)).status_code == 204
    made = await client.http.post(f"/api/v1{path}/password")
    assert made.status_code == 200
    assert (await client.delete(path)).status_code == 204
    assert (await client.get(path)).status_code == 404
    assert [each["metadata"]["name"] for each in (await client.get("/apps/app1/devices")).json()] == ["neighbour"]


async def test_drogue_69_devices_that_cannot_be_made(app1_client: Client) -> None:
    client = app1_client
    path = "/apps/app1/devices"
    assert is_refusal(await client.post(path, device(application="missing")), 404, "ReferenceNotFound")
    assert (await client.post(path, device(application="missing"))).json()["message"] == (
        "Referenced a non-existing entity"
    )
    unique = credentials({"user": {"username": "foo", "password": "bar", "unique": True}})
    await make(client, device("first", spec={"alias": ["al"], **unique}))
    for body in (
        device("first"),
        device("al"),
        device("foo"),
        device("x", spec={"alias": ["foo"]}),
        device("x", spec=unique),
    ):
        assert is_refusal(await client.post(path, body), 409, "Conflict")
    for name in ("", "x" * 256, "ü" * 128):
        assert is_refusal(await client.post(path, device(name)), 400, "BadRequest")
    for body in ({}, app("x"), {"metadata": {"name": "x", "application": 5}}, {"metadata": []}):
        assert is_refusal(await client.post(path, body), 400, "BadRequest")


async def test_the_application_of_a_new_device_is_the_one_in_the_body(app1_client: Client) -> None:
    client = app1_client
    assert (await client.post("/apps", app("app2"))).status_code == 201
    answer = await client.post("/apps/app1/devices", device(application="app2"))
    assert answer.headers["location"] == f"{BASE}/apps/app2/devices/device1"
    assert (await client.get("/apps/app1/devices")).json() == []


async def test_replacing_and_deleting_a_device(app1_client: Client) -> None:
    client, path = app1_client, "/apps/app1/devices/device1"
    await make(client, device(spec=with_password()))
    shown = (await client.get(path)).json()
    answer = await client.put(path, shown)
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await client.get(path)).json() == shown
    for body, status, error in (
        (device("other"), 400, "BadRequest"),
        (device(application="app2"), 400, "BadRequest"),
        (device(resourceVersion="stale"), 409, "OptimisticLockFailed"),
        (device(uid="foreign"), 409, "OptimisticLockFailed"),
    ):
        assert is_refusal(await client.put(path, body), status, error)
    assert is_refusal(await client.delete(path, {"preconditions": {"uid": "x"}}), 409, "OptimisticLockFailed")
    assert (await client.delete(path)).status_code == 204
    answer = await client.get(path)
    assert (answer.status_code, answer.content) == (404, b"")
    assert is_refusal(await client.put(path, device()), 404, "NotFound")
    assert is_refusal(await client.delete(path), 404, "NotFound")


async def test_drogue_08_an_alias_is_no_name(app1_client: Client) -> None:
    await make(app1_client, device(spec={"alias": ["al"]}))
    assert (await app1_client.get("/apps/app1/devices/al")).status_code == 404


async def test_patch_is_not_there(app1_client: Client) -> None:
    answer = await app1_client.http.patch(f"{BASE}/apps/app1", json={})
    assert answer.status_code == 405


async def test_of_two_writers_of_one_version_one_wins_and_the_other_hears_it(app1_client: Client) -> None:
    await make(app1_client, device())
    for path in ("/apps/app1", "/apps/app1/devices/device1"):
        seen = (await app1_client.get(path)).json()
        writes = (app1_client.put(path, seen | {"spec": {"x": i}}) for i in range(4))
        statuses = sorted(answer.status_code for answer in await asyncio.gather(*writes))
        assert statuses == [204, 409, 409, 409]


# --- bodies ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"nonsense",
        b"[]",
        b'"text"',
        b"null",
        b"\xff\xfe",
        b'{"metadata": {"name": "a", "x": NaN}}',
        b'{"metadata": {"name": "a"}, "spec": {"x": 1e999}}',
        b'{"metadata": {"name": "a"}, "spec": {"x": "\\ud800"}}',
        b'{"metadata": {"name": "\\udfff", "application": "\\udfff"}}',
        b"[" * 50_000,
        b'{"metadata": {"name": "a"}, "spec": {"x": ' + b"[" * 5_000 + b"]" * 5_000 + b"}}",
        b'{"metadata": {"name": "a"}, "spec": {"x": ' + b"9" * 10_000 + b"}}",
        b"",
        b"  ",
    ],
    ids=lambda raw: repr(raw[:40]),
)
async def test_bodies_that_are_no_resources_are_refused(app1_client: Client, raw: bytes) -> None:
    for method, path in (("POST", "/apps"), ("PUT", "/apps/app1"), ("POST", "/apps/app1/devices")):
        answer = await app1_client.http.request(method, BASE + path, content=raw)
        assert answer.status_code == 400, answer.text
        assert set(answer.json()) == {"error", "message"}


async def test_a_body_that_is_too_large_is_refused_before_it_is_read(app1_client: Client) -> None:
    sent = 0

    async def endless() -> Any:
        nonlocal sent
        for _ in range(1000):
            sent += 1
            yield b" " * 10_000

    answer = await app1_client.http.post(BASE + "/apps", content=endless())
    assert is_refusal(answer, 413, "PayloadTooLarge")
    body = app(spec={"x": "y" * 100_000})
    assert is_refusal(await app1_client.put("/apps/app1", body), 413, "PayloadTooLarge")


async def test_what_is_opaque_to_us_is_kept_to_the_last_bit(app1_client: Client) -> None:
    opaque = {
        "numbers": [0, -1, 1.5, 1e300, 2**53 + 1, 2**70, 1.0, -0.0],
        "text": ["", "\u0000", "🛰", "\u2028", "</script>"],
        "words": [True, False, None, {}, []],
        "": {" ": {"ünï": 1}},
    }
    await make(app1_client, device(spec=opaque, status=opaque))
    shown = json.loads((await app1_client.get("/apps/app1/devices/device1")).content)
    assert json.dumps(shown["spec"]) == json.dumps(opaque)
    assert json.dumps(shown["status"]) == json.dumps(opaque)


# --- who may ---------------------------------------------------------------------------------------

EVERYTHING = [
    ("GET", f"{BASE}/apps"),
    ("POST", f"{BASE}/apps"),
    ("GET", f"{BASE}/apps/app1"),
    ("PUT", f"{BASE}/apps/app1"),
    ("DELETE", f"{BASE}/apps/app1"),
    ("GET", f"{BASE}/apps/app1/devices"),
    ("POST", f"{BASE}/apps/app1/devices"),
    ("GET", f"{BASE}/apps/app1/devices/device1"),
    ("PUT", f"{BASE}/apps/app1/devices/device1"),
    ("DELETE", f"{BASE}/apps/app1/devices/device1"),
    ("POST", "/api/v1/apps/app1/devices/device1/password"),
]


@pytest.mark.parametrize(("method", "path"), EVERYTHING)
async def test_nobody_may_nothing(
    app1_client: Client, clients: Callable[[str | None], Client], method: str, path: str
) -> None:
    nobody = clients(None)
    for headers in ({}, {"authorization": "Bearer " + secret_text.generate(secret_text.ACCESS)}):
        answer = await nobody.http.request(method, path, json=app("app9"), headers=headers)
        assert answer.status_code == 403
        if path.startswith(BASE):
            assert is_refusal(answer, 403, "Forbidden")
        else:
            assert answer.json()["code"] == "identity.not-signed-in"
    assert (await app1_client.get("/apps")).json()[0]["metadata"]["name"] == "app1"


@pytest.mark.parametrize(("method", "path"), EVERYTHING)
async def test_who_may_see_but_not_do_is_told_so(house: Any, registry: Any, method: str, path: str) -> None:
    """403 and 404 differ inside one's own tenant: a role that grants nothing but reading."""
    import httpx
    from fastapi import FastAPI

    from freehold.identity.models import Permission, Principal, Via
    from freehold.identity.service import IdentityService
    from freehold.registry.api import router

    class Readers(IdentityService):
        def token(self, secret: str) -> Principal | None:
            return Principal(OURS, "ann", "ann", Via.TOKEN, frozenset({Permission.APP_READ}))

    registry.create_application(OURS, app())
    registry.create_device(OURS, device())
    server = FastAPI()
    server.include_router(router(registry=registry, identity=Readers(house.database(), house.vault)))
    headers = {"authorization": "Bearer x"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(server), base_url="http://t", headers=headers) as http:
        answer = await http.request(method, path, json=device())
        absent = await http.request(method, path.replace("app1", "absent"), json=device(application="absent"))
    if method == "GET":
        assert answer.status_code == 200
    else:
        assert answer.status_code == 403
        assert "permission" in answer.text
    if "app1" in path:
        assert absent.status_code == 404


# --- our own ---------------------------------------------------------------------------------------


async def test_a_password_is_generated_and_shown_once(app1_client: Client) -> None:
    client, path = app1_client, "/api/v1/apps/app1/devices/device1/password"
    await make(client, device())
    answer = await client.http.post(path)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    secret = answer.json()["password"]
    assert secret_text.is_generated(secret, "frd_")
    shown = await client.get("/apps/app1/devices/device1")
    assert secret not in shown.text
    assert (await client.http.post(path)).json()["password"] != secret
    missing = await client.http.post(path.replace("device1", "nobody"))
    assert missing.status_code == 404
    assert missing.headers["content-type"] == "application/problem+json"
    assert missing.json()["code"] == "resource.not-found"
