# SPDX-License-Identifier: Apache-2.0
"""Unmodified clients: curl, httpx, and Python's own http.client."""

from __future__ import annotations

import asyncio
import http.client
import json
from pathlib import Path

import httpx
import pytest

from tests.conftest import needs
from tests.connect.http.conftest import World, until


async def curl(world: World, path: str, *arguments: str, body: bytes | None = None) -> tuple[int, bytes]:
    """Status and body of one call."""
    url = f"http://127.0.0.1:{world.endpoint.port}{path}"
    process = await asyncio.create_subprocess_exec(
        needs("curl"),
        *("--silent", "--show-error", "--max-time", "20", "--write-out", "\n%{http_code}", *arguments, url),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate(body)
    assert process.returncode == 0
    text, _, status = output.rpartition(b"\n")
    return int(status), text


DEVICE = ("--user", "device1@app1:foo", "--header", "Content-Type: application/json")


@pytest.mark.needs("curl")
async def test_curl_publishes(world: World) -> None:
    assert await curl(world, "/v1/telemetry", *DEVICE, "--data", '{"temp": 42}') == (202, b"")
    assert world.log.events[0].data == b'{"temp":42}'


@pytest.mark.needs("curl")
@pytest.mark.parametrize("version", ["--http1.0", "--http1.1", "--http2"])
async def test_curl_in_every_version_it_offers(world: World, version: str) -> None:
    assert await curl(world, "/v1/telemetry", *DEVICE, version, "--data", "42") == (202, b"")
    assert world.log.events[0].data == b"42"


@pytest.mark.needs("curl")
async def test_curl_streams_in_chunks_from_standard_input(world: World) -> None:
    chunked = ("--header", "Transfer-Encoding: chunked", "--data-binary", "@-")
    body = json.dumps({"x": "y" * 30_000}).encode()
    assert await curl(world, "/v1/telemetry", *DEVICE, *chunked, body=body) == (202, b"")
    assert json.loads(world.log.events[0].data) == {"x": "y" * 30_000}


@pytest.mark.needs("curl")
async def test_curl_waits_for_100_continue(world: World) -> None:
    expect = ("--header", "Expect: 100-continue", "--expect100-timeout", "15", "--data", "42")
    assert await curl(world, "/v1/telemetry", *DEVICE, *expect) == (202, b"")


@pytest.mark.needs("curl")
async def test_curl_sends_two_on_one_connection(world: World) -> None:
    again = ("--data", "42", f"http://127.0.0.1:{world.endpoint.port}/v1/again", *DEVICE)
    status, _ = await curl(world, "/v1/telemetry", *DEVICE, *again)
    assert status == 202
    assert {event.subject for event in world.log.events} == {"telemetry", "again"}
    assert world.endpoint.connections == 1


@pytest.mark.needs("curl")
async def test_curl_hears_why_a_body_is_too_large(world: World, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 3_000_000)
    large = ("--data-binary", f"@{tmp_path / 'large'}")
    status, body = await curl(world, "/v1/telemetry", *DEVICE, *large)
    assert (status, json.loads(body)["code"]) == (413, "event.payload.too-large")


@pytest.mark.needs("curl")
async def test_curl_hears_why_json_is_refused(world: World) -> None:
    status, body = await curl(world, "/v1/telemetry", *DEVICE, "--data", "{oops")
    assert (status, json.loads(body)["code"]) == (406, "event.payload.not-json")


@pytest.mark.needs("curl")
async def test_drogue_22_curl_waits_for_a_command(world: World, tmp_path: Path) -> None:
    headers = tmp_path / "headers"
    call = asyncio.create_task(
        curl(world, "/v1/telemetry?ct=15", *DEVICE, "--data", "1", "--dump-header", str(headers))
    )
    await until(lambda: world.inboxes)
    world.command("device1")
    assert await call == (200, b'{"on":true}')
    assert "command: SET" in headers.read_text().splitlines()


async def test_httpx_publishes_many_at_once(world: World) -> None:
    base = f"http://127.0.0.1:{world.endpoint.port}"
    async with httpx.AsyncClient(base_url=base, auth=("device1@app1", "foo")) as client:
        answers = await asyncio.gather(*(client.post("/v1/telemetry", json={"n": n}) for n in range(100)))
    assert {answer.status_code for answer in answers} == {202}
    assert sorted(json.loads(event.data)["n"] for event in world.log.events) == list(range(100))


async def test_httpx_streams(world: World) -> None:
    async def body():  # type: ignore[no-untyped-def]
        for _ in range(10):
            yield b"x" * 100

    async with httpx.AsyncClient() as client:
        url = f"http://127.0.0.1:{world.endpoint.port}/v1/raw"
        answer = await client.post(
            url, content=body(), auth=("device1@app1", "foo"), headers={"Content-Type": "application/octet-stream"}
        )
    assert answer.status_code == 202
    assert world.log.events[0].data == b"x" * 1000


async def test_the_standard_librarys_client_keeps_its_connection(world: World) -> None:
    def publish() -> list[int]:
        connection = http.client.HTTPConnection("127.0.0.1", world.endpoint.port, timeout=10)
        statuses = []
        for number in range(5):
            headers = {"Authorization": "Basic ZGV2aWNlMUBhcHAxOmZvbw"}
            connection.request("POST", "/v1/telemetry", str(number), headers)
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)
        connection.close()
        return statuses

    assert await asyncio.to_thread(publish) == [202] * 5
    assert world.endpoint.connections == 1
