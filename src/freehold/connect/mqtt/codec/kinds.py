# SPDX-License-Identifier: Apache-2.0
"""The numbers that name things on the wire: protocol levels, packet types, property places.

They live in a module of their own because everything else in the codec (reason codes, properties,
errors) is keyed by them.
"""

from enum import IntEnum
from typing import Final

Buffer = bytes | bytearray | memoryview
"""What the decoders read from. A memoryview must be one-dimensional, of unsigned bytes."""

MAX_REMAINING_LENGTH: Final = 268_435_455
"""Largest variable byte integer, so the largest packet body (1.5.5, 2.1.4)."""

MAX_PACKET_SIZE: Final = 1 + 4 + MAX_REMAINING_LENGTH
"""Largest packet, fixed header included, which is how MQTT 5 counts (2.1.4)."""

MAX_FIELD_LENGTH: Final = 65_535
"""Longest UTF-8 string or binary field in bytes (1.5.4, 1.5.6)."""


class ProtocolVersion(IntEnum):
    """The protocol level byte of CONNECT (3.1.2.2). Plain ints 4 and 5 serve as well everywhere."""

    MQTT_3_1_1 = 4
    MQTT_5_0 = 5


class PacketType(IntEnum):
    """The upper half of a packet's first byte (2.1.2); 0 is reserved, 15 exists in MQTT 5 only."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    PUBREC = 5
    PUBREL = 6
    PUBCOMP = 7
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14
    AUTH = 15


class PropertyScope(IntEnum):
    """Where a set of MQTT 5 properties stands: a packet type, or the will inside a CONNECT."""

    WILL = 0
    CONNECT = PacketType.CONNECT
    CONNACK = PacketType.CONNACK
    PUBLISH = PacketType.PUBLISH
    PUBACK = PacketType.PUBACK
    PUBREC = PacketType.PUBREC
    PUBREL = PacketType.PUBREL
    PUBCOMP = PacketType.PUBCOMP
    SUBSCRIBE = PacketType.SUBSCRIBE
    SUBACK = PacketType.SUBACK
    UNSUBSCRIBE = PacketType.UNSUBSCRIBE
    UNSUBACK = PacketType.UNSUBACK
    DISCONNECT = PacketType.DISCONNECT
    AUTH = PacketType.AUTH


def required_flags(kind: int) -> int:
    """The lower half of the first byte that every packet but PUBLISH must carry (2.1.3)."""
    return 0b0010 if kind in _FLAGS_TWO else 0


_FLAGS_TWO: Final = frozenset({PacketType.PUBREL, PacketType.SUBSCRIBE, PacketType.UNSUBSCRIBE})
