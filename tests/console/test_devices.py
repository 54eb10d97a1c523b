# SPDX-License-Identifier: Apache-2.0
"""The table of devices with its filter, and everything that one device's page does."""

from __future__ import annotations

import asyncio
import html as html_text
import json
import shlex
from urllib.parse import quote

import pytest

from freehold.console.pages.device import credential_kinds
from freehold.console.snippets import Endpoints
from freehold.events.models import CONNECTION_EVENT

from .conftest import HOSTILE, World
from .pagecheck import Page, read


def names(page: Page) -> list[str]:
    return [one.text for one in page.all("a") if (one.attributes.get("id") or "").startswith("device-")]


async def listed(world: World, query: str) -> list[str]:
    return names(read((await world.fragment(f"/apps/plant/devices?{query}")).text))


async def until_known(world: World, uid: str, count: int) -> None:
    async with asyncio.timeout(30):
        while len(await world.services.telemetry.states(uid)) < count:
            await asyncio.sleep(0.02)


async def test_filtering_by_name_label_and_state(world: World) -> None:
    uid = world.create("plant", "boiler-1", "boiler-2", "Pump", floor="1")
    world.services.registry.create_device(
        world.tenant, {"metadata": {"name": "roof", "application": "plant", "labels": {"floor": "2"}}}
    )
    for device, connected in (("boiler-1", b"true"), ("Pump", b"false")):
        await world.send(uid, "plant", device, b'{"connected":%s}' % connected, type=CONNECTION_EVENT)
    await until_known(world, uid, 2)
    assert await listed(world, "") == ["Pump", "boiler-1", "boiler-2", "roof"]
    assert await listed(world, "q=BOIL") == ["boiler-1", "boiler-2"]
    assert await listed(world, "labels=floor%3D2") == ["roof"]
    assert await listed(world, "q=o&labels=floor%3D1") == ["boiler-1", "boiler-2"]
    assert await listed(world, "state=connected") == ["boiler-1"]
    assert await listed(world, "state=offline") == ["Pump", "boiler-2", "roof"]
    assert await listed(world, "q=nothing") == []
    assert "No device matches" in await world.html("/apps/plant/devices?q=nothing")
    answer = await world.fragment("/apps/plant/devices?labels=%3D%3D", 400)
    assert "request.invalid" in answer.text


async def test_the_table_has_pages_with_and_without_a_filter(world: World) -> None:
    world.create("plant", *(f"device-{number:03}" for number in range(60)))
    for query in ("", "q=device", "state=offline"):
        seen: list[str] = []
        for page in (1, 2, 3):
            seen += await listed(world, f"{query}&page={page}")
        assert seen == [f"device-{number:03}" for number in range(60)]
        last = read((await world.fragment(f"/apps/plant/devices?{query}&page=3")).text)
        assert not [one for one in last.all("a") if one.attributes.get("rel") == "next"]


async def test_a_filter_in_the_address_is_filled_into_the_form(world: World) -> None:
    world.create("plant", "boiler")
    page = read(await world.html("/apps/plant/devices?q=%22%3E%3Cb%3E&labels=a%3Db&state=offline"))
    fields = {one.attributes.get("id"): one.attributes.get("value") for one in page.all("input")}
    assert fields["filter-name"] == '"><b>'
    assert fields["filter-labels"] == "a=b"
    (chosen,) = [one.text for one in page.all("option") if "selected" in one.attributes]
    assert chosen == "Not connected"


@pytest.mark.parametrize("name", ["boiler", *HOSTILE])
async def test_a_new_device_gets_a_secret_that_works_and_is_shown_once(world: World, name: str) -> None:
    world.create("plant")
    answer = await world.fragment("/apps/plant/devices", name=name, labels="floor=2, kind=boiler")
    page = read(answer.text)
    secret, *lines = [one.text for one in page.all("pre")]
    assert [line.split()[0] for line in lines] == ["curl", "mosquitto_pub", "mosquitto_sub"]
    for line in lines:
        assert secret in line
        assert len(line.splitlines()) == 1
    device = world.services.registry.get_device(world.tenant, "plant", name)
    assert device.metadata["labels"] == {"floor": "2", "kind": "boiler"}
    assert credential_kinds(device.spec) == ["password for this device's name"]
    shown = await world.html(f"/apps/plant/device?name={quote(name, safe='')}")
    assert secret not in shown
    assert "password for this device" in html_text.unescape(shown)


async def test_a_new_secret_replaces_the_generated_one(world: World) -> None:
    world.create("plant")
    first = read((await world.fragment("/apps/plant/devices", name="boiler")).text).all("pre")[0].text
    answer = await world.fragment("/apps/plant/device/secret?name=boiler", x="")
    second = read(answer.text).all("pre")[0].text
    assert first != second
    assert "has a new secret" in answer.text


@pytest.mark.parametrize(
    ("name", "code"), [("", "resource.invalid"), ("a\tb", "resource.invalid"), ("x" * 256, "request")]
)
async def test_a_device_that_cannot_be_is_refused(world: World, name: str, code: str) -> None:
    world.create("plant")
    answer = await world.fragment("/apps/plant/devices", 400, name=name, labels="")
    assert code in answer.text


async def test_a_name_that_is_taken(world: World) -> None:
    world.create("plant", "boiler")
    answer = await world.fragment("/apps/plant/devices", 409, name="boiler")
    assert "resource.conflict" in answer.text


async def test_labels_without_a_name_are_refused(world: World) -> None:
    world.create("plant")
    answer = await world.fragment("/apps/plant/devices", 400, name="boiler", labels="=2")
    assert "labels" in answer.text


def version(world: World, name: str = "boiler") -> str:
    found = world.services.registry.get_device(world.tenant, "plant", name)
    return str(found.metadata["resourceVersion"])


async def test_editing_labels_aliases_and_gateways(world: World) -> None:
    world.create("plant", "boiler", "gateway")
    form = {"labels": "floor=3", "aliases": "b1\nb 2, with comma\n\nb1", "gateways": "gateway\n"}
    await world.fragment("/apps/plant/device?name=boiler", 204, version=version(world), **form)
    device = world.services.registry.get_device(world.tenant, "plant", "boiler")
    assert device.metadata["labels"] == {"floor": "3"}
    assert device.spec["alias"] == ["b1", "b 2, with comma"]
    assert device.spec["gatewaySelector"] == {"matchNames": ["gateway"]}
    page = read(await world.html("/apps/plant/device?name=boiler"))
    filled = {one.attributes["name"]: one.text for one in page.all("textarea") if "name" in one.attributes}
    assert (filled["aliases"], filled["gateways"]) == ("b1\nb 2, with comma", "gateway")
    await world.fragment(
        "/apps/plant/device?name=boiler", 204, version=version(world), labels="", aliases="", gateways=""
    )
    device = world.services.registry.get_device(world.tenant, "plant", "boiler")
    assert "alias" not in device.spec
    assert "gatewaySelector" not in device.spec
    assert "labels" not in device.metadata


async def test_editing_keeps_the_secret_and_what_the_form_does_not_know(world: World) -> None:
    world.create("plant")
    await world.fragment("/apps/plant/devices", name="boiler")
    document = world.services.registry.get_device(world.tenant, "plant", "boiler").as_json()
    document["spec"]["mine"] = {"deep": [1, 2]}
    await world.fragment(
        "/apps/plant/device/document?name=boiler", 204, version=version(world), document=json.dumps(document)
    )
    await world.fragment(
        "/apps/plant/device?name=boiler", 204, version=version(world), labels="a=b", aliases="", gateways=""
    )
    device = world.services.registry.get_device(world.tenant, "plant", "boiler")
    assert device.spec["mine"] == {"deep": [1, 2]}
    assert device.spec["authentication"] == document["spec"]["authentication"]


async def test_a_stale_form_does_not_overwrite(world: World) -> None:
    world.create("plant", "boiler")
    old = version(world)
    form = {"labels": "a=1", "aliases": "", "gateways": ""}
    await world.fragment("/apps/plant/device?name=boiler", 204, version=old, **form)
    answer = await world.fragment("/apps/plant/device?name=boiler", 409, version=old, **form | {"labels": "a=2"})
    assert "Somebody changed this meanwhile" in answer.text
    assert world.services.registry.get_device(world.tenant, "plant", "boiler").metadata["labels"] == {"a": "1"}


async def test_an_alias_that_another_device_has(world: World) -> None:
    world.create("plant", "boiler", "pump")
    form = {"labels": "", "aliases": "pump", "gateways": ""}
    answer = await world.fragment("/apps/plant/device?name=boiler", 409, version=version(world), **form)
    assert "taken: pump" in answer.text


async def test_switching_a_device_off_and_on(world: World) -> None:
    world.create("plant", "boiler")
    for on in ("false", "true"):
        await world.fragment("/apps/plant/device/enabled?name=boiler", 204, on=on, version=version(world))
        html = await world.html("/apps/plant/device?name=boiler")
        assert ("This device is disabled" in html) is (on == "false")


async def test_deleting_a_device_needs_its_name(world: World) -> None:
    world.create("plant", HOSTILE[0])
    path = f"/apps/plant/device/delete?name={quote(HOSTILE[0])}"
    await world.fragment(path, 400, typed="script")
    answer = await world.fragment(path, 204, typed=HOSTILE[0])
    assert answer.headers["hx-redirect"] == "/apps/plant/devices?done=device-deleted"
    assert await listed(world, "") == []


async def test_a_device_that_is_not_there(world: World) -> None:
    world.create("plant", "boiler")
    assert "resource.not-found" in await world.html("/apps/plant/device?name=other", status=404)
    await world.html("/apps/plant/device", status=400)


async def test_the_page_shows_last_values_chart_data_and_events(world: World) -> None:
    uid = world.create("plant", "boiler", "pump")
    await world.send(uid, "plant", "boiler", b'{"temperature":21.5,"on":true,"note":"</script><b>"}')
    await world.send(uid, "plant", "pump", b'{"flow":3}')
    await until_known(world, uid, 2)
    html = await world.html("/apps/plant/device?name=boiler")
    page = read(html)
    (data,) = [one for one in page.all("script") if one.attributes.get("type") == "application/json"]
    chart = json.loads(data.text)
    assert {(one["field"], one["kind"], one["last"]) for one in chart["series"]} == {
        ("temperature", "number", 21.5),
        ("on", "bool", True),
        ("note", "text", "</script><b>"),
    }
    assert {one["device"] for one in chart["series"]} == {"boiler"}
    assert "</script><b>" not in html
    live = (await world.fragment("/apps/plant/device/live/latest-events?name=boiler")).text
    assert "temperature" in live
    assert "flow" not in live


async def test_an_endpoint_that_is_off_has_no_line(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.create("plant")
    monkeypatch.setattr(world.board, "endpoints", lambda: Endpoints("broker.example", 0, 2883))
    page = read((await world.fragment("/apps/plant/devices", name="boiler")).text)
    lines = [shlex.split(one.text) for one in page.all("pre")[1:]]
    assert [line[0] for line in lines] == ["mosquitto_pub", "mosquitto_sub"]
    assert lines[0][1:5] == ["-h", "broker.example", "-p", "2883"]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({}, []),
        ({"authentication": {"credentials": [{"pass": "x"}]}}, ["password for this device's name"]),
        ({"credentials": {"credentials": [{"psk": {}}]}}, ["pre-shared key"]),
        ({"authentication": {"credentials": [{"user": {"username": "u"}}]}}, ["user name and password (u)"]),
        (
            {"authentication": {"credentials": [{"user": 3}, 7, None, {"cert": "x"}]}},
            ["user name and password", "certificate"],
        ),
        ({"authentication": []}, []),
        ({"authentication": {"credentials": 5}}, []),
        (None, []),
    ],
)
def test_credentials_in_words_whatever_the_spec_holds(spec: object, words: list[str]) -> None:
    assert credential_kinds(spec) == words
