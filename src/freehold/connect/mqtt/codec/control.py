# SPDX-License-Identifier: Apache-2.0
"""PINGREQ, PINGRESP, DISCONNECT and AUTH (3.12 to 3.15).

AUTH may be empty, meaning success, by 3.15.2.1, although 3.15.2.2.2 wants an authentication
method in it: the empty form is taken, any other has to name its method.
"""

from freehold.connect.mqtt.codec.errors import EncodeError, ProtocolViolation
from freehold.connect.mqtt.codec.kinds import PacketType, PropertyScope
from freehold.connect.mqtt.codec.packets import Auth, Disconnect, Pingreq, Pingresp
from freehold.connect.mqtt.codec.primitives import Reader, malformed, packet_bytes
from freehold.connect.mqtt.codec.properties import NO_PROPERTIES
from freehold.connect.mqtt.codec.property_codec import decode_properties, encode_properties
from freehold.connect.mqtt.codec.reasons import ReasonCode
from freehold.connect.mqtt.codec.rules import read_reason, reason_byte, refuse_properties

_PINGREQ = Pingreq()
_PINGRESP = Pingresp()
_DISCONNECT = Disconnect()
_NO_METHOD = "AUTH without an authentication method (3.15.2.2.2)"


def decode_pingreq(_reader: Reader, _version: int) -> Pingreq:
    """PINGREQ has no body; the caller refuses one."""
    return _PINGREQ


def decode_pingresp(_reader: Reader, _version: int) -> Pingresp:
    """PINGRESP has no body; the caller refuses one."""
    return _PINGRESP


def encode_ping(packet: Pingreq | Pingresp, _version: int) -> bytes:
    """The two bytes of either."""
    return bytes((packet.type << 4, 0))


def decode_disconnect(reader: Reader, version: int) -> Disconnect:
    """DISCONNECT; in 5.0 an empty one means normal disconnection (3.14.2.1)."""
    if version != 5 or reader.pos == reader.end:
        return _DISCONNECT
    reason = read_reason(reader, PacketType.DISCONNECT)
    if reader.pos == reader.end:
        return Disconnect(reason)
    return Disconnect(reason, decode_properties(reader, PropertyScope.DISCONNECT))


def encode_disconnect(packet: Disconnect, version: int) -> bytes:
    """The shortest form. Raises ``EncodeError`` if 3.1.1 is to give a reason."""
    first = PacketType.DISCONNECT << 4
    normal = packet.reason_code == ReasonCode.NORMAL_DISCONNECTION
    if version != 5:
        refuse_properties(packet.properties)
        if not normal:
            raise EncodeError("DISCONNECT of MQTT 3.1.1 has no reason code")
        return packet_bytes(first)
    reason = reason_byte(packet.reason_code, PacketType.DISCONNECT)
    if packet.properties != NO_PROPERTIES:
        properties = encode_properties(packet.properties, PropertyScope.DISCONNECT)
        return packet_bytes(first, reason, properties)
    return packet_bytes(first) if normal else packet_bytes(first, reason)


def decode_auth(reader: Reader, version: int) -> Auth:
    """AUTH, which only MQTT 5 has."""
    if version != 5:
        malformed("packet type 15 is reserved in MQTT 3.1.1 (2.2.1)")
    if reader.pos == reader.end:
        return Auth()
    reason = read_reason(reader, PacketType.AUTH)
    properties = decode_properties(reader, PropertyScope.AUTH)
    if properties.authentication_method is None:
        raise ProtocolViolation(ReasonCode.PROTOCOL_ERROR, _NO_METHOD)
    return Auth(reason, properties)


def encode_auth(packet: Auth, version: int) -> bytes:
    """Raises ``EncodeError`` in 3.1.1, or if the method is missing from any but the empty form."""
    first = PacketType.AUTH << 4
    if version != 5:
        raise EncodeError("MQTT 3.1.1 has no AUTH")
    if packet == Auth():
        return packet_bytes(first)
    if packet.properties.authentication_method is None:
        raise EncodeError(_NO_METHOD)
    reason = reason_byte(packet.reason_code, PacketType.AUTH)
    return packet_bytes(first, reason, encode_properties(packet.properties, PropertyScope.AUTH))
