# SPDX-License-Identifier: Apache-2.0
"""What a client may not send, and what a server may not."""

import pytest

from freehold.connect.mqtt.codec import (
    Auth,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Properties,
    ProtocolViolation,
    Puback,
    Publish,
    Pubrel,
    ReasonCode,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
    check_from_client,
    check_from_server,
)

METHOD = Properties(authentication_method="m")
EITHER: list[Packet] = [
    Publish("a"),
    Puback(1),
    Pubrel(1),
    Disconnect(),
    Disconnect(ReasonCode.PACKET_TOO_LARGE),
    Auth(ReasonCode.CONTINUE_AUTHENTICATION, METHOD),
]
CLIENT_ONLY: list[Packet] = [
    Connect("a", 5),
    Subscribe(1, (Subscription("a"),)),
    Unsubscribe(1, ("a",)),
    Pingreq(),
    Disconnect(ReasonCode.DISCONNECT_WITH_WILL_MESSAGE),
    Disconnect(properties=Properties(session_expiry_interval=5)),
    Auth(ReasonCode.RE_AUTHENTICATE, METHOD),
]
SERVER_ONLY: list[Packet] = [
    Connack(),
    Suback(1, (ReasonCode.SUCCESS,)),
    Unsuback(1, (ReasonCode.SUCCESS,)),
    Pingresp(),
    Publish("a", properties=Properties(subscription_identifiers=(1,))),
    Disconnect(ReasonCode.SESSION_TAKEN_OVER),
    Disconnect(ReasonCode.SERVER_SHUTTING_DOWN),
    Disconnect(properties=Properties(server_reference="b")),
    Auth(ReasonCode.SUCCESS, METHOD),
]


def refusals(packet: Packet) -> set[str]:
    """Which side refuses the packet when it is the receiver."""
    found = set()
    for receiver, check in (("server", check_from_client), ("client", lambda p: check_from_server(p, 5))):
        try:
            check(packet)
        except ProtocolViolation:
            found.add(receiver)
    return found


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        *((packet, set()) for packet in EITHER),
        *((packet, {"client"}) for packet in CLIENT_ONLY),
        *((packet, {"server"}) for packet in SERVER_ONLY),
    ],
    ids=repr,
)
def test_each_side_takes_what_the_other_may_send(packet: Packet, expected: set[str]) -> None:
    assert refusals(packet) == expected


def test_the_answer_is_a_protocol_error() -> None:
    with pytest.raises(ProtocolViolation, match="SUBACK from a client") as refusal:
        check_from_client(SERVER_ONLY[1])
    assert refusal.value.reason_code is ReasonCode.PROTOCOL_ERROR


def test_a_server_of_3_1_1_does_not_disconnect_in_words() -> None:
    with pytest.raises(ProtocolViolation, match=r"3\.1\.1"):
        check_from_server(Disconnect(), 4)
