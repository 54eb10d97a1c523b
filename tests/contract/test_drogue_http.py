# SPDX-License-Identifier: Apache-2.0
"""The numbered checks of contract drogue.md that speak HTTP as a device does, with unmodified clients (httpx and
curl), and those of the commands API. What events hold is read from the log by a consumer.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import bcrypt
import httpx
import pytest
from cloudevents.core.bindings import http as sdk
from fastapi import FastAPI, Request
from passlib.hash import sha512_crypt

from freehold.commands.api import router as commands_api
from freehold.commands.interfaces import State
from freehold.commands.router import BusRouter
from freehold.commands.service import CommandService
from freehold.connect.http.endpoint import HttpEndpoint
from freehold.core.errors import FreeholdError
from freehold.events.cloudevents import to_structured
from freehold.events.models import Event
from freehold.identity.authorize import GRANTS, RoleAuthorizer
from freehold.identity.models import Permission, Principal, Role
from tests.conftest import needs
from tests.contract.house import APPLICATION, INSTANCE, TENANT, Furnished, House

USER = ("device1@app1", "foo")
JSON = "application/json"
NOT_AUTHENTICATED = {"code": 403, "error": "AuthenticationError", "message": "Authentication failed"}
LISTED = {"gatewaySelector": {"matchNames": ["gw1"]}}


class Device:
    """Publishes to one endpoint; each call is a request on one kept connection."""

    def __init__(self, port: int) -> None:
        self.http = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30)

    async def post(
        self,
        path: str = "/v1/telemetry",
        auth: tuple[str, str] | None = USER,
        content: bytes = b'{"temp":42}',
        content_type: str | None = JSON,
        headers: Mapping[str, str] = {},
    ) -> httpx.Response:
        typed = {} if content_type is None else {"Content-Type": content_type}
        return await self.http.post(path, auth=auth, content=content, headers={**typed, **headers})


@pytest.fixture
async def device(platform: House) -> AsyncIterator[Device]:
    device = Device(platform.http.port)
    yield device
    await device.http.aclose()


async def refused(house: House, answer: httpx.Response) -> bool:
    """Whether this is the one answer for all who are refused, and nothing was stored."""
    assert (answer.status_code, answer.json()) == (403, NOT_AUTHENTICATED)
    return await house.events() == []


def read_by_the_sdk(event: Event) -> Any:
    """The event as an application reads it, with the official SDK."""
    return sdk.from_structured_event(sdk.HTTPMessage({}, to_structured(event)))


# --- who -------------------------------------------------------------------------------------------


async def test_drogue_01_publish(platform: House, device: Device) -> None:
    answer = await device.post()
    assert (answer.status_code, answer.content) == (202, b"")
    (event,) = await platform.events(1)
    read = read_by_the_sdk(event)
    assert (read.get_type(), read.get_subject()) == ("io.drogue.event.v1", "telemetry")
    assert read.get_data() == {"temp": 42}
    uids = (platform.uid_of_application(), platform.uid_of_device("device1"))
    assert (read.get_extension("applicationuid"), read.get_extension("deviceuid")) == uids
    assert read.get_extension("senderuid") == uids[1]
    assert read.get_extension("device") == read.get_extension("sender") == "device1"
    assert read.get_extension("instance") == INSTANCE
    assert read.get_source() == "drogue://app1/device1"


async def test_drogue_02_wrong_password(platform: House, device: Device) -> None:
    assert await refused(platform, await device.post(auth=("device1@app1", "bar")))


async def test_drogue_04_bearer(platform: House, device: Device) -> None:
    assert await refused(platform, await device.post(auth=None, headers={"Authorization": "Bearer x"}))
    assert await refused(platform, await device.post(auth=None))


async def test_drogue_05_application_in_the_query(platform: House, device: Device) -> None:
    answer = await device.post("/v1/telemetry?application=app1", ("device1", "foo"))
    assert answer.status_code == 202


@pytest.mark.parametrize(
    ("user", "query", "status"),
    [("foo@app1", "device=device1", 202), ("foo", "application=app1&device=device1", 202), ("foo@app1", "", 403)],
)
@pytest.mark.parametrize("unique", [False, True])
async def test_drogue_06_user_names(
    platform: House, device: Device, user: str, query: str, status: int, unique: bool
) -> None:
    credential = {"user": {"username": "foo", "password": "bar", "unique": unique}}
    await platform.put_device("device1", credentials=[credential])
    answer = await device.post(f"/v1/telemetry?{query}", (user, "bar"))
    # A unique user name is a key of the device, so it needs no `device=`.
    assert answer.status_code == (202 if unique else status)


async def test_drogue_08_alias(platform: House, device: Device) -> None:
    await platform.put_device("device1", password="foo", alias=["al"])
    assert (await device.post(auth=("al@app1", "foo"))).status_code == 202
    (event,) = await platform.events(1)
    assert event.device == "device1"
    with pytest.raises(FreeholdError, match="not-found"):
        platform.registry.get_device(TENANT, APPLICATION, "al")


@pytest.mark.parametrize(
    ("sections", "counts"),
    [
        ({"credentials": {"credentials": [{"pass": "old"}]}}, "old"),
        (
            {
                "credentials": {"credentials": [{"pass": "old"}]},
                "authentication": {"credentials": [{"pass": "new"}]},
            },
            "new",
        ),
    ],
    ids=["legacy only", "both"],
)
async def test_drogue_09_legacy_credentials(
    platform: House, device: Device, sections: dict[str, Any], counts: str
) -> None:
    body = {"metadata": {"application": APPLICATION, "name": "device1"}, "spec": sections}
    await asyncio.to_thread(platform.registry.update_device, TENANT, APPLICATION, "device1", body)
    await platform.directory.refresh()
    for secret in ("old", "new"):
        answer = await device.post(auth=("device1@app1", secret))
        assert answer.status_code == (202 if secret == counts else 403)


HASHES = {
    "bcrypt": lambda secret: bcrypt.hashpw(secret.encode(), bcrypt.gensalt(4, b"2a")).decode(),
    "sha512": lambda secret: sha512_crypt.using(rounds=1000).hash(secret),
    "plain": lambda secret: secret,
}


@pytest.mark.parametrize("kind", HASHES)
async def test_drogue_10_hashes_that_the_owner_brought(platform: House, device: Device, kind: str) -> None:
    await platform.put_device("device1", credentials=[{"pass": {kind: HASHES[kind]("foo")}}])
    assert (await device.post()).status_code == 202
    assert (await device.post(auth=("device1@app1", "bar"))).status_code == 403


async def test_drogue_20_a_disabled_application(platform: House, device: Device) -> None:
    assert (await device.post()).status_code == 202
    await platform.put_application(spec={"core": {"disabled": True}})
    assert (await device.post()).status_code == 403
    await platform.put_application()
    assert (await device.post()).status_code == 202
    assert len(await platform.events(2)) == 2


async def test_drogue_20_a_disabled_device(platform: House, device: Device) -> None:
    """Advice A-12: what `core.disabled` of a device means, not what Drogue made of it."""
    assert (await device.post()).status_code == 202
    await platform.put_device("device1", password="foo", core={"disabled": True})
    assert (await device.post()).status_code == 403
    await platform.put_device("device1", password="foo")
    assert (await device.post()).status_code == 202


@pytest.mark.parametrize("what", ["device", "application"])
async def test_drogue_21_what_is_being_deleted_is_refused(platform: House, device: Device, what: str) -> None:
    await platform.put_device("device1", password="foo", finalizers=["keep"])
    assert (await device.post()).status_code == 202
    if what == "device":
        await platform.delete_device("device1")
    else:
        await platform.delete_application()
    assert (await device.post()).status_code == 403


async def test_a_new_password_counts_at_once_on_an_open_connection(platform: House, device: Device) -> None:
    assert (await device.post()).status_code == 202
    await platform.put_device("device1", password="new")
    assert (await device.post()).status_code == 403
    assert (await device.post(auth=("device1@app1", "new"))).status_code == 202


async def test_a_generated_password(platform: House, device: Device, furnished: Furnished) -> None:
    answer = await device.post(auth=("device2@app1", furnished.secrets["device2"]))
    assert answer.status_code == 202


# --- for whom --------------------------------------------------------------------------------------


async def test_drogue_18_a_gateway_speaks_for_a_device(platform: House, device: Device, furnished: Furnished) -> None:
    gateway = ("gw1@app1", furnished.secrets["gw1"])
    assert (await device.post("/v1/telemetry?as=dev2", gateway)).status_code == 202
    (event,) = await platform.events(1)
    assert (event.device, event.sender, event.partitionkey) == ("dev2", "gw1", "app1/gw1")


async def test_drogue_19_only_for_those_that_list_it(platform: House, device: Device, furnished: Furnished) -> None:
    gateway = ("gw1@app1", furnished.secrets["gw1"])
    for target in ("device1", "nope"):
        assert await refused(platform, await device.post(f"/v1/telemetry?as={target}", gateway))
    assert (await device.post("/v1/telemetry?as=device1")).status_code == 202


# --- what ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"{oops", b""])
async def test_drogue_12_declared_json_that_is_none(platform: House, device: Device, content: bytes) -> None:
    answer = await device.post(content=content)
    assert answer.status_code == 406
    assert answer.json()["code"] == "event.payload.not-json"
    assert await platform.events() == []


@pytest.mark.parametrize(
    ("content", "content_type", "shown"),
    [
        (b"hello", "application/octet-stream", {"data_base64": base64.b64encode(b"hello").decode()}),
        (b"42", JSON, {"data": 42}),
    ],
)
async def test_drogue_13_without_a_content_type(
    platform: House, device: Device, content: bytes, content_type: str, shown: dict[str, Any]
) -> None:
    assert (await device.post(content=content, content_type=None)).status_code == 202
    (event,) = await platform.events(1)
    assert event.datacontenttype == content_type
    document = json.loads(to_structured(event))
    assert {key: document[key] for key in ("data", "data_base64") if key in document} == shown


async def test_drogue_14_vendor_json_becomes_plain_json(platform: House, device: Device) -> None:
    assert (await device.post(content_type="application/vnd.x+json")).status_code == 202
    (event,) = await platform.events(1)
    assert event.datacontenttype == JSON


async def test_drogue_16_other_types_are_kept_byte_for_byte(platform: House, device: Device) -> None:
    content = bytes(range(256)) * 8
    assert (await device.post(content=content, content_type="application/cbor")).status_code == 202
    (event,) = await platform.events(1)
    assert base64.b64decode(json.loads(to_structured(event))["data_base64"]) == content


@pytest.mark.parametrize("schema", ["urn:x:y", "plain"])
async def test_drogue_17_data_schema(platform: House, device: Device, schema: str) -> None:
    assert (await device.post(f"/v1/telemetry?data_schema={schema}")).status_code == 202
    (event,) = await platform.events(1)
    assert read_by_the_sdk(event).get_dataschema() == schema


async def test_drogue_25_a_body_past_the_limit(platform: House, device: Device) -> None:
    assert (await device.post(content=b"1" * 65_536, content_type="text/plain")).status_code == 202
    assert (await device.post(content=b"1" * 65_537, content_type="text/plain")).status_code == 413
    assert len(await platform.events(1)) == 1


async def test_drogue_26_the_suffix_is_dropped(platform: House, device: Device) -> None:
    assert (await device.post("/v1/a/b/c")).status_code == 202
    (event,) = await platform.events(1)
    assert event.subject == "a"


# --- commands --------------------------------------------------------------------------------------


@dataclass
class Commanding:
    """The house with the way of commands: API, bus, and an HTTP endpoint that waits for them."""

    house: House
    service: CommandService
    router: BusRouter
    endpoint: HttpEndpoint
    api: httpx.AsyncClient
    device: Device

    async def send(self, path: str, **request: Any) -> httpx.Response:
        return await self.api.post(f"/api/command/v1alpha1/apps/{path}", **request)

    async def waiting(self) -> None:
        """Until a device waits for a command."""
        async with asyncio.timeout(20):
            while not self.router._inboxes:
                await asyncio.sleep(0.01)

    async def state(self, answer: httpx.Response, state: State) -> dict[str, Any]:
        """The life of the command that `answer` accepted, once it has come to `state`."""
        async with asyncio.timeout(20):
            while (life := (await self.api.get(answer.headers["location"])).json())["state"] != state:
                await asyncio.sleep(0.01)
        return dict(life)


@pytest.fixture
async def commanding(platform: House) -> AsyncIterator[Commanding]:
    router = BusRouter(platform.bus)
    endpoint = HttpEndpoint(platform.settings.http, 0, platform.gate, platform.intake, router)
    service = CommandService(
        platform.database, platform.bus, platform.directory.device_by_name, platform.settings.commands
    )
    for component in (router, service, endpoint):
        await component.start()

    async def resolve(request: Request, application: str, permission: str) -> str:
        tenant = request.headers.get("x-tenant", TENANT)
        principal = Principal(tenant, "ann", "Ann", "token", GRANTS[Role.OWNER])  # type: ignore[arg-type]
        found = await platform.directory.application(application)
        return RoleAuthorizer().require(principal, Permission(permission), found).uid

    app = FastAPI()
    app.include_router(commands_api(service, resolve))
    device = Device(endpoint.port)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api") as api:
        yield Commanding(platform, service, router, endpoint, api, device)
    await device.http.aclose()
    for component in (endpoint, service, router):
        await component.drain()
        await component.stop()


async def test_drogue_22_a_command_in_time(commanding: Commanding) -> None:
    publishing = asyncio.create_task(commanding.device.post("/v1/telemetry?ct=15"))
    await commanding.waiting()
    accepted = await commanding.send("app1/devices/device1?command=SET", json={"led": "on"})
    assert (accepted.status_code, accepted.content) == (202, b"")
    answer = await publishing
    assert (answer.status_code, answer.headers["command"], answer.json()) == (200, "SET", {"led": "on"})
    assert "content-type" not in answer.headers
    life = await commanding.state(accepted, State.SENT)
    assert (life["sender"], life["protocol"]) == ("device1", "http")
    assert len(await commanding.house.events(1)) == 1


async def test_drogue_22_through_a_gateway(commanding: Commanding, furnished: Furnished) -> None:
    gateway = ("gw1@app1", furnished.secrets["gw1"])
    publishing = asyncio.create_task(commanding.device.post("/v1/telemetry?as=dev2&ct=15", gateway))
    await commanding.waiting()
    await commanding.send("app1/devices/gw1?command=NOT-THIS", content=b"")
    accepted = await commanding.send("app1/devices/dev2?command=SET", content=b"raw")
    answer = await publishing
    assert (answer.status_code, answer.headers["command"], answer.content) == (200, "SET", b"raw")
    assert (await commanding.state(accepted, State.SENT))["sender"] == "gw1"


@pytest.mark.needs("curl")
async def test_drogue_22_with_curl(commanding: Commanding) -> None:
    url = f"http://127.0.0.1:{commanding.endpoint.port}/v1/telemetry?ct=15"
    arguments = ("--silent", "--include", "--user", "device1@app1:foo", "--data", "hello", url)
    curl = await asyncio.create_subprocess_exec(needs("curl"), *arguments, stdout=asyncio.subprocess.PIPE)
    await commanding.waiting()
    await commanding.send("app1/devices/device1?command=SET", json={"led": "on"})
    output, _ = await curl.communicate()
    head, _, body = output.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert b"command: SET" in head.splitlines()
    assert json.loads(body) == {"led": "on"}


async def test_drogue_24_a_command_sent_before_is_not_kept(commanding: Commanding) -> None:
    assert (await commanding.send("app1/devices/device1?command=SET")).status_code == 202
    answer = await commanding.device.post("/v1/telemetry?ct=1")
    assert (answer.status_code, answer.content) == (202, b"")


@pytest.mark.parametrize(
    ("path", "content", "content_type", "status"),
    [
        ("app1/devices/device1?command=SET", b"{}", JSON, 202),
        ("app1/devices/device1", b"{}", JSON, 400),
        ("app1/devices/nobody?command=SET", b"{}", JSON, 406),
        ("app1/devices/device1?command=SET", b"{oops", JSON, 406),
        ("nothing/devices/device1?command=SET", b"{}", JSON, 404),
    ],
)
async def test_drogue_56_commands_api(
    commanding: Commanding, path: str, content: bytes, content_type: str, status: int
) -> None:
    answer = await commanding.send(path, content=content, headers={"Content-Type": content_type})
    assert answer.status_code == status
    assert bool(answer.content) == (status != 202)


async def test_drogue_56_a_foreign_application_looks_absent(commanding: Commanding) -> None:
    foreign = await commanding.send("app1/devices/device1?command=SET", headers={"X-Tenant": "another"})
    absent = await commanding.send("nothing/devices/device1?command=SET")
    assert (foreign.status_code, absent.status_code) == (404, 404)
    assert foreign.json() == {"error": "NotFound", "message": "Resource not found: Application / app1"}
    assert absent.json() == {"error": "NotFound", "message": "Resource not found: Application / nothing"}


async def test_drogue_56_a_disabled_device_takes_no_commands(commanding: Commanding) -> None:
    await commanding.house.put_device("device1", password="foo", core={"disabled": True})
    assert (await commanding.send("app1/devices/device1?command=SET")).status_code == 406
