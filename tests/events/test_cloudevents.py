# SPDX-License-Identifier: Apache-2.0
"""CloudEvents mappings (drogue.md 2.1, 2.2), with the official SDK as an independent reader and writer."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from cloudevents.core.bindings import http as sdk
from cloudevents.core.v1.event import CloudEvent
from hypothesis import given
from hypothesis import strategies as st

from freehold.core.clock import to_rfc3339
from freehold.core.errors import FreeholdError
from freehold.events.cloudevents import (
    STRUCTURED,
    CloudEventInvalid,
    attributes,
    from_binary,
    from_structured,
    to_binary,
    to_structured,
)
from freehold.events.content import normalise
from freehold.events.models import Event

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# What an event's strings may hold: no control characters, surrogates or noncharacters (CloudEvents 1.0.2, String).
text = st.text(st.characters(exclude_categories=("Cs", "Cc", "Cn")), min_size=1, max_size=30)
name = st.text('abcdefghijklmnopqrstuvwxyz0123456789-._@ü/ %"', min_size=1, max_size=20)
extension_name = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=12).map("x".__add__)
payloads = (
    st.tuples(st.just("application/json"), st.sampled_from([b'{"temp":42}', b"42", b'"x"', b"null", b"[1.5,true]"]))
    | st.tuples(st.sampled_from(["text/plain", "text/plain; charset=utf-8"]), st.binary(max_size=20))
    | st.tuples(st.sampled_from(["application/cbor", "application/octet-stream"]), st.binary(max_size=40))
    | st.tuples(st.just("text/plain"), text.map(str.encode))
)


@st.composite
def events(draw: st.DrawFn) -> Event:
    content_type, data = draw(payloads)
    return Event(
        id=draw(text),
        time=draw(st.integers(0, 4_102_444_800_000_000)),
        application=draw(name),
        applicationuid=draw(text),
        device=draw(name),
        deviceuid=draw(st.just("") | text),
        sender=draw(name),
        senderuid=draw(st.just("") | text),
        subject=draw(text),
        datacontenttype=content_type,
        data=data,
        instance=draw(text),
        type=draw(st.sampled_from(["io.drogue.event.v1", "io.drogue.connection.v1"])),
        dataschema=draw(st.none() | text),
        extensions=draw(st.dictionaries(extension_name, text, max_size=3)),
    )


def event(**changes: Any) -> Event:
    plain = Event(
        id="0199f8a0-0000-7000-8000-000000000001",
        time=1_651_406_400_123_456,
        application="example-app",
        applicationuid="u-app",
        device="my-dev",
        deviceuid="u-dev",
        sender="gw",
        senderuid="u-gw",
        subject="foo",
        datacontenttype="application/json",
        data=b'{"temp":42}',
        instance="drogue",
    )
    return msgspec.structs.replace(plain, **changes)


def test_structured_document_is_drogues() -> None:
    assert json.loads(to_structured(event())) == {
        "specversion": "1.0",
        "id": "0199f8a0-0000-7000-8000-000000000001",
        "type": "io.drogue.event.v1",
        "source": "drogue://example-app/my%2Ddev",
        "datacontenttype": "application/json",
        "subject": "foo",
        "time": "2022-05-01T12:00:00.123456Z",
        "data": {"temp": 42},
        "application": "example-app",
        "applicationuid": "u-app",
        "device": "my-dev",
        "deviceuid": "u-dev",
        "sender": "gw",
        "senderuid": "u-gw",
        "partitionkey": "example%2Dapp/gw",
        "instance": "drogue",
    }


@pytest.mark.parametrize(
    ("content_type", "data", "member"),
    [
        ("application/json", b"null", {"data": None}),
        ("application/json", b'"x"', {"data": "x"}),
        ("text/json; a=b", b"[1]", {"data": [1]}),
        ("application/x+json", b"1e400", {"data": float("inf")}),
        ("application/json", b"{oops", {"data_base64": "e29vcHM="}),
        ("text/plain", "grün".encode(), {"data": "grün"}),
        ("text/plain; charset=utf-8", b"a", {"data": "a"}),
        ("text/plain", b"\xff", {"data_base64": "/w=="}),
        ("application/cbor", b"\xa0", {"data_base64": "oA=="}),
        ("text/html", b"<p>", {"data_base64": "PHA+"}),
        ("application/octet-stream", b"", {}),
        ("text/plain", b"", {}),
    ],
)
def test_structured_payload_upgrade(content_type: str, data: bytes, member: dict[str, Any]) -> None:
    document = json.loads(to_structured(event(datacontenttype=content_type, data=data)))
    assert {key: document[key] for key in ("data", "data_base64") if key in document} == member


def test_drogue_17_any_text_as_schema_is_readable() -> None:
    original = event(dataschema="plain")
    assert from_structured(to_structured(original)) == original
    read = sdk.from_structured_event(sdk.HTTPMessage({}, to_structured(original)))
    assert read.get_dataschema() == "plain"


@given(events())
def test_structured_round_trip(original: Event) -> None:
    assert from_structured(to_structured(original)) == original


@given(events())
def test_binary_round_trip(original: Event) -> None:
    headers, body = to_binary(original)
    assert from_binary(headers, body) == original
    assert from_binary(list(headers.items()), body) == original


@given(events())
def test_binary_headers_are_visible_ascii(original: Event) -> None:
    headers, _ = to_binary(original)
    for header, value in headers.items():
        assert header.isascii()
        assert header == "content-type" or all(0x21 <= ord(c) < 0x7F and c != '"' for c in value)


def sdk_attributes(read: Any) -> dict[str, str]:
    values = dict(read.get_attributes())
    values["time"] = to_rfc3339((values["time"] - EPOCH) // timedelta(microseconds=1))
    return values


@given(events())
def test_the_sdk_reads_what_we_write_structured(original: Event) -> None:
    read = sdk.from_structured_event(sdk.HTTPMessage({"content-type": STRUCTURED}, to_structured(original)))
    assert sdk_attributes(read) == attributes(original)
    data = read.get_data()
    if original.datacontenttype == "application/json":
        assert data == json.loads(original.data)
    elif isinstance(data, str):
        assert data.encode() == original.data
    else:
        assert (data or b"") == original.data


@given(events())
def test_the_sdk_reads_what_we_write_binary(original: Event) -> None:
    headers, body = to_binary(original)
    read = sdk.from_binary_event(sdk.HTTPMessage(headers, body))
    assert sdk_attributes(read) == attributes(original)


@given(events())
def test_we_read_what_the_sdk_writes(original: Event) -> None:
    values: dict[str, Any] = attributes(original)
    values["time"] = EPOCH + timedelta(microseconds=original.time)
    is_json = original.datacontenttype == "application/json"
    data = json.loads(original.data) if is_json else original.data
    written = sdk.to_structured_event(CloudEvent(dict(values), data))
    # A JSON null is "no data" to the SDK, and so is our empty payload: both leave the member out.
    expected = b"" if data in (None, b"") else original.data
    assert from_structured(written.body).data == expected
    assert msgspec.structs.replace(from_structured(written.body), data=original.data) == original
    binary = sdk.to_binary_event(CloudEvent(dict(values), original.data))
    assert from_binary(binary.headers, binary.body) == original


@pytest.mark.parametrize(
    ("value", "encoded"),
    [("Euro € 😀", "Euro%20%E2%82%AC%20%F0%9F%98%80"), ('"%"', "%22%25%22"), ("a/b?c", "a/b?c"), ("~!", "~!")],
)
def test_binary_percent_encoding_of_the_specification(value: str, encoded: str) -> None:
    headers, _ = to_binary(event(subject=value))
    assert headers["ce-subject"] == encoded


@pytest.mark.parametrize(
    ("header", "subject"),
    [('"quoted"', "quoted"), ('"a\\"b"', 'a"b'), ("plain", "plain"), ("%41", "A"), ("%2541", "%41"), ('"', '"')],
)
def test_binary_header_forms_that_readers_must_take(header: str, subject: str) -> None:
    headers, body = to_binary(event())
    headers["CE-Subject"] = header
    del headers["ce-subject"]
    assert from_binary(headers, body).subject == subject


def document(**changes: Any) -> bytes:
    members = json.loads(to_structured(event()))
    members.update(changes)
    return json.dumps({key: value for key, value in members.items() if value is not ...}).encode()


def test_what_others_leave_out_is_filled_in() -> None:
    bare = document(
        sender=..., senderuid=..., deviceuid=..., partitionkey=..., datacontenttype=..., subject=None, dataschema=None
    )
    read = from_structured(bare)
    assert (read.sender, read.senderuid, read.deviceuid, read.subject) == ("my-dev", "", "", "")
    assert (read.datacontenttype, read.dataschema, read.data) == ("application/json", None, b'{"temp":42}')


@pytest.mark.parametrize(("value", "shown"), [(7, "7"), (True, "true"), (False, "false"), ("x", "x")])
def test_typed_extensions_become_their_canonical_text(value: object, shown: str) -> None:
    assert from_structured(document(lorawanport=value)).extensions == {"lorawanport": shown}


@pytest.mark.parametrize(
    ("changes", "data"),
    [
        ({"data": ..., "data_base64": base64.b64encode(b"\x00\xff").decode()}, b"\x00\xff"),
        ({"data": "text", "datacontenttype": "text/plain"}, b"text"),
        ({"data": "text", "datacontenttype": "application/json"}, b'"text"'),
        ({"data": {"a": 1}, "datacontenttype": "application/cbor"}, b'{"a":1}'),
        ({"data": ...}, b""),
    ],
)
def test_data_members_that_others_write(changes: dict[str, Any], data: bytes) -> None:
    assert from_structured(document(**changes)).data == data


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (b"", "no JSON object"),
        (b"[]", "no JSON object"),
        (b'{"specversion":', "no JSON object"),
        (b"\xff", "no JSON object"),
        (b'{"a":' * 5000, "no JSON object"),
        (document(specversion="0.3"), "specversion"),
        (document(specversion=...), "specversion"),
        (document(id=""), "id is missing"),
        (document(device=...), "device is missing"),
        (document(time="yesterday"), "RFC 3339"),
        (document(time="2022-05-01T12:00:00"), "RFC 3339"),
        (document(lorawanport={"a": 1}), "no text"),
        (document(lorawanport=1.5), "no text"),
        (document(Upper="x"), "lower-case"),
        (document(data_base64="AA=="), "never beside"),
        (document(data=..., data_base64=7), "data_base64 is text"),
        (document(data=..., data_base64="???"), "cannot be read"),
    ],
)
def test_structured_refusals_name_the_fault(broken: bytes, reason: str) -> None:
    with pytest.raises(CloudEventInvalid, match=reason):
        from_structured(broken)


def test_binary_refusals_name_the_fault() -> None:
    headers, body = to_binary(event())
    with pytest.raises(CloudEventInvalid, match="ce-subject"):
        from_binary(headers | {"ce-subject": "%FF"}, body)
    with pytest.raises(CloudEventInvalid, match="specversion"):
        from_binary({"content-type": "text/plain"}, body)


@given(st.binary(max_size=80))
def test_any_bytes_are_an_event_or_a_refusal(document: bytes) -> None:
    with pytest.raises(CloudEventInvalid):
        from_structured(document)


@given(st.sampled_from(["application/json", "text/plain", None, "application/x"]), st.binary(max_size=40))
def test_whatever_the_door_accepts_never_breaks_the_stream(content_type: str | None, payload: bytes) -> None:
    try:
        stored_type, data = normalise(content_type, payload)
    except FreeholdError:
        return
    accepted = event(datacontenttype=stored_type, data=data)
    assert from_structured(to_structured(accepted)) == accepted
    sdk.from_structured_event(sdk.HTTPMessage({}, to_structured(accepted)))
