# SPDX-License-Identifier: Apache-2.0
"""Every refusal of the catalogue in MQTT's own packets, whatever the client's limits; and the framing beside."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.connect.mqtt import answers, handshake
from freehold.connect.mqtt.codec import (
    Connack,
    Connect,
    ConnectReturnCode,
    Disconnect,
    Packet,
    Properties,
    Puback,
    ReasonCode,
    check_from_server,
    decode_packet,
    frame_bounds,
)
from freehold.connect.mqtt.stream import announced_size
from freehold.core.errors import (
    CATALOGUE,
    CREDENTIALS_REJECTED,
    INTERNAL,
    LOG_UNAVAILABLE,
    FreeholdError,
    Refusal,
)

QUIET = answers.NO_LIMITS._replace(words=False)
each_refusal = pytest.mark.parametrize("refusal", CATALOGUE.values(), ids=CATALOGUE)


def read(data: bytes, version: int = 5) -> Packet:
    bounds = frame_bounds(data, 0, len(data))
    assert bounds is not None
    assert bounds[1] == len(data)
    packet = decode_packet(data[0], data, version, *bounds)
    check_from_server(packet, version)
    return packet


@each_refusal
def test_puback(refusal: Refusal) -> None:
    packet = read(answers.refused_publish(7, refusal.error(), answers.NO_LIMITS))
    assert isinstance(packet, Puback)
    assert packet.reason_code >= 0x80
    assert packet.reason_code in (refusal.mqtt, ReasonCode.UNSPECIFIED_ERROR)
    assert refusal.code in (packet.properties.reason_string or "")
    assert read(answers.refused_publish(7, refusal.error(), QUIET)) == Puback(7, packet.reason_code)


@each_refusal
def test_disconnect(refusal: Refusal) -> None:
    packet = read(answers.disconnect(5, refusal.error(), answers.NO_LIMITS))
    assert isinstance(packet, Disconnect)
    assert packet.reason_code in (refusal.mqtt, ReasonCode.UNSPECIFIED_ERROR)
    assert refusal.code in (packet.properties.reason_string or "")
    # Request problem information 0 leaves DISCONNECT its words [MQTT-3.1.2-29].
    assert answers.disconnect(5, refusal.error(), QUIET) == answers.disconnect(5, refusal.error(), answers.NO_LIMITS)
    assert answers.disconnect(4, refusal.error(), answers.NO_LIMITS) == b""


@each_refusal
@pytest.mark.parametrize("version", [4, 5])
def test_connack(refusal: Refusal, version: int) -> None:
    packet = read(handshake.refused(version, refusal.error("the detail"), answers.NO_LIMITS), version)
    assert isinstance(packet, Connack)
    ours = refusal.status >= 500 or refusal.status == 429
    if version == 4:
        assert (packet.reason_code == ConnectReturnCode.BAD_USER_NAME_OR_PASSWORD) is not ours
        assert packet.reason_code != ConnectReturnCode.ACCEPTED
        return
    assert (packet.reason_code == ReasonCode.BAD_USER_NAME_OR_PASSWORD) is not ours
    said = packet.properties.reason_string or ""
    assert refusal.code in said
    # What was wrong with a credential is nobody's business, and the cause of a fault of ours is the owner's.
    assert ("the detail" in said) is (ours and refusal not in (LOG_UNAVAILABLE, INTERNAL))


@given(st.integers(1, 200), st.text(max_size=700), st.booleans())
def test_no_answer_is_larger_than_the_client_takes(size: int, detail: str, wordy: bool) -> None:
    limits = answers.Limits(size, 10, wordy)
    error = CREDENTIALS_REJECTED.error(detail.replace("\0", ""))
    farewells = [answers.disconnect(5, error, limits), handshake.refused(5, error, limits)]
    for packet in farewells:
        assert len(packet) <= size
        assert not packet or read(packet)
    longest = len(answers.refused_publish(1, error, answers.NO_LIMITS))
    assert len(answers.refused_publish(1, error, limits)) <= max(size, 5) <= max(longest, size, 5)


def test_limits_of_a_connect() -> None:
    assert answers.limits_of(Connect("")) is answers.NO_LIMITS  # shared by all that say nothing
    said = Properties(maximum_packet_size=100, receive_maximum=3, request_problem_information=False)
    assert answers.limits_of(Connect("", properties=said)) == answers.Limits(100, 3, False)
    said = Properties(request_problem_information=True)
    assert answers.limits_of(Connect("", properties=said)) == answers.NO_LIMITS


def test_a_detail_with_hostile_text_is_still_a_packet() -> None:
    for hostile in ("a\0b", "lone \ud800 surrogate", "x" * 70_000):
        error: FreeholdError = CREDENTIALS_REJECTED.error(hostile)
        assert isinstance(read(answers.disconnect(5, error, answers.NO_LIMITS)), Disconnect)
        assert isinstance(read(answers.refused_publish(1, error, answers.NO_LIMITS)), Puback)


@given(st.binary(min_size=1, max_size=12), st.binary(max_size=3))
def test_announced_size_agrees_with_the_framing(data: bytes, before: bytes) -> None:
    """A stream waits for exactly as much as lets the framing get on: a whole packet, or one byte more of header."""
    size = announced_size(before + data, len(before))
    assert size > 0
    padded = data + bytes(max(0, min(size, 1000) - len(data)))
    try:
        bounds = frame_bounds(data, 0, len(data))
    except Exception:
        return  # refused now or with the next byte; nothing is waited for
    if bounds is not None:
        assert size == bounds[1] <= len(data)
    else:
        assert size > len(data)
        whole = frame_bounds(padded, 0, size) if size == len(padded) and size > len(data) + 1 else None
        assert whole is None or whole[1] == size
