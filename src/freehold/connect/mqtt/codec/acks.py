# SPDX-License-Identifier: Apache-2.0
"""PUBACK, PUBREC, PUBREL, PUBCOMP (3.4 to 3.7): one shape, four types.

MQTT 5 lets the reason code and the properties be left out when they say nothing, and the encoder
always does so: the success form is the same four bytes in both versions.
"""

from typing import Final

from freehold.connect.mqtt.codec.errors import EncodeError
from freehold.connect.mqtt.codec.kinds import PacketType, PropertyScope, required_flags
from freehold.connect.mqtt.codec.packets import Acknowledgement, Puback, Pubcomp, Pubrec, Pubrel
from freehold.connect.mqtt.codec.primitives import Reader, packet_bytes, packet_id_bytes
from freehold.connect.mqtt.codec.properties import NO_PROPERTIES
from freehold.connect.mqtt.codec.property_codec import decode_properties, encode_properties
from freehold.connect.mqtt.codec.reasons import ReasonCode
from freehold.connect.mqtt.codec.rules import (
    read_reason,
    reason_byte,
    refuse_properties,
)

_CLASSES: Final[dict[PacketType, type[Acknowledgement]]] = {
    PacketType.PUBACK: Puback,
    PacketType.PUBREC: Pubrec,
    PacketType.PUBREL: Pubrel,
    PacketType.PUBCOMP: Pubcomp,
}


def decode_ack(kind: PacketType, reader: Reader, version: int) -> Acknowledgement:
    """One of the four acknowledgements. In 3.1.1 the body is the packet identifier alone."""
    packet_id = reader.packet_id()
    if version != 5 or reader.pos == reader.end:
        return _CLASSES[kind](packet_id)
    reason = read_reason(reader, kind)
    properties = NO_PROPERTIES
    if reader.pos < reader.end:
        properties = decode_properties(reader, PropertyScope(kind))
    return _CLASSES[kind](packet_id, reason, properties)


def encode_ack(packet: Acknowledgement, version: int) -> bytes:
    """Raises ``EncodeError`` if 3.1.1 is to say more than "received"."""
    kind = packet.type
    first = kind << 4 | required_flags(kind)
    packet_id = packet_id_bytes(packet.packet_id)
    if version != 5:
        refuse_properties(packet.properties)
        if packet.reason_code != ReasonCode.SUCCESS:
            raise EncodeError(f"{kind.name} of MQTT 3.1.1 has no reason code")
        return packet_bytes(first, packet_id)
    reason = reason_byte(packet.reason_code, kind)
    if packet.properties != NO_PROPERTIES:
        properties = encode_properties(packet.properties, PropertyScope(kind))
        return packet_bytes(first, packet_id, reason, properties)
    if packet.reason_code == ReasonCode.SUCCESS:
        return packet_bytes(first, packet_id)
    return packet_bytes(first, packet_id, reason)
