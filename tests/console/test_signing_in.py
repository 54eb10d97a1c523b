# SPDX-License-Identifier: Apache-2.0
"""Signing in and out, with and without JavaScript."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from freehold.console.pages.signin import code_of

from .conftest import ORIGIN, World
from .pagecheck import policy_breaches, reachability_faults, read


@pytest.mark.parametrize(
    ("pasted", "code"),
    [
        ("frl_abc", "frl_abc"),
        ("  frl_abc\n", "frl_abc"),
        ("http://127.0.0.1:8080/signin#frl_abc", "frl_abc"),
        ("", ""),
        ("#", ""),
    ],
)
def test_the_code_is_found_in_what_people_paste(pasted: str, code: str) -> None:
    assert code_of(pasted) == code


async def test_the_sign_in_page_needs_nobody_and_explains_itself(world: World) -> None:
    world.browser.cookies.clear()
    html = await world.html("/signin")
    page = read(html)
    assert "freehold link" in html
    assert policy_breaches(page) == reachability_faults(page) == []


async def test_a_link_signs_in_once_and_the_cookie_is_kept_from_scripts(world: World) -> None:
    world.browser.cookies.clear()
    identity = world.services.identity
    secret = identity.make_link(identity.first_owner())
    answer = await world.browser.post("/signin", data={"code": f"{ORIGIN}/signin#{secret}"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert (await world.browser.get("/")).status_code == 200
    world.browser.cookies.clear()
    again = await world.browser.post("/signin", data={"code": secret})
    assert again.status_code == 403
    assert "used already, or is too old" in again.text
    assert secret not in again.text


@pytest.mark.parametrize("code", ["", "nonsense", "frl_" + "x" * 1000, "\x00", "<script>"])
async def test_a_wrong_code_is_explained(world: World, code: str) -> None:
    world.browser.cookies.clear()
    answer = await world.browser.post("/signin", data={"code": code})
    assert answer.status_code == 403
    page = read(answer.text)
    assert "identity.link.invalid" in answer.text
    assert policy_breaches(page) == []
    assert page.all("form")


@pytest.mark.parametrize("everywhere", ["", "?everywhere=1"])
async def test_signing_out_ends_the_session(world: World, everywhere: str) -> None:
    session = world.browser.cookies["freehold_session"]
    identity = world.services.identity
    other = identity.redeem_link(identity.make_link(identity.first_owner()))
    answer = await world.browser.post(f"/signout{everywhere}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/signin")
    assert identity.session(session) is None
    assert (identity.session(other) is None) is bool(everywhere)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.test"},
        {"origin": "null"},
        {"origin": ORIGIN, "sec-fetch-site": "cross-site"},
        {"origin": ORIGIN, "sec-fetch-site": "same-site"},
    ],
)
async def test_forms_of_other_sites_are_refused(world: World, headers: dict[str, str]) -> None:
    world.create("plant", "boiler")
    for path, form in {
        "/apps": {"name": "forged"},
        "/apps/plant/delete": {"typed": "plant"},
        "/apps/plant/device/secret?name=boiler": {},
        "/apps/plant/processor": {"source": "def main(data): return data"},
        "/signout": {},
    }.items():
        answer = await world.browser.post(path, data=form, headers=headers)
        assert answer.status_code == 403, path
        assert "identity.forbidden" in answer.text
    registry = world.services.registry
    assert [one.metadata["name"] for one in registry.list_applications(world.tenant)] == ["plant"]
    world.browser.cookies.clear()
    identity = world.services.identity
    code = identity.make_link(identity.first_owner())
    answer = await world.browser.post("/signin", data={"code": code}, headers=headers)
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers


async def test_a_form_that_is_too_large_is_refused_before_it_is_read(world: World) -> None:
    world.browser.cookies.clear()
    most = world.services.settings.api.body_bytes
    answer = await world.browser.post("/signin", data={"code": "x" * most})
    assert answer.status_code == 413
    assert "event.payload.too-large" in answer.text

    async def endless() -> AsyncIterator[bytes]:
        yield b"code="
        raise AssertionError("the body was read")

    answer = await world.browser.post("/signin", content=endless())
    assert answer.status_code == 400
    assert "request.invalid" in answer.text
