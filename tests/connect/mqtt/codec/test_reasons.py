# SPDX-License-Identifier: Apache-2.0
"""Reason codes against paho's independent tables, and how v5 refusals are said in 3.1.1."""

import pytest
from paho.mqtt.reasoncodes import ReasonCode as PahoReasonCode

from freehold.connect.mqtt.codec import ConnectReturnCode, PacketType, ReasonCode, return_code_for
from freehold.connect.mqtt.codec.reasons import ALLOWED

PAHO = PahoReasonCode(PacketType.CONNACK, "Success").names
# Where paho departs from tables 2-6 and 3-1 of the standard.
PAHO_LACKS = {PacketType.CONNACK: {ReasonCode.PAYLOAD_FORMAT_INVALID}}
PAHO_SPELLS = {
    ReasonCode.NO_SUBSCRIPTION_EXISTED: "no subscription found",
    ReasonCode.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED: "shared subscription not supported",
    ReasonCode.WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED: "wildcard subscription not supported",
}


def name_of(reason: ReasonCode) -> str:
    return reason.name.lower().replace("_", " ")


@pytest.mark.parametrize("kind", list(ALLOWED), ids=lambda kind: kind.name)
def test_the_codes_of_a_packet_are_those_of_paho(kind: PacketType) -> None:
    theirs = {value for value, names in PAHO.items() if any(kind in packets for packets in names.values())}
    assert set(ALLOWED[kind]) == theirs | PAHO_LACKS.get(kind, set())


@pytest.mark.parametrize("reason", list(ReasonCode), ids=lambda reason: reason.name)
def test_names_are_those_of_the_standard(reason: ReasonCode) -> None:
    theirs = {name.lower().replace("-", " ") for name in PAHO[reason.value]}
    assert PAHO_SPELLS.get(reason, name_of(reason)) in theirs


def test_every_code_of_the_standard_is_there() -> None:
    assert {int(reason) for reason in ReasonCode} == set(PAHO)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (ReasonCode.SUCCESS, ConnectReturnCode.ACCEPTED),
        (ReasonCode.UNSUPPORTED_PROTOCOL_VERSION, ConnectReturnCode.UNACCEPTABLE_PROTOCOL_VERSION),
        (ReasonCode.CLIENT_IDENTIFIER_NOT_VALID, ConnectReturnCode.IDENTIFIER_REJECTED),
        (ReasonCode.BAD_USER_NAME_OR_PASSWORD, ConnectReturnCode.BAD_USER_NAME_OR_PASSWORD),
        (ReasonCode.NOT_AUTHORIZED, ConnectReturnCode.NOT_AUTHORIZED),
        (ReasonCode.BANNED, ConnectReturnCode.NOT_AUTHORIZED),
        (ReasonCode.SERVER_BUSY, ConnectReturnCode.SERVER_UNAVAILABLE),
        (ReasonCode.QUOTA_EXCEEDED, ConnectReturnCode.SERVER_UNAVAILABLE),
    ],
)
def test_a_refusal_in_the_words_of_3_1_1(reason: ReasonCode, expected: ConnectReturnCode) -> None:
    assert return_code_for(reason) is expected


@pytest.mark.parametrize("reason", list(ALLOWED[PacketType.CONNACK].values()), ids=lambda r: r.name)
def test_every_connack_code_has_a_counterpart(reason: ReasonCode) -> None:
    assert bool(return_code_for(reason)) == (reason >= 0x80)
