# SPDX-License-Identifier: Apache-2.0
"""Answers (table of drogue.md 1.2), read by an independent HTTP parser; every entry of the catalogue has one."""

from __future__ import annotations

import json
from email.utils import parsedate_to_datetime

import h11
import pytest

from freehold.connect.http import responses
from freehold.core.errors import (
    ACCESS_REVOKED,
    AUTHENTICATION_UNAVAILABLE,
    CATALOGUE,
    CREDENTIALS_REJECTED,
    DEVICE_NOT_PERMITTED,
    LOG_UNAVAILABLE,
    METHOD_NOT_ALLOWED,
    OVERLOADED,
    PAYLOAD_NOT_JSON,
    QUOTA_EXCEEDED,
    TOO_MANY_ATTEMPTS,
    FreeholdError,
    Refusal,
)


def read(raw: bytes, method: str = "POST") -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body as h11 reads them, which must be all of the bytes."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method=method, target="/", headers=[("host", "x")]))
    client.send(h11.EndOfMessage())
    client.receive_data(raw)
    response = client.next_event()
    assert isinstance(response, h11.Response)
    body = b""
    while isinstance(event := client.next_event(), h11.Data):
        body += bytes(event.data)
    assert isinstance(event, h11.EndOfMessage)
    assert client.trailing_data[0] == b""
    return response.status_code, {k.decode(): v.decode() for k, v in response.headers}, body


def refused(error: FreeholdError, *, close: bool = False) -> tuple[int, dict[str, str], bytes]:
    return read(responses.refused(error, close=close, http10=False))


@pytest.mark.parametrize("refusal", CATALOGUE.values(), ids=lambda refusal: refusal.code)
@pytest.mark.parametrize("close", [False, True])
def test_every_refusal_has_an_answer(refusal: Refusal, close: bool) -> None:
    error = refusal.error('a "detail" of ünicode 😀\r\nX-Forged: 1')
    status, headers, body = refused(error, close=close)
    assert status == refusal.status
    assert headers["freehold-error"] in CATALOGUE
    assert (headers.get("connection") == "close") == close
    assert "x-forged" not in headers
    assert ("retry-after" in headers) == (status in (429, 503))
    if body:
        assert headers["content-type"] in ("application/json", "application/problem+json")
        assert isinstance(json.loads(body), dict)


def test_drogue_02_not_authenticated_has_three_fields() -> None:
    status, _, body = refused(CREDENTIALS_REJECTED.error())
    assert (status, json.loads(body)) == (
        403,
        {"code": 403, "error": "AuthenticationError", "message": "Authentication failed"},
    )


@pytest.mark.parametrize("refusal", [DEVICE_NOT_PERMITTED, ACCESS_REVOKED], ids=lambda refusal: refusal.code)
def test_refused_devices_cannot_tell_why(refusal: Refusal) -> None:
    said = responses.refused(refusal.error("why"), close=False, http10=False)
    plain = responses.refused(CREDENTIALS_REJECTED.error(), close=False, http10=False)
    assert said.split(b"\r\n")[2:] == plain.split(b"\r\n")[2:]  # all but status line and date


def test_authentication_that_does_not_answer() -> None:
    status, headers, body = refused(AUTHENTICATION_UNAVAILABLE.error("busy"))
    assert status == 503
    assert headers["retry-after"] == "1"
    assert json.loads(body) == {
        "code": 503,
        "error": "AuthenticationServiceError",
        "message": "Failed to authenticate: busy",
    }


def test_publish_failure_has_two_fields_and_does_not_tell_of_our_disk() -> None:
    status, _, body = refused(LOG_UNAVAILABLE.error("/data/log: No space left"))
    assert (status, json.loads(body)) == (
        500,
        {"error": "InternalError", "message": "The event could not be made durable"},
    )


def test_a_full_queue_is_empty_and_asks_for_a_pause() -> None:
    status, headers, body = refused(OVERLOADED.error())
    assert (status, headers["retry-after"], headers["freehold-error"], body) == (503, "1", "platform.overloaded", b"")


def test_a_refused_payload_says_why() -> None:
    status, headers, body = refused(PAYLOAD_NOT_JSON.error("JSON is malformed: byte 1"))
    assert (status, headers["content-type"]) == (406, "application/problem+json")
    problem = json.loads(body)
    assert problem["detail"] == "JSON is malformed: byte 1"
    assert problem["code"] == "event.payload.not-json"
    assert problem["remedy"]


@pytest.mark.parametrize(("refusal", "pause"), [(QUOTA_EXCEEDED, "1"), (TOO_MANY_ATTEMPTS, "60")])
def test_limits_say_how_long(refusal: Refusal, pause: str) -> None:
    status, headers, _ = refused(refusal.error())
    assert (status, headers["retry-after"]) == (429, pause)


def test_the_other_methods_are_named() -> None:
    assert refused(METHOD_NOT_ALLOWED.error(allow="GET, HEAD"))[1]["allow"] == "GET, HEAD"


def test_answers_to_head_have_the_length_and_no_body() -> None:
    raw = responses.refused(PAYLOAD_NOT_JSON.error(), close=True, http10=False, head=True)
    status, headers, body = read(raw, "HEAD")
    assert (status, body) == (406, b"")
    assert int(headers["content-length"]) > 0


def test_accepted_is_empty_and_dated() -> None:
    status, headers, body = read(responses.accepted())
    assert (status, body, headers["content-length"]) == (202, b"", "0")
    assert "connection" not in headers
    assert parsedate_to_datetime(headers["date"]).year >= 2024


def test_accepted_is_made_anew_each_second(monkeypatch: pytest.MonkeyPatch) -> None:
    def date_at(second: float) -> str:
        monkeypatch.setattr(responses.time, "time", lambda: second)
        monkeypatch.setattr(responses, "formatdate", lambda usegmt: f"at {second}")
        return read(responses.accepted())[1]["date"]

    assert date_at(1000.0) == "at 1000.0"
    assert date_at(1000.9) == "at 1000.0"
    assert date_at(1001.0) == "at 1001.0"
    monkeypatch.undo()
    responses._second = 0


def test_version_10_is_told_that_the_connection_stays() -> None:
    assert read(responses.render(202, http10=True))[1]["connection"] == "keep-alive"
    assert read(responses.render(202, http10=True, close=True))[1]["connection"] == "close"


def test_drogue_22_a_command_has_its_name_in_a_header_and_no_type() -> None:
    status, headers, body = read(responses.command("SET", b'{"on":true}', close=False, http10=False))
    assert (status, headers["command"], body) == (200, "SET", b'{"on":true}')
    assert "content-type" not in headers


def test_command_names_may_be_any_text() -> None:
    assert b"\r\ncommand: gr\xc3\xbcn/a\r\n" in responses.command("grün/a", b"", close=False, http10=False)


def test_a_command_name_never_makes_a_second_header() -> None:
    _, headers, _ = read(responses.command("a\r\nX-Forged: 1", b"", close=False, http10=False))
    assert headers["command"] == "a%0D%0AX-Forged%3A%201"
    assert "x-forged" not in headers
