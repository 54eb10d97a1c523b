# SPDX-License-Identifier: Apache-2.0
"""Overview, list, create, settings, delete."""

from __future__ import annotations

import asyncio
import html as html_text
import json

import pytest

from freehold.console.services import Sample

from .conftest import HOSTILE, Board, World
from .pagecheck import read


async def test_a_new_installation_leads_to_the_first_device(world: World) -> None:
    for path in ("/", "/apps"):
        html = await world.html(path)
        assert "Your first device, in two minutes" in html
    made = await world.fragment("/apps", 204, name="plant")
    assert made.headers["hx-redirect"] == "/apps/plant?done=application-created"
    html = await world.html("/apps/plant?done=application-created")
    assert "Application created" in html
    assert "Connect the first device" in html
    assert "Your first device" not in await world.html("/")


async def test_without_javascript_forms_redirect(world: World) -> None:
    answer = await world.browser.post("/apps", data={"name": "plant"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/apps/plant?done=application-created")


@pytest.mark.parametrize("name", ["", "Plant", "a b", "-a", "plant/../x", *HOSTILE[:4], "x" * 254])
async def test_a_name_that_cannot_be_is_refused_with_the_rule(world: World, name: str) -> None:
    answer = await world.fragment("/apps", 400, name=name)
    assert "resource.invalid" in answer.text or "request.invalid" in answer.text
    assert read(answer.text).all("script") == []


async def test_a_name_that_is_taken(world: World) -> None:
    world.create("plant")
    answer = await world.fragment("/apps", 409, name="plant")
    assert "resource.conflict" in answer.text


async def test_the_done_message_comes_from_a_list_and_not_from_the_address(world: World) -> None:
    html = await world.html("/?done=%3Cb%3EPay%20here%3C/b%3E")
    assert "Pay here" not in html


async def test_the_list_shows_state_devices_and_last_event(world: World) -> None:
    uid = world.create("plant", "a", "b", "c")
    world.create("second")
    await world.send(uid, "plant", "a", b"1")
    await until(world, uid)
    rows = [row.text.split() for row in read(await world.html("/apps")).all("tr")[1:]]
    assert rows[0][:4] == ["plant", "enabled", "3", "0"]
    assert rows[0][-1] != "never"
    assert rows[1] == ["second", "enabled", "0", "0", "never"]


async def until(world: World, uid: str) -> None:
    """Until the pipeline has carried an event of the application to the store."""
    async with asyncio.timeout(30):
        while not await world.services.telemetry.states(uid):
            await asyncio.sleep(0.02)


async def test_pages_of_applications(world: World) -> None:
    for number in range(25):
        world.create(f"app-{number:02}")
    first = read(await world.html("/apps"))
    second = read(await world.html("/apps?page=2"))
    assert len(first.all("tr")) - 1 == 20
    assert len(second.all("tr")) - 1 == 5
    assert "/apps?page=2" in first.addresses("href")
    assert "/apps?page=1" in second.addresses("href")
    assert "/apps?page=3" not in second.addresses("href")


async def test_live_figures(world: World, board: Board) -> None:
    board.samples += [
        Sample(time=1000.0 + second, accepted=100 * second, stored=90 * second, refused=second, connections=7)
        for second in range(20)
    ]
    body = (await world.browser.get("/live/overview")).json()
    assert body["figures"] == {
        "connections": 7, "accepted_rate": 100.0, "stored_rate": 90.0, "refused_rate": 1.0, "refused": 19,
    }  # fmt: skip
    assert body["rates"][0] == [1001.0, 100.0, 90.0, 1.0]
    assert len((await world.browser.get("/live/overview?since=1015")).json()["rates"]) == 4


@pytest.fixture
def board(world: World) -> Board:
    return world.board


async def test_health_names_what_is_unwell(world: World, board: Board) -> None:
    board.problems["store.sqlite"] = "disk full <b>now</b>"
    html = await world.html("/")
    assert "disk full &lt;b&gt;now&lt;/b&gt;" in html
    assert "1 problem" in html
    assert "disk full" in (await world.fragment("/live/health")).text
    assert (await world.browser.get("/live/overview")).json()["problems"] == 1


async def test_switching_an_application_off_and_on(world: World) -> None:
    world.create("plant")
    for on, word in ((False, "disabled"), (True, "enabled")):
        version = world.services.registry.get_application(world.tenant, "plant").metadata["resourceVersion"]
        answer = await world.fragment("/apps/plant/enabled", 204, on=str(on).lower(), version=version)
        assert answer.headers["hx-redirect"].endswith(f"done={word}")
        spec = world.services.registry.get_application(world.tenant, "plant").spec
        assert spec == ({} if on else {"core": {"disabled": True}})
        assert word in await world.html("/apps")


async def edited(world: World) -> tuple[str, dict[str, object]]:
    """What the form on the settings page would send, unchanged."""
    page = read(await world.html("/apps/plant/settings"))
    version = next(one.attributes["value"] for one in page.all("input") if one.attributes.get("name") == "version")
    document = next(one.text for one in page.all("textarea") if one.attributes.get("name") == "document")
    return version or "", json.loads(document)


async def test_editing_the_resource(world: World) -> None:
    world.create("plant")
    version, document = await edited(world)
    document["spec"] = {"note": "</textarea><script>alert(1)</script>"}
    await world.fragment("/apps/plant/settings", 204, version=version, document=json.dumps(document))
    _, after = await edited(world)
    assert after["spec"] == document["spec"]


async def test_two_people_who_edit_the_same_thing_find_out(world: World) -> None:
    world.create("plant")
    version, document = await edited(world)
    document["spec"] = {"by": "first"}
    await world.fragment("/apps/plant/settings", 204, version=version, document=json.dumps(document))
    document["spec"] = {"by": "second"}
    answer = await world.fragment("/apps/plant/settings", 409, version=version, document=json.dumps(document))
    assert "Somebody changed this meanwhile" in answer.text
    assert "What to do:" in answer.text
    _, after = await edited(world)
    assert after["spec"] == {"by": "first"}


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ("{", "line 1, column 2"),
        ("[]", "JSON object with"),
        ('{"metadata": 1}', "JSON object with"),
        ('{"metadata": {"name": "other"}}', "metadata"),
        ("[" * 5000, "nested too deep"),
    ],
)
async def test_what_is_no_resource_is_refused_and_says_where(world: World, document: str, says: str) -> None:
    world.create("plant")
    answer = await world.fragment("/apps/plant/settings", 400, version="", document=document)
    assert says in html_text.unescape(answer.text)


async def test_deleting_needs_the_name(world: World) -> None:
    world.create("plant", "boiler")
    answer = await world.fragment("/apps/plant/delete", 400, typed="plan")
    assert "not the application" in html_text.unescape(answer.text)
    answer = await world.fragment("/apps/plant/delete", 204, typed="plant")
    assert answer.headers["hx-redirect"] == "/apps?done=application-deleted"
    await world.html("/apps/plant", status=404)


async def test_the_platform_page_shows_every_setting_and_no_secret(world: World) -> None:
    html = await world.html("/platform")
    for name in ("mqtt.port", "log.queue_bytes", "process.allow_unsandboxed"):
        assert name in html
    assert "http://127.0.0.1:8088/v1/" in html
