# SPDX-License-Identifier: Apache-2.0
"""Editing, trying, saving, activating, comparing and rolling back a processor; dead letters."""

from __future__ import annotations

import asyncio
import html as html_text

import pytest

from freehold.console.pages.processor import normal, parse_packages
from tests.conftest import missing_part

from .conftest import World
from .pagecheck import read

DOUBLE = "def main(data):\n    print('doubling', data['n'])\n    return {'twice': data['n'] * 2}\n"
PICKY = "def main(data):\n    if data['n'] == 3:\n        raise ValueError('three <b>never</b>')\n    return data\n"


@pytest.fixture(autouse=True)
def _needs_sandbox(world: World) -> None:
    if (problem := world.services.sandbox.problem()) is not None:
        missing_part(f"a sandbox: {problem}")


async def until_letters(world: World, uid: str, count: int) -> None:
    async with asyncio.timeout(60):
        while (await world.services.telemetry.stats(uid)).dead_letters != count:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("text", "packages"),
    [
        ("", []),
        ("numpy", ["numpy"]),
        (" numpy==2.3.5,\r\npint  pandas,numpy==2.3.5 ", ["numpy==2.3.5", "pint", "pandas"]),
    ],
)
def test_packages_are_read_as_people_write_them(text: str, packages: list[str]) -> None:
    assert parse_packages(text) == packages


def test_sources_from_forms_have_plain_line_ends() -> None:
    assert normal("a\r\nb\n") == "a\nb\n"


async def test_a_new_application_starts_with_the_template(world: World) -> None:
    world.create("plant")
    page = read(await world.html("/apps/plant/processor"))
    source = next(one.text for one in page.all("textarea") if one.attributes.get("name") == "source")
    assert "def main(data" in source
    assert "Nothing saved yet" in page.all("main")[0].text


async def test_a_trial_shows_each_event_beside_what_became_of_it(world: World) -> None:
    uid = world.create("plant", "boiler")
    for number in (1, 2):
        await world.send(uid, "plant", "boiler", b'{"n":%d}' % number)
    answer = await world.fragment("/apps/plant/processor/try", source=DOUBLE, take="recorded")
    shown = html_text.unescape(answer.text)
    assert "2 of 2 went well" in shown
    assert [part in shown for part in ('"n": 1', '"twice": 2', '"n": 2', '"twice": 4', "doubling 2")] == [True] * 5
    assert await world.services.processors.versions(uid) == []


async def test_a_trial_with_pasted_payloads_and_a_failure(world: World) -> None:
    world.create("plant")
    answer = await world.fragment(
        "/apps/plant/processor/try", source=PICKY, take="pasted", sample='[{"n": 1}, {"n": 3}]'
    )
    assert "1 of 2 failed" in answer.text
    assert "three &lt;b&gt;never&lt;/b&gt;" in answer.text
    assert "line 3" in answer.text


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({"source": DOUBLE, "take": "recorded"}, "No events are recorded yet"),
        ({"source": DOUBLE, "take": "pasted", "sample": "{'n': 1}"}, "sample, line 1, column 2"),
        ({"source": DOUBLE, "take": "pasted", "sample": "[]"}, "1 to 50 payloads"),
        ({"source": DOUBLE, "take": "pasted", "sample": "[" * 9000}, "nested too deep"),
    ],
)
async def test_a_trial_without_events_says_what_to_do(world: World, form: dict[str, str], says: str) -> None:
    world.create("plant")
    answer = await world.fragment("/apps/plant/processor/try", 400, **form)
    assert says in html_text.unescape(answer.text)


async def test_a_source_that_does_not_load_is_refused_with_its_line(world: World) -> None:
    uid = world.create("plant")
    for path in ("/apps/plant/processor/try", "/apps/plant/processor"):
        form = {"source": "x = 1\ndef main(data:\n", "take": "pasted", "sample": "{}"}
        answer = await world.fragment(path, 422, **form)
        assert "line 2" in answer.text
        assert "processor.invalid" in answer.text
    assert await world.services.processors.versions(uid) == []


async def test_saving_activating_comparing_and_rolling_back(world: World) -> None:
    uid = world.create("plant")

    async def numbers() -> tuple[list[int], int | None]:
        versions = await world.services.processors.versions(uid)
        return [one.number for one in versions], next((one.number for one in versions if one.active), None)

    saved = await world.fragment("/apps/plant/processor", 204, source=DOUBLE.replace("\n", "\r\n"), note="first")
    assert saved.headers["hx-redirect"] == "/apps/plant/processor?done=activated"
    saved = await world.fragment("/apps/plant/processor", 204, source=PICKY, then="keep", note="<i>picky</i>")
    assert saved.headers["hx-redirect"] == "/apps/plant/processor?version=2&done=saved"
    assert await numbers() == ([2, 1], 1)
    assert (await world.services.processors.versions(uid))[1].source == DOUBLE

    html = await world.html("/apps/plant/processor?version=2&done=saved")
    assert "version 1 is active" in html
    assert "&lt;i&gt;picky&lt;/i&gt;" in html
    diff = read((await world.fragment("/apps/plant/processor/diff?old=1&new=2")).text)
    kinds = {one.attributes.get("class"): one.text for one in diff.all("span")}
    assert kinds["fh-add"].startswith("+")
    assert kinds["fh-del"].startswith("-")
    await world.fragment("/apps/plant/processor/diff?old=1&new=9", 404)
    await world.html("/apps/plant/processor?version=9", status=404)

    await world.fragment("/apps/plant/processor/activate", 204, version="2")
    assert await numbers() == ([2, 1], 2)
    await world.fragment("/apps/plant/processor/roll-back", 204, x="")
    assert await numbers() == ([2, 1], 1)
    await world.fragment("/apps/plant/processor/deactivate", 204, x="")
    assert await numbers() == ([2, 1], None)
    await world.fragment("/apps/plant/processor/activate", 404, version="77")


async def test_progress_is_one_persons_and_empty_without_work(world: World) -> None:
    world.create("plant")
    answer = await world.fragment("/apps/plant/processor/progress?job=abc")
    assert (answer.text, answer.headers["content-type"]) == ("", "text/plain; charset=utf-8")


async def test_dead_letters_show_the_reason_and_can_be_retried(world: World) -> None:
    uid = world.create("plant", "boiler")
    await world.fragment("/apps/plant/processor", 204, source=PICKY)
    events = [await world.send(uid, "plant", "boiler", b'{"n":3,"text":"<img>"}') for _ in range(3)]
    await until_letters(world, uid, 3)

    html = await world.html("/apps/plant/dead-letters")
    assert html.count("three &lt;b&gt;never&lt;/b&gt;") >= 3
    assert "&lt;img&gt;" in html
    assert "3</span>" in await world.html("/apps/plant/processor")

    again = await world.fragment("/apps/plant/dead-letters/retry", 204, event_id=events[0].id)
    assert again.headers["hx-redirect"].endswith("done=failed-again")
    await world.fragment("/apps/plant/processor", 204, source="def main(data):\n    return data\n")
    again = await world.fragment("/apps/plant/dead-letters/retry", 204, event_id=events[0].id)
    assert again.headers["hx-redirect"].endswith("done=retried")
    again = await world.fragment("/apps/plant/dead-letters/retry-all", 204, x="")
    assert again.headers["hx-redirect"].endswith("done=retried")
    await until_letters(world, uid, 0)
    assert "No dead letters" in await world.html("/apps/plant/dead-letters")
    again = await world.fragment("/apps/plant/dead-letters/retry", 204, event_id="no-such-event")
    assert again.headers["hx-redirect"].endswith("done=retried")


async def test_dead_letters_have_pages(world: World) -> None:
    uid = world.create("plant", "boiler")
    await world.fragment("/apps/plant/processor", 204, source=PICKY)
    for number in range(25):
        await world.send(uid, "plant", "boiler", b'{"n":3}', subject=f"c{number}")
    await until_letters(world, uid, 25)
    first = read(await world.html("/apps/plant/dead-letters"))
    (older,) = [one.attributes["href"] for one in first.all("a") if one.attributes.get("rel") == "next"]
    second = read(await world.html(older or ""))
    assert [len(page.all("details")) - 1 for page in (first, second)] == [20, 5]


async def test_commands_go_out_and_their_life_shows(world: World) -> None:
    world.create("plant", "boiler")
    form = {"device": "boiler", "name": "set", "payload": '{"on": true}', "content_type": "application/json"}
    sent = await world.fragment("/apps/plant/commands", **form)
    assert sent.headers["hx-trigger"] == "command-sent"
    assert "accepted" in sent.text
    history = (await world.fragment("/apps/plant/commands/history")).text
    assert "set" in history
    assert "accepted" in history
    page = await world.html("/apps/plant/device?name=boiler")
    assert "accepted" in page
    empty = await world.fragment("/apps/plant/commands", **form | {"payload": ""})
    assert "accepted" in empty.text


@pytest.mark.parametrize(
    ("change", "status", "says"),
    [
        ({"device": "other"}, 406, "there is no such device"),
        ({"name": "a+b"}, 400, "printable characters"),
        ({"payload": "{"}, 406, "not JSON"),
        ({"content_type": "text/html"}, 400, "content_type"),
    ],
)
async def test_a_command_that_cannot_go_is_explained(
    world: World, change: dict[str, str], status: int, says: str
) -> None:
    world.create("plant", "boiler")
    form = {"device": "boiler", "name": "set", "payload": "{}", "content_type": "application/json"}
    answer = await world.fragment("/apps/plant/commands", status, **form | change)
    assert says in html_text.unescape(answer.text)
