# SPDX-License-Identifier: Apache-2.0
"""Publishing over real sockets: every line of the table of drogue.md 1.2."""

from __future__ import annotations

import asyncio
import json

import pytest
from structlog.testing import capture_logs

from freehold.connect.http.endpoint import HttpEndpoint
from freehold.core.errors import LOG_UNAVAILABLE, OVERLOADED, PORT_TAKEN, SHUTTING_DOWN, FreeholdError
from freehold.core.metrics import MetricSet
from freehold.core.settings import Http, Limits
from tests.connect.doubles import attributes
from tests.connect.http.conftest import Serve, World, until
from tests.connect.http.peer import Peer, basic, request

NOT_AUTHENTICATED = {"code": 403, "error": "AuthenticationError", "message": "Authentication failed"}


async def test_drogue_01_accepted_is_202_and_empty(world: World) -> None:
    peer = await world.peer()
    answer = await peer.ask(request())
    assert (answer.status, answer.body) == (202, b"")
    (event,) = world.log.events
    assert attributes(event) == {
        "device": "device1",
        "sender": "device1",
        "subject": "telemetry",
        "datacontenttype": "application/json",
        "data": b'{"temp":42}',
    }


async def test_an_answer_waits_until_the_event_is_durable(world: World) -> None:
    world.log.hold = True
    peer = await world.peer()
    await peer.send(request())
    await until(lambda: world.log.events)
    assert await peer.silent()
    world.log.release()
    assert (await peer.answer()).status == 202


async def test_one_connection_carries_many(world: World) -> None:
    peer = await world.peer()
    for number in range(50):
        assert (await peer.ask(request(body=b"%d" % number))).status == 202
    assert [event.data for event in world.log.events] == [b"%d" % number for number in range(50)]
    assert world.endpoint.connections == 1


@pytest.mark.parametrize(
    ("user", "password", "target"),
    [
        ("device1@app1", "wrong", "/v1/telemetry"),
        ("nobody@app1", "foo", "/v1/telemetry"),
        ("device1@nothing", "foo", "/v1/telemetry"),
        ("device1", "foo", "/v1/telemetry"),
        ("device1", "foo", "/v1/telemetry?application=nothing"),
        ("device1@app1", "foo", "/v1/telemetry?device=nobody"),
        (None, "", "/v1/telemetry"),
        ("gw1@app1", "foo", "/v1/telemetry?as=device1"),
        ("gw1@app1", "foo", "/v1/telemetry?as=nope"),
        ("gw1@app1", "foo", "/v1/telemetry?as="),
    ],
)
async def test_drogue_02_refused_devices_all_hear_the_same(
    world: World, user: str | None, password: str, target: str
) -> None:
    peer = await world.peer()
    answer = await peer.ask(request(user=user, password=password, target=target))
    assert (answer.status, answer.json) == (403, NOT_AUTHENTICATED)
    assert set(answer.headers) == {"date", "freehold-error", "content-type", "content-length"}
    assert answer.code == "device.credentials.rejected"
    assert world.log.events == []
    assert (await peer.ask(request())).status == 202  # the connection stays


@pytest.mark.parametrize("authorization", ["Bearer x", "basic ZGV2aWNlMUBhcHAxOmZvbw==", "Basic", "Digest a=b", "x"])
async def test_drogue_04_other_schemes_are_refused(world: World, authorization: str) -> None:
    peer = await world.peer()
    answer = await peer.ask(request(user=None, headers=(f"Authorization: {authorization}",)))
    assert (answer.status, answer.json) == (403, NOT_AUTHENTICATED)


async def test_basic_without_padding(world: World) -> None:
    peer = await world.peer()
    answer = await peer.ask(request(user=None, headers=(f"Authorization: {basic().rstrip('=')}",)))
    assert answer.status == 202


async def test_drogue_05_application_by_query(world: World) -> None:
    peer = await world.peer()
    assert (await peer.ask(request(user="device1", target="/v1/x?application=app1"))).status == 202


async def test_drogue_08_alias(world: World) -> None:
    peer = await world.peer()
    assert (await peer.ask(request(user="al@app1"))).status == 202
    assert world.log.events[0].device == "device1"


@pytest.mark.parametrize("body", [b"{oops", b""])
async def test_drogue_12_declared_json_that_is_none(world: World, body: bytes) -> None:
    peer = await world.peer()
    answer = await peer.ask(request(body=body))
    assert (answer.status, answer.code) == (406, "event.payload.not-json")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["detail"]
    assert world.log.events == []
    assert (await peer.ask(request())).status == 202


@pytest.mark.parametrize(
    ("content_type", "body", "stored"),
    [
        (None, b"hello", ("application/octet-stream", b"hello")),
        (None, b" 42 ", ("application/json", b"42")),
        (None, b"", ("application/octet-stream", b"")),
        ("application/vnd.x+json", b' {"a": 1}', ("application/json", b'{"a":1}')),
        ("application/cbor", bytes(range(256)), ("application/cbor", bytes(range(256)))),
        ("text/plain; charset=utf-8", b"x", ("text/plain; charset=utf-8", b"x")),
    ],
)
async def test_drogue_13_14_16_content_types(
    world: World, content_type: str | None, body: bytes, stored: tuple[str, bytes]
) -> None:
    peer = await world.peer()
    assert (await peer.ask(request(content_type=content_type, body=body))).status == 202
    (event,) = world.log.events
    assert (event.datacontenttype, event.data) == stored


async def test_content_types_that_no_event_can_have(world: World) -> None:
    peer = await world.peer()
    answer = await peer.ask(request(content_type="text/plain; x=" + "y" * 300))
    assert (answer.status, answer.code) == (400, "event.attribute.invalid")


async def test_drogue_17_data_schema(world: World) -> None:
    peer = await world.peer()
    for schema in ("urn:x:y", "plain"):
        assert (await peer.ask(request(target=f"/v1/x?data_schema={schema}"))).status == 202
    assert [event.dataschema for event in world.log.events] == ["urn:x:y", "plain"]


@pytest.mark.parametrize("cold", [False, True])
async def test_drogue_18_a_gateway_publishes_for_its_device(world: World, cold: bool) -> None:
    world.directory.cold = cold
    peer = await world.peer()
    assert (await peer.ask(request(user="gw1@app1", target="/v1/x?as=dev2"))).status == 202
    (event,) = world.log.events
    assert (event.device, event.sender, event.partitionkey) == ("dev2", "gw1", "app1/gw1")


async def test_drogue_19_a_device_may_name_itself(world: World) -> None:
    peer = await world.peer()
    assert (await peer.ask(request(target="/v1/x?as=device1"))).status == 202


async def test_drogue_20_a_disabled_application_is_refused_on_an_open_connection(world: World) -> None:
    peer = await world.peer()
    assert (await peer.ask(request())).status == 202
    world.directory.change_application("app1", enabled=False)
    assert (await peer.ask(request())).status == 403
    world.directory.change_application("app1", enabled=True)
    assert (await peer.ask(request())).status == 202


async def test_a_gateway_taken_off_the_list_is_refused_on_an_open_connection(world: World) -> None:
    peer = await world.peer()
    raw = request(user="gw1@app1", target="/v1/x?as=dev2")
    assert (await peer.ask(raw)).status == 202
    target = await world.directory.device("app1", "dev2")
    assert target is not None
    world.directory.change(target, gateways=frozenset())
    assert (await peer.ask(raw)).status == 403


@pytest.mark.parametrize("target", ["/v1/a/b/c", "/v1/a", "/v1/a/", "http://test/v1/a/b"])
async def test_drogue_26_the_suffix_is_dropped(world: World, target: str) -> None:
    peer = await world.peer()
    assert (await peer.ask(request(target=target))).status == 202
    assert world.log.events[0].subject == "a"


async def test_channels_are_percent_decoded(world: World) -> None:
    peer = await world.peer()
    assert (await peer.ask(request(target="/v1/gr%C3%BCn%2Fx"))).status == 202
    assert world.log.events[0].subject == "grün/x"


@pytest.mark.parametrize(
    ("target", "status", "code"),
    [
        ("/v1/%FF", 400, "request.invalid"),
        ("/v1/a%00b", 400, "event.channel.invalid"),
        ("/v1/a%0D%0Ab", 400, "event.channel.invalid"),
        ("/v1/" + "x" * 2000, 400, "event.channel.invalid"),
        ("/v1/x?data_schema=%00", 400, "event.attribute.invalid"),
        ("/v1/x?ct=abc", 400, "request.invalid"),
        ("/v1/x?ct=-1", 400, "request.invalid"),
        ("/v1/x?device=a&device=b", 400, "request.invalid"),
        ("/v1/", 404, "resource.not-found"),
        ("/v2/x", 404, "resource.not-found"),
        ("/favicon.ico", 404, "resource.not-found"),
    ],
)
async def test_targets_that_mean_nothing(world: World, target: str, status: int, code: str) -> None:
    peer = await world.peer()
    answer = await peer.ask(request(target=target))
    assert (answer.status, answer.code, answer.json["code"]) == (status, code, code)
    assert world.log.events == []
    assert (await peer.ask(request())).status == 202


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_the_root_says_that_the_endpoint_lives(world: World, method: str) -> None:
    peer = await world.peer()
    answer = await peer.ask(request(method, "/", b"", None, content_type=None), method)
    assert (answer.status, answer.headers["content-length"], answer.body) == (200, "0", b"")


@pytest.mark.parametrize(
    ("method", "target", "allow"),
    [
        ("POST", "/", "GET, HEAD"),
        ("GET", "/v1/x", "POST"),
        ("HEAD", "/v1/x", "POST"),
        ("PUT", "/v1/x", "POST"),
        ("OPTIONS", "/v1/x", "POST"),
        ("DELETE", "/v1/x", "POST"),
    ],
)
async def test_other_methods(world: World, method: str, target: str, allow: str) -> None:
    peer = await world.peer()
    answer = await peer.ask(request(method, target), method)
    assert (answer.status, answer.headers["allow"]) == (405, allow)
    assert answer.code == "request.method.not-allowed"
    assert (await peer.ask(request())).status == 202


async def test_heads_that_alternate_on_one_connection_keep_their_own_identity(world: World) -> None:
    peer = await world.peer()
    heads = [
        request(user="gw1@app1", target="/v1/x?as=dev2"),
        request(),
        request(user="gw1@app1", target="/v1/own"),
        request(password="wrong"),
    ]
    for _ in range(3):
        answers = [await peer.ask(raw) for raw in heads]
        assert [answer.status for answer in answers] == [202, 202, 202, 403]
    sent = [(event.device, event.sender, event.subject) for event in world.log.events]
    assert sent == [("dev2", "gw1", "x"), ("device1", "device1", "telemetry"), ("gw1", "gw1", "own")] * 3


# --- load and failures ---------------------------------------------------------------------------


async def test_a_full_queue_is_503_with_a_pause(world: World) -> None:
    world.log.refusal = OVERLOADED.error()
    peer = await world.peer()
    answer = await peer.ask(request())
    assert (answer.status, answer.headers["retry-after"], answer.body) == (503, "1", b"")
    world.log.refusal = None
    assert (await peer.ask(request())).status == 202


async def test_a_log_that_stops_is_503(world: World) -> None:
    world.log.refusal = SHUTTING_DOWN.error()
    peer = await world.peer()
    assert (await peer.ask(request())).status == 503


@pytest.mark.parametrize("failure", [LOG_UNAVAILABLE.error("disk full"), RuntimeError("a fault of ours")])
async def test_an_event_that_could_not_be_made_durable_is_500(world: World, failure: Exception) -> None:
    world.log.failure = failure
    peer = await world.peer()
    answer = await peer.ask(request())
    assert answer.status == 500
    assert set(answer.json) == {"error", "message"}
    assert answer.json["error"] == "InternalError"
    assert b"disk" not in answer.body
    world.log.failure = None
    assert (await peer.ask(request())).status == 202


async def test_a_submission_that_is_cancelled_is_500(world: World) -> None:
    world.log.hold = True
    peer = await world.peer()
    await peer.send(request())
    await until(lambda: world.log.events)
    world.log.cancel()
    assert (await peer.answer()).status == 500


async def test_a_registry_that_fails_is_503(world: World) -> None:
    world.directory.cold = True
    world.directory.failure = OSError("database")
    peer = await world.peer()
    answer = await peer.ask(request())
    assert (answer.status, answer.json["error"]) == (503, "AuthenticationServiceError")
    assert answer.json["message"].startswith("Failed to authenticate: ")
    assert answer.headers["retry-after"] == "1"
    world.directory.failure = None
    assert (await peer.ask(request())).status == 202


async def test_a_fault_of_ours_costs_one_request(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("bug")

    peer = await world.peer()
    with monkeypatch.context() as patch, capture_logs() as lines:
        patch.setattr(world.intake, "event", broken)
        answer = await peer.ask(request())
        patch.setattr(world.gate, "authenticate_cached", broken)
        other = await peer.ask(request(user="gw1@app1"))
    assert (answer.status, other.status) == (500, 500)
    assert [line["event"] for line in lines if line["log_level"] == "error"] == ["request failed"] * 2
    assert (await peer.ask(request())).status == 202


async def test_the_quota_of_an_application_is_429(serve: Serve) -> None:
    world = await serve(limits=Limits(events_per_second=2))
    peer = await world.peer()
    answers = [await peer.ask(request()) for _ in range(4)]
    assert [answer.status for answer in answers[:2]] == [202, 202]
    refused = [answer for answer in answers if answer.status == 429]
    assert refused
    assert refused[0].headers["retry-after"] == "1"
    assert "events_per_second" in refused[0].json["detail"]


async def test_wrong_secrets_are_limited_by_address(serve: Serve) -> None:
    world = await serve(limits=Limits(auth_failures_per_minute=3))
    peer = await world.peer()
    answers = [await peer.ask(request(password="wrong")) for _ in range(5)]
    assert [answer.status for answer in answers] == [403, 403, 403, 429, 429]
    assert answers[3].headers["retry-after"] == "60"
    assert answers[3].json["error"] == "TooManyRequests"
    assert await world.works()  # the right secret, from the same address


async def test_refusals_are_logged_seldom_and_without_secrets(world: World) -> None:
    peer = await world.peer()
    with capture_logs() as lines:
        for number in range(20):
            await peer.ask(request(password=f"pa55-{number}"))
            await peer.ask(request(body=b"{s3cret"))
            await peer.ask(request(user=None))
    mine = [line for line in lines if line["event"] == "request refused"]
    assert [line["code"] for line in mine] == ["device.credentials.rejected", "event.payload.not-json"]
    assert all(line["address"] == "127.0.0.1" for line in mine)
    assert "pa55" not in str(lines)
    assert "s3cret" not in str(lines)
    assert basic()[6:] not in str(lines)


# --- the component -------------------------------------------------------------------------------


async def test_a_port_that_is_taken_is_named(world: World) -> None:
    second = HttpEndpoint(Http(host="127.0.0.1"), world.endpoint.port, world.gate, world.intake, world.router)
    with pytest.raises(FreeholdError) as caught:
        await second.start()
    assert caught.value.refusal is PORT_TAKEN
    assert str(world.endpoint.port) in caught.value.detail


async def test_health(world: World) -> None:
    assert world.endpoint.name == "connect.http"
    assert world.endpoint.health() is None
    await world.endpoint.stop()
    assert world.endpoint.health() is not None


async def test_numbers(world: World) -> None:
    metrics = MetricSet()
    world.endpoint.register(metrics)
    peer = await world.peer()
    await peer.ask(request())
    await peer.ask(request(user=None))
    page = metrics.exposition().decode()
    assert 'freehold_http_responses_total{status="202"} 1.0' in page
    assert 'freehold_http_responses_total{status="403"} 1.0' in page
    assert 'freehold_http_refusals_total{code="device.credentials.rejected"} 1.0' in page
    assert "freehold_http_connections_total 1.0" in page
    assert "freehold_http_connections_open 1.0" in page


async def test_drain_finishes_what_was_begun(world: World) -> None:
    world.log.hold = True
    busy, idle, half = await world.peer(), await world.peer(), await world.peer()
    assert (await idle.ask(request("GET", "/", b"", None))).status == 200
    await busy.send(request())
    whole = request(body=b'{"late":1}')
    await half.send(whole[:-5])
    await until(lambda: world.log.events and world.endpoint.open_connections == 3 and world.endpoint.held_bytes)
    draining = asyncio.create_task(world.endpoint.drain())
    assert await idle.rest() == b""
    await half.send(whole[-5:])
    await until(lambda: len(world.log.events) == 2)
    world.log.release()
    for peer in (busy, half):
        answer = await peer.answer()
        assert (answer.status, answer.headers["connection"]) == (202, "close")
        assert await peer.rest() == b""
    await draining
    assert world.endpoint.open_connections == 0
    with pytest.raises(ConnectionRefusedError):
        await Peer.open(world.endpoint.port)


async def test_drain_answers_pipelined_requests_that_are_on_their_way(world: World) -> None:
    world.log.hold = True
    peer = await world.peer()
    await peer.send(request() * 3)
    await until(lambda: len(world.log.events) == 3)
    draining = asyncio.create_task(world.endpoint.drain())
    await asyncio.sleep(0)
    world.log.release()
    answers = [await peer.answer() for _ in range(3)]
    assert [answer.status for answer in answers] == [202] * 3
    assert [answer.headers.get("connection") for answer in answers] == [None, None, "close"]
    await draining


async def test_stop_ends_what_is_left(world: World) -> None:
    world.log.hold = True
    peer = await world.peer()
    await peer.send(request())
    await until(lambda: world.log.events)
    await world.endpoint.stop()
    assert await peer.rest() == b""
    world.log.release()  # too late for the connection, and no harm
    await asyncio.sleep(0.01)
    assert json.dumps(world.endpoint.health())
