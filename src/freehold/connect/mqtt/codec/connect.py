# SPDX-License-Identifier: Apache-2.0
"""CONNECT and CONNACK (3.1, 3.2).

CONNECT says its own version, so its decoder takes none. Whether a client identifier may be empty
or must be assigned is the server's to decide (3.1.3.1), not the codec's.
"""

from typing import Final

from freehold.connect.mqtt.codec.errors import (
    DecodeError,
    EncodeError,
    ProtocolViolation,
    UnsupportedVersion,
)
from freehold.connect.mqtt.codec.kinds import Buffer, PacketType, PropertyScope, ProtocolVersion
from freehold.connect.mqtt.codec.packets import Connack, Connect, Will
from freehold.connect.mqtt.codec.primitives import (
    Reader,
    binary_bytes,
    malformed,
    packet_bytes,
    string_bytes,
    u16_bytes,
)
from freehold.connect.mqtt.codec.properties import NO_PROPERTIES
from freehold.connect.mqtt.codec.property_codec import decode_properties, encode_properties
from freehold.connect.mqtt.codec.reasons import RETURN_CODES, ReasonCode
from freehold.connect.mqtt.codec.rules import (
    check_topic_name,
    read_reason,
    reason_byte,
    refuse_properties,
)

_PROTOCOL_NAME: Final = "MQTT"
_RESERVED: Final = 0x01
_CLEAN_START: Final = 0x02
_WILL: Final = 0x04
_WILL_DETAILS: Final = 0x38
_WILL_RETAIN: Final = 0x20
_PASSWORD: Final = 0x40
_USER_NAME: Final = 0x80


def peek_version(buffer: Buffer, start: int, end: int) -> ProtocolVersion | None:
    """The version that a CONNECT body claims, ``None`` if it is none that is spoken here.

    For the endpoint that has to refuse a CONNECT in the client's own version after decoding failed.
    """
    try:
        return _version(Reader(buffer, start, end))
    except DecodeError:
        return None


def _version(reader: Reader) -> ProtocolVersion:
    name = reader.string("protocol name")
    level = reader.u8("protocol level")
    if name != _PROTOCOL_NAME or level not in (4, 5):
        raise UnsupportedVersion(name, level)
    return ProtocolVersion(level)


def decode_connect(reader: Reader) -> Connect:
    """Raises ``UnsupportedVersion`` before anything behind the protocol level is looked at."""
    version = _version(reader)
    flags = reader.u8("connect flags")
    _check_flags(flags, version)
    keep_alive = reader.u16("keep alive")
    is_v5 = version == ProtocolVersion.MQTT_5_0
    properties = decode_properties(reader, PropertyScope.CONNECT) if is_v5 else NO_PROPERTIES
    client_id = reader.string("client identifier")
    will = _will(reader, flags, version) if flags & _WILL else None
    return Connect(
        client_id,
        version,
        clean_start=flags & _CLEAN_START != 0,
        keep_alive=keep_alive,
        user_name=reader.string("user name") if flags & _USER_NAME else None,
        password=reader.binary("password") if flags & _PASSWORD else None,
        will=will,
        properties=properties,
    )


def _check_flags(flags: int, version: ProtocolVersion) -> None:
    if flags & _RESERVED:
        malformed("reserved connect flag is set [MQTT-3.1.2-3]")
    if flags & _WILL:
        if flags >> 3 & 3 == 3:
            malformed("will QoS 3 [MQTT-3.1.2-12]")
    elif flags & _WILL_DETAILS:
        malformed("will QoS or will retain without a will [MQTT-3.1.2-11, 3.1.2-13]")
    password_alone = flags & (_USER_NAME | _PASSWORD) == _PASSWORD
    if password_alone and version == ProtocolVersion.MQTT_3_1_1:
        malformed("password without user name in MQTT 3.1.1 [MQTT-3.1.2-22]")


def _will(reader: Reader, flags: int, version: ProtocolVersion) -> Will:
    is_v5 = version == ProtocolVersion.MQTT_5_0
    properties = decode_properties(reader, PropertyScope.WILL) if is_v5 else NO_PROPERTIES
    topic = reader.string("will topic")
    check_topic_name(topic, "will topic")
    payload = reader.binary("will payload")
    return Will(topic, payload, flags >> 3 & 3, flags & _WILL_RETAIN != 0, properties)


def encode_connect(packet: Connect) -> bytes:
    """Writes ``packet.version``. Raises ``EncodeError`` for what that version lacks."""
    if packet.version not in (4, 5):
        raise EncodeError(f"protocol level {packet.version} is neither 4 nor 5")
    is_v5 = packet.version == ProtocolVersion.MQTT_5_0
    if packet.password is not None and packet.user_name is None and not is_v5:
        raise EncodeError("MQTT 3.1.1 has no password without a user name")
    parts = [
        string_bytes(_PROTOCOL_NAME, "protocol name"),
        bytes((packet.version, _flags(packet))),
        u16_bytes(packet.keep_alive, "keep alive"),
    ]
    if is_v5:
        parts.append(encode_properties(packet.properties, PropertyScope.CONNECT))
    else:
        refuse_properties(packet.properties)
    parts.append(string_bytes(packet.client_id, "client identifier"))
    if packet.will is not None:
        parts.append(_will_bytes(packet.will, is_v5))
    if packet.user_name is not None:
        parts.append(string_bytes(packet.user_name, "user name"))
    if packet.password is not None:
        parts.append(binary_bytes(packet.password, "password"))
    return packet_bytes(PacketType.CONNECT << 4, *parts)


def _flags(packet: Connect) -> int:
    flags = _CLEAN_START if packet.clean_start else 0
    if packet.user_name is not None:
        flags |= _USER_NAME
    if packet.password is not None:
        flags |= _PASSWORD
    if packet.will is not None:
        if packet.will.qos not in (0, 1, 2):
            raise EncodeError(f"will QoS {packet.will.qos} is not in 0 to 2")
        flags |= _WILL | packet.will.qos << 3 | (_WILL_RETAIN if packet.will.retain else 0)
    return flags


def _will_bytes(will: Will, is_v5: bool) -> bytes:
    check_topic_name(will.topic, "will topic")
    properties = b""
    if is_v5:
        properties = encode_properties(will.properties, PropertyScope.WILL)
    else:
        refuse_properties(will.properties)
    topic = string_bytes(will.topic, "will topic")
    return properties + topic + binary_bytes(will.payload, "will payload")


def decode_connack(reader: Reader, version: int) -> Connack:
    """CONNACK: a ``ReasonCode`` in 5.0, a ``ConnectReturnCode`` in 3.1.1."""
    flags = reader.u8("connect acknowledge flags")
    if flags > 1:
        malformed("reserved connect acknowledge flags are set [MQTT-3.2.2-1]")
    if version == 5:
        reason = read_reason(reader, PacketType.CONNACK)
        properties = decode_properties(reader, PropertyScope.CONNACK)
        packet = Connack(flags == 1, reason, properties)
    else:
        value = reader.u8("connect return code")
        code = RETURN_CODES.get(value)
        if code is None:
            malformed(f"reserved connect return code {value} (3.2.2.3)")
        packet = Connack(flags == 1, code)
    _check_session_present(packet)
    return packet


def encode_connack(packet: Connack, version: int) -> bytes:
    """Raises ``EncodeError`` for a code of the other version: see ``reasons.return_code_for``."""
    _check_session_present(packet)
    if version == 5:
        reason = reason_byte(packet.reason_code, PacketType.CONNACK)
        reason += encode_properties(packet.properties, PropertyScope.CONNACK)
    else:
        refuse_properties(packet.properties)
        if packet.reason_code not in RETURN_CODES:
            raise EncodeError("CONNACK of MQTT 3.1.1 knows the codes 0 to 5")
        reason = packet.reason_code.to_bytes(1, "big")
    flags = b"\1" if packet.session_present else b"\0"
    return packet_bytes(PacketType.CONNACK << 4, flags, reason)


def _check_session_present(packet: Connack) -> None:
    if packet.session_present and packet.reason_code:
        raise ProtocolViolation(ReasonCode.PROTOCOL_ERROR, "a refusing CONNACK says session present [MQTT-3.2.2-6]")
