# SPDX-License-Identifier: Apache-2.0
"""Packets written down by hand from the two OASIS standards, read and written.

Each vector is a packet in hex with the fields as comments; those marked with a figure number are
the standards' own examples.
"""

import pytest

from freehold.connect.mqtt.codec import (
    Auth,
    Connack,
    Connect,
    ConnectReturnCode,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Properties,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    ReasonCode,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
    Will,
    decode_packet,
    encode,
    frame_bounds,
)
from tests.connect.mqtt.codec.strategies import unhex

VECTORS: list[tuple[str, int, str, Packet]] = [
    (
        "connect-3.1.1 (figure 3.6's flags: user, password, will QoS 1, clean session, keep alive 10)",
        4,
        """10 24  00 04 4d 51 54 54  04  ce  00 0a
           00 02 69 64           # client identifier "id"
           00 04 77 69 6c 6c     # will topic
           00 04 67 6f 6e 65     # will message
           00 03 61 6e 6e        # user name
           00 03 70 77 64        # password""",
        Connect("id", 4, True, 10, "ann", b"pwd", Will("will", b"gone", 1)),
    ),
    (
        "connect-3.1.1 smallest, no clean session",
        4,
        "10 0d  00 04 4d 51 54 54  04  00  00 3c  00 01 61",
        Connect("a", 4, False, 60),
    ),
    (
        "connect-5 (figure 3-6's flags; properties session expiry 10, as in figure 3-6)",
        5,
        """10 2c  00 04 4d 51 54 54  05  ce  00 0a
           05 11 00 00 00 0a     # session expiry interval 10
           00 02 69 64
           02 01 01              # will properties: payload is UTF-8
           00 04 77 69 6c 6c  00 04 67 6f 6e 65
           00 03 61 6e 6e  00 02 70 77""",
        Connect(
            "id",
            5,
            True,
            10,
            "ann",
            b"pw",
            Will("will", b"gone", 1, properties=Properties(payload_format_indicator=1)),
            Properties(session_expiry_interval=10),
        ),
    ),
    (
        "connect-5 password without user name, empty client identifier",
        5,
        "10 10  00 04 4d 51 54 54  05  42  00 00  00  00 00  00 01 78",
        Connect("", 5, True, 0, None, b"x"),
    ),
    (
        "connect-5 will QoS 2 retained, empty payload, delay 5",
        5,
        "10 19  00 04 4d 51 54 54  05  36  00 00  00  00 01 63  05 18 00 00 00 05  00 01 77  00 00",
        Connect("c", 5, will=Will("w", b"", 2, True, Properties(will_delay_interval=5))),
    ),
    ("connack-3.1.1 accepted, session present", 4, "20 02 01 00", Connack(True, ConnectReturnCode.ACCEPTED)),
    (
        "connack-3.1.1 bad user name or password",
        4,
        "20 02 00 04",
        Connack(False, ConnectReturnCode.BAD_USER_NAME_OR_PASSWORD),
    ),
    (
        "connack-5 with what Drogue's endpoint says (drogue.md 1.3)",
        5,
        "20 09 00 00 06  28 01  29 00  2a 00",
        Connack(
            False,
            ReasonCode.SUCCESS,
            Properties(
                wildcard_subscription_available=True,
                shared_subscription_available=False,
                subscription_identifier_available=False,
            ),
        ),
    ),
    (
        "connack-5 bad user name or password",
        5,
        "20 03 00 86 00",
        Connack(False, ReasonCode.BAD_USER_NAME_OR_PASSWORD),
    ),
    (
        "publish-3.1.1 (figure 3.11: a/b, packet identifier 10)",
        4,
        "32 08  00 03 61 2f 62  00 0a  21",
        Publish("a/b", b"!", 1, packet_id=10),
    ),
    ("publish-3.1.1 QoS 0, no payload", 4, "30 05  00 03 61 2f 62", Publish("a/b")),
    (
        "publish-3.1.1 QoS 2, DUP, retain",
        4,
        "3d 06  00 01 61  ff ff  00",
        Publish("a", b"\0", 2, True, True, 65_535),
    ),
    (
        "publish-5 (figure 3-9: a/b, packet identifier 10, no properties)",
        5,
        "32 09  00 03 61 2f 62  00 0a  00  21",
        Publish("a/b", b"!", 1, packet_id=10),
    ),
    (
        "publish-5 alias instead of topic, content type, two user properties",
        5,
        """31 1c  00 00  18
           03 00 01 74             # content type "t"
           0b 81 01                # subscription identifier 129
           23 00 07                # topic alias 7
           26 00 01 6b 00 01 76    # user property k=v
           26 00 01 6b 00 01 77    # user property k=w
           7b""",
        Publish(
            "",
            b"{",
            retain=True,
            properties=Properties(
                topic_alias=7,
                content_type="t",
                user_properties=(("k", "v"), ("k", "w")),
                subscription_identifiers=(129,),
            ),
        ),
    ),
    (
        "publish: a topic with U+2A6D4, from section 1.5.4 (table 1-5: 'A' and U+2A6D4)",
        4,
        "30 07  00 05 41 f0 aa 9b 94",
        Publish("A\U0002a6d4"),
    ),
    (
        "publish: U+FEFF is kept [MQTT-1.5.4-3]",
        4,
        "30 05  00 03 ef bb bf",
        Publish("\ufeff"),
    ),
    ("puback", 4, "40 02 00 0a", Puback(10)),
    ("puback-5 in short", 5, "40 02 00 0a", Puback(10)),
    ("puback-5 quota exceeded", 5, "40 03 00 0a 97", Puback(10, ReasonCode.QUOTA_EXCEEDED)),
    (
        "puback-5 with reason string",
        5,
        "40 08 00 0a 90 04 1f 00 01 21",
        Puback(10, ReasonCode.TOPIC_NAME_INVALID, Properties(reason_string="!")),
    ),
    ("pubrec", 4, "50 02 12 34", Pubrec(0x1234)),
    ("pubrel, flags 0010", 4, "62 02 12 34", Pubrel(0x1234)),
    ("pubrel-5 not found", 5, "62 03 12 34 92", Pubrel(0x1234, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND)),
    ("pubcomp", 4, "70 02 12 34", Pubcomp(0x1234)),
    (
        "subscribe-3.1.1 (figure 3.23: a/b QoS 1, c/d QoS 2, packet identifier 10)",
        4,
        "82 0e  00 0a  00 03 61 2f 62 01  00 03 63 2f 64 02",
        Subscribe(10, (Subscription("a/b", 1), Subscription("c/d", 2))),
    ),
    (
        "subscribe-5 (figure 3-21: the same)",
        5,
        "82 0f  00 0a 00  00 03 61 2f 62 01  00 03 63 2f 64 02",
        Subscribe(10, (Subscription("a/b", 1), Subscription("c/d", 2))),
    ),
    (
        "subscribe-5 all options, subscription identifier 268435455",
        5,
        "82 0d  00 01  05 0b ff ff ff 7f  00 02 2b 2f 2e",
        Subscribe(
            1,
            (Subscription("+/", 2, True, True, 2),),
            Properties(subscription_identifiers=(268_435_455,)),
        ),
    ),
    (
        "suback-3.1.1 (figure 3.26's codes: 0, 2, failure)",
        4,
        "90 05  00 0a  00 02 80",
        Suback(10, (ReasonCode.GRANTED_QOS_0, ReasonCode.GRANTED_QOS_2, ReasonCode.UNSPECIFIED_ERROR)),
    ),
    (
        "suback-5 (figure 3-23)",
        5,
        "90 05  00 0a  00  01 a2",
        Suback(10, (ReasonCode.GRANTED_QOS_1, ReasonCode.WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED)),
    ),
    (
        "unsubscribe-3.1.1 (figure 3.30: a/b and c/d)",
        4,
        "a2 0c  00 0a  00 03 61 2f 62  00 03 63 2f 64",
        Unsubscribe(10, ("a/b", "c/d")),
    ),
    ("unsubscribe-5", 5, "a2 08  00 0a  00  00 03 61 2f 62", Unsubscribe(10, ("a/b",))),
    ("unsuback-3.1.1", 4, "b0 02 00 0a", Unsuback(10)),
    (
        "unsuback-5",
        5,
        "b0 05  00 0a  00  00 11",
        Unsuback(10, (ReasonCode.SUCCESS, ReasonCode.NO_SUBSCRIPTION_EXISTED)),
    ),
    ("pingreq", 4, "c0 00", Pingreq()),
    ("pingresp", 5, "d0 00", Pingresp()),
    ("disconnect-3.1.1", 4, "e0 00", Disconnect()),
    ("disconnect-5 normal", 5, "e0 00", Disconnect()),
    ("disconnect-5 with will", 5, "e0 01 04", Disconnect(ReasonCode.DISCONNECT_WITH_WILL_MESSAGE)),
    (
        "disconnect-5 (figure 3-24: session expiry and reason string)",
        5,
        "e0 0b  8e  09  11 00 00 00 00  1f 00 01 21",
        Disconnect(ReasonCode.SESSION_TAKEN_OVER, Properties(session_expiry_interval=0, reason_string="!")),
    ),
    ("auth-5 success", 5, "f0 00", Auth()),
    (
        "auth-5 continue",
        5,
        "f0 0a  18  08  15 00 01 6d  16 00 01 ff",
        Auth(
            ReasonCode.CONTINUE_AUTHENTICATION,
            Properties(authentication_method="m", authentication_data=b"\xff"),
        ),
    ),
]

# Longer forms that a peer may use and that this side reads but never writes.
LONGER: list[tuple[str, int, str, Packet]] = [
    ("puback-5 reason success written out", 5, "40 03 00 0a 00", Puback(10)),
    ("puback-5 success and no properties written out", 5, "40 04 00 0a 00 00", Puback(10)),
    (
        "puback-5 failure and no properties written out",
        5,
        "40 04 00 0a 87 00",
        Puback(10, ReasonCode.NOT_AUTHORIZED),
    ),
    ("pubrel-5 written out", 5, "62 04 00 0a 00 00", Pubrel(10)),
    ("disconnect-5 reason written out", 5, "e0 01 00", Disconnect()),
    ("disconnect-5 written out", 5, "e0 02 00 00", Disconnect()),
    ("remaining length in two bytes", 4, "40 82 00 00 0a", Puback(10)),
    ("remaining length in four bytes", 4, "40 82 80 80 00 00 0a", Puback(10)),
    (
        "properties in another order",
        5,
        "30 0c  00 01 74  08  26 00 01 6b 00 00  01 01",
        Publish("t", properties=Properties(payload_format_indicator=1, user_properties=(("k", ""),))),
    ),
]


def read(wire: bytes, version: int) -> Packet:
    bounds = frame_bounds(wire, 0, len(wire))
    assert bounds is not None
    assert bounds[1] == len(wire)
    return decode_packet(wire[0], wire, version, *bounds)


@pytest.mark.parametrize(
    ("version", "wire", "packet"),
    [pytest.param(*rest, id=name) for name, *rest in VECTORS],
)
def test_a_vector_is_read_and_written(version: int, wire: str, packet: Packet) -> None:
    assert read(unhex(wire), version) == packet
    assert encode(packet, version).hex(" ") == unhex(wire).hex(" ")


@pytest.mark.parametrize(
    ("version", "wire", "packet"),
    [pytest.param(*rest, id=name) for name, *rest in LONGER],
)
def test_a_longer_form_is_read_and_written_shorter(version: int, wire: str, packet: Packet) -> None:
    assert read(unhex(wire), version) == packet
    assert len(encode(packet, version)) <= len(unhex(wire))
    assert read(encode(packet, version), version) == packet


def test_connect_ignores_the_version_of_the_connection() -> None:
    """There is none yet when it arrives."""
    for packet in (Connect("a", 4), Connect("a", 5)):
        for version in (0, 4, 5):
            wire = encode(packet, version)
            assert read(wire, version) == packet


def test_connack_and_suback_give_the_enums_of_their_version() -> None:
    assert type(read(unhex("20 02 00 05"), 4).reason_code) is ConnectReturnCode  # type: ignore[attr-defined]
    assert type(read(unhex("20 03 00 87 00"), 5).reason_code) is ReasonCode  # type: ignore[attr-defined]
