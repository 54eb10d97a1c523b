# SPDX-License-Identifier: Apache-2.0
"""From what an endpoint has in hand to the Event (drogue.md 2.1; checks 1, 13, 14, 16, 17, 18)."""

from __future__ import annotations

import uuid

import pytest
from cloudevents.core.bindings import http as sdk
from hypothesis import given
from hypothesis import strategies as st

from freehold.connect.interfaces import Session
from freehold.connect.normalise import CHANNEL_LENGTH, SCHEMA_LENGTH, is_text, to_event
from freehold.core.clock import now_us
from freehold.core.errors import FreeholdError
from freehold.events.cloudevents import from_structured, to_structured
from freehold.events.models import Event, decode, encode
from freehold.registry.interfaces import DeviceSnapshot
from tests.connect.doubles import Directory, MemoryLog, presented

directory = Directory()
DEVICE = directory.add("device1", "foo")
BEHIND = directory.add("dev-2", gateways=["device1"])


def session() -> Session:
    return Session(DEVICE, presented(), MemoryLog().route("uid-app1", "app1/device1"))


def event(
    channel: str = "telemetry",
    content_type: str | None = "application/json",
    payload: bytes = b'{"temp":42}',
    dataschema: str | None = None,
    device: DeviceSnapshot = DEVICE,
) -> Event:
    return to_event("here", session(), device, channel, content_type, payload, dataschema)


def test_drogue_01_attributes_of_a_device_event() -> None:
    before = now_us()
    made = event(payload=b' {"temp": 42} ')
    assert before < made.time < now_us()
    assert uuid.UUID(made.id).version == 7
    assert (made.application, made.applicationuid) == ("app1", "uid-app1")
    assert (made.device, made.deviceuid) == (made.sender, made.senderuid) == ("device1", "uid-device1")
    assert (made.subject, made.datacontenttype, made.data) == ("telemetry", "application/json", b'{"temp":42}')
    assert (made.instance, made.type, made.dataschema) == ("here", "io.drogue.event.v1", None)
    assert (made.source, made.partitionkey) == ("drogue://app1/device1", "app1/device1")


def test_drogue_18_device_and_sender_differ_behind_a_gateway() -> None:
    made = event(device=BEHIND)
    assert (made.device, made.deviceuid) == ("dev-2", "uid-dev-2")
    assert (made.sender, made.senderuid) == ("device1", "uid-device1")
    assert (made.source, made.partitionkey) == ("drogue://app1/dev%2D2", "app1/device1")


def test_no_two_events_have_one_id_or_one_time() -> None:
    made = [event() for _ in range(500)]
    assert len({each.id for each in made}) == 500
    assert len({each.time for each in made}) == 500
    assert sorted(each.id for each in made) == [each.id for each in made]


@pytest.mark.parametrize("channel", ["a", "a/b/c", "grün", "with space", "ä" * CHANNEL_LENGTH, "😀", "%20"])
def test_channels(channel: str) -> None:
    assert event(channel).subject == channel


@pytest.mark.parametrize(
    "channel",
    [
        "",
        "x" * (CHANNEL_LENGTH + 1),
        "x" * 1_000_000,
        "a\0b",
        "\ud800",
        "a\nb",
        "\x1b[31m",
        "\x85",
        "\ufffe",
        "\U0001ffff",
    ],
)
def test_channels_that_no_cloudevent_can_have(channel: str) -> None:
    with pytest.raises(FreeholdError) as caught:
        event(channel)
    assert caught.value.refusal.code == "event.channel.invalid"
    assert len(caught.value.detail) < 200


def test_drogue_17_any_text_as_schema() -> None:
    assert event(dataschema="urn:x:y").dataschema == "urn:x:y"
    assert event(dataschema="plain").dataschema == "plain"


@pytest.mark.parametrize("schema", ["", "a\0", "\udfff", "x" * (SCHEMA_LENGTH + 1)])
def test_schemas_that_no_cloudevent_can_have(schema: str) -> None:
    with pytest.raises(FreeholdError, match=r"event\.attribute\.invalid"):
        event(dataschema=schema)


def test_payload_rules_apply() -> None:
    assert event(content_type=None, payload=b"hello").datacontenttype == "application/octet-stream"
    with pytest.raises(FreeholdError, match="not-json"):
        event(payload=b"{oops")


@given(
    st.text(max_size=40),
    st.none() | st.text(max_size=40),
    st.none() | st.sampled_from(["application/json", "text/plain"]) | st.text(max_size=40),
    st.binary(max_size=60),
)
def test_whatever_a_device_says_is_an_event_for_every_reader_or_refused(
    channel: str, schema: str | None, content_type: str | None, payload: bytes
) -> None:
    try:
        made = event(channel, content_type, payload, schema)
    except FreeholdError:
        return
    assert decode(encode(made)) == made
    assert from_structured(to_structured(made)) == made
    sdk.from_structured_event(sdk.HTTPMessage({}, to_structured(made)))


@given(st.text(max_size=20))
def test_text_is_what_cloudevents_calls_a_string(text: str) -> None:
    fit = all(
        not (ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 or 0xD800 <= ord(c) < 0xE000)
        and not (0xFDD0 <= ord(c) <= 0xFDEF or ord(c) & 0xFFFE == 0xFFFE)
        for c in text
    )
    assert is_text(text, 20) == (fit and text != "")
