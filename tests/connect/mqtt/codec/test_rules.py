# SPDX-License-Identifier: Apache-2.0
"""Every rule of the standards that the decoders hold up, and the answer that breaking it gets."""

import pytest

from freehold.connect.mqtt.codec import (
    DecodeError,
    MalformedPacket,
    ProtocolVersion,
    ProtocolViolation,
    ReasonCode,
    UnsupportedVersion,
    decode_packet,
    frame_bounds,
)
from tests.connect.mqtt.codec.strategies import unhex

MALFORMED = MalformedPacket, ReasonCode.MALFORMED_PACKET
PROTOCOL = ProtocolViolation, ReasonCode.PROTOCOL_ERROR
TOPIC = ProtocolViolation, ReasonCode.TOPIC_NAME_INVALID
BOTH = (4, 5)

# (what is wrong, versions, packet, error class, reason code)
REFUSED = [
    # Fixed header (2.1.2, 2.1.3)
    ("packet type 0", BOTH, "00 00", *MALFORMED),
    ("AUTH in 3.1.1", (4,), "f0 00", *MALFORMED),
    ("CONNECT with flags", BOTH, "11 0d 00 04 4d 51 54 54 04 00 00 3c 00 01 61", *MALFORMED),
    ("CONNACK with flags", BOTH, "21 02 00 00", *MALFORMED),
    ("PUBACK with flags", BOTH, "42 02 00 01", *MALFORMED),
    ("PUBREC with flags", BOTH, "51 02 00 01", *MALFORMED),
    ("PUBREL without its flags", BOTH, "60 02 00 01", *MALFORMED),
    ("PUBREL with more than its flags", BOTH, "63 02 00 01", *MALFORMED),
    ("PUBCOMP with flags", BOTH, "78 02 00 01", *MALFORMED),
    ("SUBSCRIBE without its flags", BOTH, "80 06 00 01 00 01 61 00", *MALFORMED),
    ("SUBACK with flags", BOTH, "92 03 00 01 00", *MALFORMED),
    ("UNSUBSCRIBE without its flags", BOTH, "a0 05 00 01 00 01 61", *MALFORMED),
    ("UNSUBACK with flags", BOTH, "b2 02 00 01", *MALFORMED),
    ("PINGREQ with flags", BOTH, "c1 00", *MALFORMED),
    ("PINGRESP with flags", BOTH, "d8 00", *MALFORMED),
    ("DISCONNECT with flags", BOTH, "e1 00", *MALFORMED),
    ("AUTH with flags", (5,), "f4 00", *MALFORMED),
    ("PINGREQ with a body", BOTH, "c0 01 00", *MALFORMED),
    ("PINGRESP with a body", BOTH, "d0 01 00", *MALFORMED),
    # CONNECT (3.1)
    ("CONNECT empty", BOTH, "10 00", *MALFORMED),
    ("CONNECT ends inside the protocol name", BOTH, "10 04 00 04 4d 51", *MALFORMED),
    ("CONNECT ends before the level", BOTH, "10 06 00 04 4d 51 54 54", *MALFORMED),
    ("CONNECT ends before the flags", BOTH, "10 07 00 04 4d 51 54 54 04", *MALFORMED),
    ("CONNECT ends inside keep alive", BOTH, "10 09 00 04 4d 51 54 54 04 02 00", *MALFORMED),
    ("CONNECT without client identifier", BOTH, "10 0a 00 04 4d 51 54 54 04 02 00 3c", *MALFORMED),
    ("reserved connect flag", BOTH, "10 0d 00 04 4d 51 54 54 04 03 00 3c 00 01 61", *MALFORMED),
    ("will QoS without will", BOTH, "10 0d 00 04 4d 51 54 54 04 0a 00 3c 00 01 61", *MALFORMED),
    ("will QoS without will, v5", BOTH, "10 0e 00 04 4d 51 54 54 05 12 00 3c 00 00 01 61", *MALFORMED),
    ("will retain without will", BOTH, "10 0d 00 04 4d 51 54 54 04 22 00 3c 00 01 61", *MALFORMED),
    ("will QoS 3", BOTH, "10 13 00 04 4d 51 54 54 04 1e 00 3c 00 01 61 00 01 77 00 01 78", *MALFORMED),
    ("password without user name in 3.1.1", BOTH, "10 10 00 04 4d 51 54 54 04 42 00 3c 00 01 61 00 01 70", *MALFORMED),
    ("user name promised, absent", BOTH, "10 0d 00 04 4d 51 54 54 04 82 00 3c 00 01 61", *MALFORMED),
    ("password promised, absent", BOTH, "10 10 00 04 4d 51 54 54 04 c2 00 3c 00 01 61 00 01 75", *MALFORMED),
    ("will promised, absent", BOTH, "10 0d 00 04 4d 51 54 54 04 06 00 3c 00 01 61", *MALFORMED),
    ("will payload absent", BOTH, "10 10 00 04 4d 51 54 54 04 06 00 3c 00 01 61 00 01 77", *MALFORMED),
    ("will topic empty", BOTH, "10 12 00 04 4d 51 54 54 04 06 00 3c 00 01 61 00 00 00 01 78", *MALFORMED),
    ("will topic with wildcard", BOTH, "10 13 00 04 4d 51 54 54 04 06 00 3c 00 01 61 00 01 23 00 01 78", *TOPIC),
    ("bytes behind CONNECT", BOTH, "10 0e 00 04 4d 51 54 54 04 02 00 3c 00 01 61 00", *MALFORMED),
    ("client identifier not UTF-8", BOTH, "10 0d 00 04 4d 51 54 54 04 02 00 3c 00 01 ff", *MALFORMED),
    ("client identifier with U+0000", BOTH, "10 0d 00 04 4d 51 54 54 04 02 00 3c 00 01 00", *MALFORMED),
    ("CONNECT 5 without properties", BOTH, "10 0a 00 04 4d 51 54 54 05 02 00 3c", *MALFORMED),
    ("CONNECT 5 properties overrun", BOTH, "10 0d 00 04 4d 51 54 54 05 02 00 3c 09 00 00", *MALFORMED),
    (
        "CONNECT 5 will delay as connect property",
        BOTH,
        "10 12 00 04 4d 51 54 54 05 02 00 3c 05 18 00 00 00 01 00 00",
        *MALFORMED,
    ),
    (
        "CONNECT 5 receive maximum twice",
        BOTH,
        "10 13 00 04 4d 51 54 54 05 02 00 3c 06 21 00 01 21 00 01 00 00",
        *PROTOCOL,
    ),
    # CONNACK (3.2)
    ("CONNACK 3.1.1 short", (4,), "20 01 00", *MALFORMED),
    ("CONNACK 3.1.1 long", (4,), "20 03 00 00 00", *MALFORMED),
    ("CONNACK 3.1.1 reserved code", (4,), "20 02 00 06", *MALFORMED),
    ("CONNACK reserved flags", (4,), "20 02 02 00", *MALFORMED),
    ("CONNACK 5 reserved flags", (5,), "20 03 80 00 00", *MALFORMED),
    ("CONNACK 5 without properties", (5,), "20 02 00 00", *MALFORMED),
    ("CONNACK 5 with a SUBACK code", (5,), "20 03 00 01 00", *PROTOCOL),
    ("CONNACK refuses and has a session", (4,), "20 02 01 05", *PROTOCOL),
    ("CONNACK 5 refuses and has a session", (5,), "20 03 01 87 00", *PROTOCOL),
    # PUBLISH (3.3)
    ("PUBLISH QoS 3", BOTH, "36 08 00 03 61 2f 62 00 0a 21", *MALFORMED),
    ("PUBLISH QoS 3 with DUP", BOTH, "3e 08 00 03 61 2f 62 00 0a 21", *MALFORMED),
    ("PUBLISH DUP with QoS 0", BOTH, "38 06 00 03 61 2f 62 00", *MALFORMED),
    ("PUBLISH empty", BOTH, "30 00", *MALFORMED),
    ("PUBLISH ends inside topic length", BOTH, "30 01 00", *MALFORMED),
    ("PUBLISH ends inside topic", BOTH, "30 04 00 03 61 2f", *MALFORMED),
    ("PUBLISH ends before packet identifier", BOTH, "32 03 00 01 61", *MALFORMED),
    ("PUBLISH ends inside packet identifier", BOTH, "32 04 00 01 61 00", *MALFORMED),
    ("PUBLISH packet identifier 0", BOTH, "32 06 00 01 61 00 00 00", *PROTOCOL),
    ("PUBLISH 5 without properties", (5,), "30 03 00 01 61", *MALFORMED),
    ("PUBLISH 5 QoS 1 without properties", (5,), "32 05 00 01 61 00 01", *MALFORMED),
    ("PUBLISH 5 properties overrun", (5,), "30 05 00 01 61 02 01", *MALFORMED),
    ("PUBLISH topic '#'", BOTH, "30 04 00 01 23 00", *TOPIC),
    ("PUBLISH topic 'a/+'", BOTH, "30 06 00 03 61 2f 2b 00", *TOPIC),
    ("PUBLISH topic with a wildcard inside a level", BOTH, "30 06 00 03 61 2b 62 00", *TOPIC),
    ("PUBLISH topic not UTF-8", BOTH, "30 04 00 01 80 00", *MALFORMED),
    ("PUBLISH topic with a surrogate", BOTH, "30 06 00 03 ed a0 80 00", *MALFORMED),
    ("PUBLISH topic overlong NUL", BOTH, "30 05 00 02 c0 80 00", *MALFORMED),
    ("PUBLISH topic beyond U+10FFFF", BOTH, "30 07 00 04 f4 90 80 80 00", *MALFORMED),
    ("PUBLISH topic with U+0000", BOTH, "30 06 00 03 61 00 62 00", *MALFORMED),
    ("PUBLISH topic with U+0000 and a wildcard", BOTH, "30 06 00 03 23 00 62 00", *MALFORMED),
    ("PUBLISH 3.1.1 empty topic", (4,), "30 03 00 00 21", *MALFORMED),
    ("PUBLISH 5 empty topic without alias", (5,), "30 03 00 00 00", *PROTOCOL),
    ("PUBLISH 5 empty topic, other property", (5,), "30 05 00 00 02 01 01", *PROTOCOL),
    ("PUBLISH 5 alias 0", (5,), "30 07 00 01 61 03 23 00 00", ProtocolViolation, ReasonCode.TOPIC_ALIAS_INVALID),
    ("PUBLISH 5 alias twice", (5,), "30 09 00 00 06 23 00 01 23 00 01", *PROTOCOL),
    # PUBACK and its kin (3.4 to 3.7)
    ("PUBACK empty", BOTH, "40 00", *MALFORMED),
    ("PUBACK with half an identifier", BOTH, "40 01 00", *MALFORMED),
    ("PUBACK identifier 0", BOTH, "40 02 00 00", *PROTOCOL),
    ("PUBREL identifier 0", BOTH, "62 02 00 00", *PROTOCOL),
    ("PUBACK 3.1.1 with a reason", (4,), "40 03 00 01 00", *MALFORMED),
    ("PUBACK 5 with a PUBREL code", (5,), "40 03 00 01 92", *PROTOCOL),
    ("PUBREL 5 with a PUBACK code", (5,), "62 03 00 01 97", *PROTOCOL),
    ("PUBREC 5 with an unknown code", (5,), "50 03 00 01 ff", *PROTOCOL),
    ("PUBACK 5 with bytes behind properties", (5,), "40 05 00 01 00 00 00", *MALFORMED),
    ("PUBCOMP 5 properties overrun", (5,), "70 04 00 01 00 05", *MALFORMED),
    ("PUBACK 5 with a topic alias", (5,), "40 07 00 01 00 03 23 00 01", *MALFORMED),
    # SUBSCRIBE and SUBACK (3.8, 3.9)
    ("SUBSCRIBE empty", BOTH, "82 00", *MALFORMED),
    ("SUBSCRIBE identifier 0", BOTH, "82 06 00 00 00 01 61 00", *PROTOCOL),
    ("SUBSCRIBE without filters", (4,), "82 02 00 01", *PROTOCOL),
    ("SUBSCRIBE 5 without filters", (5,), "82 03 00 01 00", *PROTOCOL),
    ("SUBSCRIBE 5 without properties", (5,), "82 02 00 01", *MALFORMED),
    ("SUBSCRIBE without options", (4,), "82 05 00 01 00 01 61", *MALFORMED),
    ("SUBSCRIBE second filter cut", (4,), "82 08 00 01 00 01 61 00 00 01", *MALFORMED),
    ("SUBSCRIBE empty filter", (4,), "82 05 00 01 00 00 00", *MALFORMED),
    ("SUBSCRIBE filter with U+0000", (4,), "82 06 00 01 00 01 00 00", *MALFORMED),
    ("SUBSCRIBE QoS 3", (4,), "82 06 00 01 00 01 61 03", *PROTOCOL),
    ("SUBSCRIBE 5 QoS 3", (5,), "82 07 00 01 00 00 01 61 03", *PROTOCOL),
    ("SUBSCRIBE 3.1.1 with options of 5", (4,), "82 06 00 01 00 01 61 04", *MALFORMED),
    ("SUBSCRIBE 3.1.1 reserved bit", (4,), "82 06 00 01 00 01 61 81", *MALFORMED),
    ("SUBSCRIBE 5 reserved bit 6", (5,), "82 07 00 01 00 00 01 61 40", *MALFORMED),
    ("SUBSCRIBE 5 reserved bit 7", (5,), "82 07 00 01 00 00 01 61 80", *MALFORMED),
    ("SUBSCRIBE 5 retain handling 3", (5,), "82 07 00 01 00 00 01 61 30", *PROTOCOL),
    ("SUBSCRIBE 5 shared and no local", (5,), "82 10 00 01 00 00 0a 24 73 68 61 72 65 2f 67 2f 61 04", *PROTOCOL),
    ("SUBSCRIBE 5 subscription identifier 0", (5,), "82 09 00 01 02 0b 00 00 01 61 00", *PROTOCOL),
    ("SUBSCRIBE 5 subscription identifier twice", (5,), "82 0b 00 01 04 0b 01 0b 02 00 01 61 00", *PROTOCOL),
    ("SUBACK identifier 0", (4,), "90 03 00 00 00", *PROTOCOL),
    ("SUBACK without codes", (4,), "90 02 00 01", *PROTOCOL),
    ("SUBACK 5 without codes", (5,), "90 03 00 01 00", *PROTOCOL),
    ("SUBACK 3.1.1 code 3", (4,), "90 03 00 01 03", *MALFORMED),
    ("SUBACK 3.1.1 code of 5", (4,), "90 03 00 01 87", *MALFORMED),
    ("SUBACK 5 code 3", (5,), "90 04 00 01 00 03", *PROTOCOL),
    # UNSUBSCRIBE and UNSUBACK (3.10, 3.11)
    ("UNSUBSCRIBE identifier 0", (4,), "a2 05 00 00 00 01 61", *PROTOCOL),
    ("UNSUBSCRIBE without filters", (4,), "a2 02 00 01", *PROTOCOL),
    ("UNSUBSCRIBE 5 without filters", (5,), "a2 03 00 01 00", *PROTOCOL),
    ("UNSUBSCRIBE empty filter", (4,), "a2 04 00 01 00 00", *MALFORMED),
    ("UNSUBSCRIBE 5 with a subscription identifier", (5,), "a2 08 00 01 02 0b 01 00 01 61", *MALFORMED),
    ("UNSUBACK 3.1.1 with codes", (4,), "b0 03 00 01 00", *MALFORMED),
    ("UNSUBACK 5 without codes", (5,), "b0 03 00 01 00", *PROTOCOL),
    ("UNSUBACK 5 with a SUBACK code", (5,), "b0 04 00 01 00 01", *PROTOCOL),
    # DISCONNECT and AUTH (3.14, 3.15)
    ("DISCONNECT 3.1.1 with a reason", (4,), "e0 01 00", *MALFORMED),
    ("DISCONNECT 5 with a CONNACK code", (5,), "e0 01 86", *PROTOCOL),
    ("DISCONNECT 5 with bytes behind properties", (5,), "e0 03 00 00 00", *MALFORMED),
    ("AUTH 5 with a reason alone", (5,), "f0 01 18", *MALFORMED),
    ("AUTH 5 without a method", (5,), "f0 02 18 00", *PROTOCOL),
    ("AUTH 5 with data and no method", (5,), "f0 06 18 04 16 00 01 61", *PROTOCOL),
    ("AUTH 5 with a foreign code", (5,), "f0 06 80 04 15 00 01 6d", *PROTOCOL),
]

CASES = [
    pytest.param(version, wire, error, code, id=f"v{version} {name}")
    for name, versions, wire, error, code in REFUSED
    for version in versions
]


def read(wire: str, version: int) -> object:
    raw = unhex(wire)
    bounds = frame_bounds(raw, 0, len(raw))
    assert bounds is not None, "the vector itself is cut short"
    assert bounds[1] == len(raw), "the vector has bytes behind the packet"
    return decode_packet(raw[0], raw, version, *bounds)


@pytest.mark.parametrize(("version", "wire", "error", "code"), CASES)
def test_a_broken_rule_is_refused_in_its_own_words(
    version: int, wire: str, error: type[DecodeError], code: ReasonCode
) -> None:
    with pytest.raises(error) as refusal:
        read(wire, version)
    assert type(refusal.value) is error
    assert refusal.value.reason_code is code
    assert str(refusal.value) == refusal.value.text


@pytest.mark.parametrize(("version", "wire", "error", "code"), CASES)
def test_a_refusal_fits_a_log_line_and_a_reason_string(
    version: int, wire: str, error: type[DecodeError], code: ReasonCode
) -> None:
    with pytest.raises(error) as refusal:
        read(wire, version)
    text = refusal.value.text
    assert 10 < len(text) < 120
    assert text.isascii()
    assert text.isprintable()


@pytest.mark.parametrize(
    ("wire", "name", "level", "answer"),
    [
        ("10 0f 00 06 4d 51 49 73 64 70 03 02 00 3c 00 01 61", "MQIsdp", 3, ProtocolVersion.MQTT_3_1_1),
        ("10 0d 00 04 4d 51 54 54 03 02 00 3c 00 01 61", "MQTT", 3, ProtocolVersion.MQTT_3_1_1),
        ("10 0d 00 04 4d 51 54 54 06 02 00 3c 00 01 61", "MQTT", 6, ProtocolVersion.MQTT_5_0),
        # Level with the bridge bit, as mosquitto's bridges try first.
        ("10 0d 00 04 4d 51 54 54 84 02 00 3c 00 01 61", "MQTT", 0x84, ProtocolVersion.MQTT_5_0),
        ("10 0f 00 06 4d 51 49 73 64 70 04 02 00 3c 00 01 61", "MQIsdp", 4, ProtocolVersion.MQTT_3_1_1),
        ("10 0d 00 04 6d 71 74 74 04 02 00 3c 00 01 61", "mqtt", 4, ProtocolVersion.MQTT_3_1_1),
        ("10 03 00 00 04", "", 4, ProtocolVersion.MQTT_3_1_1),
    ],
)
def test_other_protocols_and_levels(wire: str, name: str, level: int, answer: ProtocolVersion) -> None:
    """[MQTT-3.1.2-1, 3.1.2-2]: refused as such, and nothing behind the level is looked at."""
    with pytest.raises(UnsupportedVersion) as refusal:
        read(wire, 5)
    assert (refusal.value.protocol_name, refusal.value.level) == (name, level)
    assert refusal.value.reason_code is ReasonCode.UNSUPPORTED_PROTOCOL_VERSION
    assert refusal.value.answer_version is answer


def test_a_hostile_protocol_name_is_shown_escaped_and_cut() -> None:
    name = "\x1b[31m\n" + "é" * 500
    raw = name.encode()
    body = len(raw).to_bytes(2, "big") + raw + b"\4"
    with pytest.raises(UnsupportedVersion) as refusal:
        decode_packet(0x10, body, 5)
    assert len(refusal.value.text) < 160
    assert refusal.value.text.isascii()
    assert refusal.value.text.isprintable()
