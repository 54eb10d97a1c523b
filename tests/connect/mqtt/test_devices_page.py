# SPDX-License-Identifier: Apache-2.0
"""The lines of `docs/devices.md`, run as they stand there; only host and port are put in."""

from __future__ import annotations

import asyncio
import re
import shlex
import sys
from pathlib import Path

import pytest

from tests.connect.mqtt.conftest import OpenHouse
from tests.connect.mqtt.wire import until
from tests.contract.house import PATIENCE, House, command

PAGE = Path(__file__).parents[3] / "docs" / "devices.md"
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
LINES = [line[2:] for kind, block in BLOCKS if kind == "console" for line in block.splitlines()]
PYTHON = [block for kind, block in BLOCKS if kind == "python"]
SENDING = [line for line in LINES if not line.startswith("mosquitto_sub")]
LISTENING = [line for line in LINES if line.startswith("mosquitto_sub")]


@pytest.fixture
async def home(open_house: OpenHouse) -> House:
    house = await open_house()
    await house.add_application("home")
    await house.add_device("thermometer", application="home", password="SECRET")
    return house


def put_in(house: House, text: str) -> str:
    changed = text.replace("localhost:8088", f"127.0.0.1:{house.http.port}")
    changed = changed.replace("-h localhost -p 1883", f"-h 127.0.0.1 -p {house.mqtt.port}")
    changed = changed.replace('"localhost", 1883', f'"127.0.0.1", {house.mqtt.port}')
    assert changed != text
    return changed


async def run(*words: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode == 0, output
    return output.decode()


def test_the_page_has_lines_of_each_kind() -> None:
    assert {line.split()[0] for line in SENDING} == {"curl", "mosquitto_pub"}
    assert len(LISTENING) == len(PYTHON) == 1


@pytest.mark.needs("curl", "mosquitto_pub")
@pytest.mark.parametrize("line", SENDING)
async def test_lines_that_send(home: House, line: str) -> None:
    output = await run(*shlex.split(put_in(home, line)))
    if line.startswith("curl"):
        assert "HTTP/1.1 202 Accepted" in output.splitlines()
    events = [event for event in await home.events(1 if "curl" in line else 3, "home") if event.subject != "connection"]
    assert [(event.device, event.subject) for event in events] == [("thermometer", "telemetry")]


@pytest.mark.needs("mosquitto_sub")
async def test_line_that_listens(home: House) -> None:
    (line,) = LISTENING
    listening = asyncio.create_task(run(*shlex.split(put_in(home, line)), "-C", "1"))
    await until(lambda: home.inboxes or listening.done(), "it subscribed")
    sent = command("light", b"on", device="thermometer", application="home")
    assert home.send(sent) == ["thermometer"]
    assert await listening == "command/inbox//light on\n"
    assert [outcome.state for outcome in home.outcomes] == ["sent", "acknowledged"]


async def test_python_lines(home: House) -> None:
    (program,) = PYTHON
    assert (await run(sys.executable, "-c", put_in(home, program))).strip() == "durable: True"
    (event,) = [event for event in await home.events(3, "home") if event.subject != "connection"]
    assert event.data == b'{"temperature":21.7}'
