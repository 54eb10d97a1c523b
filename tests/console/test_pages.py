# SPDX-License-Identifier: Apache-2.0
"""Every page: it renders, keeps to the policy, can be reached by keyboard and reader, and links lead somewhere."""

from __future__ import annotations

from urllib.parse import quote, urljoin, urlsplit

import pytest
from starlette.routing import Match

from freehold.console.security import CONTENT_SECURITY_POLICY

from .conftest import HOSTILE, ORIGIN, World
from .pagecheck import policy_breaches, reachability_faults, read

PAGES = (
    "/",
    "/apps",
    "/platform",
    "/apps/plant",
    "/apps/plant/devices",
    "/apps/plant/device?name=boiler",
    "/apps/plant/telemetry",
    "/apps/plant/events",
    "/apps/plant/processor",
    "/apps/plant/dead-letters",
    "/apps/plant/commands",
    "/apps/plant/settings",
)
FRAGMENTS = (
    "/live/health",
    "/live/latest-events",
    "/apps/plant/live/latest-events",
    "/apps/plant/device/live/latest-events?name=boiler",
    "/apps/plant/commands/history",
    "/apps/plant/devices?q=boil",
)


@pytest.fixture
async def plant(world: World) -> World:
    uid = world.create("plant", "boiler", floor="2")
    await world.send(uid, "plant", "boiler", b'{"temperature":21.5,"on":true,"note":"<b>fine</b>"}')
    return world


async def test_every_page_keeps_to_the_policy_and_is_reachable(plant: World) -> None:
    faults = {}
    for path in PAGES:
        answer = await plant.browser.get(path)
        assert answer.status_code == 200, answer.text[:3000]
        assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
        assert answer.headers["cache-control"] == "no-store"
        page = read(answer.text)
        faults[path] = policy_breaches(page) + reachability_faults(page)
        (html,) = page.all("html")
        assert html.attributes["lang"] == "en"
        assert len(page.all("h1")) == len(page.all("main")) == 1, path
        assert page.all("main")[0].attributes["id"] == "content"
        assert "#content" in page.addresses("href")
        assert page.all("title")[0].text.endswith("· Freehold")
    assert {path: found for path, found in faults.items() if found} == {}


async def test_fragments_are_parts_of_pages(plant: World) -> None:
    for path in FRAGMENTS:
        page = read((await plant.fragment(path)).text)
        assert policy_breaches(page) == page.problems == [], path
        assert page.all("html") == page.all("main") == [], path


async def test_the_policy_allows_nothing_inline_and_no_eval() -> None:
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert CONTENT_SECURITY_POLICY.startswith("default-src 'none';")


async def test_who_is_not_signed_in_is_led_to_the_sign_in_page(plant: World) -> None:
    plant.browser.cookies.clear()
    for path in (*PAGES, *FRAGMENTS, "/live/overview", "/apps/plant/processor/progress"):
        answer = await plant.browser.get(path)
        assert (answer.status_code, answer.headers["location"]) == (303, "/signin"), path
        answer = await plant.browser.get(path, headers={"hx-request": "true"})
        assert (answer.status_code, answer.headers["hx-redirect"]) == (204, "/signin"), path


async def test_an_application_that_is_not_there_is_explained(world: World) -> None:
    for path in (path for path in (*PAGES, *FRAGMENTS) if path.startswith("/apps/plant")):
        html = await world.html(path, status=404)
        assert "resource.not-found" in html
        assert policy_breaches(read(html)) == [], path


async def test_every_link_and_form_leads_somewhere(plant: World) -> None:
    """Crawls from the overview; addresses that change things are looked up among the routes instead."""
    waiting, seen, forms = ["/"], {"/"}, set()
    while waiting:
        address = waiting.pop()
        answer = await plant.browser.get(address)
        assert answer.status_code == 200, (address, answer.status_code)
        if not answer.headers["content-type"].startswith("text/html"):
            continue
        page = read(answer.text)
        ids = {element.attributes.get("id") for element in page.elements}
        for element in page.elements:
            is_form = element.tag == "form" and element.attributes.get("method") == "post"
            for name in ("href", "src", "hx-get", "action", "hx-post"):
                value = element.attributes.get(name)
                if value is None:
                    continue
                if value.startswith("#"):
                    assert value == "#" or value[1:] in ids, (address, value)
                elif name == "hx-post" or (name == "action" and is_form):
                    forms.add(urlsplit(value).path)
                elif (target := urljoin(ORIGIN + address, value).removeprefix(ORIGIN).partition("#")[0]) not in seen:
                    seen.add(target)
                    waiting.append(target)
    assert len(seen) > 30
    assert len(forms) > 10
    assert [path for path in forms if not _answers_post(plant, path)] == []


def _answers_post(world: World, path: str) -> bool:
    scope = {"type": "http", "method": "POST", "path": path, "headers": []}
    return any(route.matches(scope)[0] is Match.FULL for route in world.app.routes)


async def test_an_address_without_a_page(world: World) -> None:
    assert "There is no page at this address" in await world.html("/no/such/page", status=404)
    answer = await world.browser.get("/no/such/page")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})
    answer = await world.browser.get("/api/v1/nothing", headers={"accept": "text/html"})
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("device", HOSTILE)
async def test_hostile_names_stay_text_on_every_page(world: World, device: str) -> None:
    uid = world.create("plant", device)
    payload = b'{"%s":1,"text":"%s"}' % (b"<img src=x>", device.replace("\\", "").replace('"', "").encode())
    await world.send(uid, "plant", device, payload, subject=device[:200])
    paths = [path.replace("boiler", quote(device, safe="")) for path in PAGES if "q=" not in path]
    for path in [*paths, f"/apps/plant/commands?device={quote(device)}", f"/apps/plant/devices?q={quote(device)}"]:
        page = read(await world.html(path))
        assert policy_breaches(page) == [], path
        assert page.problems == [], path
        assert all("src" in one.attributes or one.attributes.get("type") for one in page.all("script")), path
        assert not [one for one in page.all("img") if one.attributes.get("src") == "x"], path
    listed = read(await world.html("/apps/plant/devices"))
    (link,) = [one for one in listed.all("a") if (one.attributes.get("id") or "").startswith("device-")]
    opened = await world.html(link.attributes["href"] or "")
    assert "49" not in read(opened).all("h1")[0].text


@pytest.mark.parametrize(
    ("device", "shown"), [("evil\u202egnp.exe", "evil⟨U+202E⟩gnp.exe"), ("a\u200bb", "a⟨U+200B⟩b")]
)
async def test_characters_that_reorder_or_hide_are_shown_as_what_they_are(
    world: World, device: str, shown: str
) -> None:
    world.create("plant", device)
    html = await world.html("/apps/plant/devices")
    assert shown in html
    assert device not in read(html).all("main")[0].text


async def test_a_page_that_breaks_says_so_and_tells_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the secret is hunter2")

    monkeypatch.setattr(type(world.services.registry), "list_applications", broken)
    answer = await world.browser.get("/apps")
    assert answer.status_code == 500
    assert "internal" in answer.text
    assert "hunter2" not in answer.text


async def test_headers_are_on_api_answers_too(world: World) -> None:
    answer = await world.browser.get("/api/v1/me")
    assert answer.status_code == 200
    for name in ("content-security-policy", "x-content-type-options", "referrer-policy", "permissions-policy"):
        assert name in answer.headers


async def test_a_query_that_cannot_be_is_a_page_and_no_stack(plant: World) -> None:
    html = await plant.html("/apps?page=minus-one", status=400)
    assert "request.invalid" in html
    answer = await plant.fragment("/apps/plant/devices?state=sleeping", status=400)
    assert read(answer.text).all("html") == []
