# SPDX-License-Identifier: Apache-2.0
"""``decode_packet``: any control packet from its first byte and body.

A table from packet type to decoder, and the three checks that every packet shares: the type
exists, its reserved flags are right (2.1.3), and nothing is left over behind its last field.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from freehold.connect.mqtt.codec.acks import decode_ack
from freehold.connect.mqtt.codec.connect import decode_connack, decode_connect
from freehold.connect.mqtt.codec.control import (
    decode_auth,
    decode_disconnect,
    decode_pingreq,
    decode_pingresp,
)
from freehold.connect.mqtt.codec.kinds import Buffer, PacketType, required_flags
from freehold.connect.mqtt.codec.packets import Packet
from freehold.connect.mqtt.codec.primitives import Reader, malformed
from freehold.connect.mqtt.codec.publish import decode_publish
from freehold.connect.mqtt.codec.subscription import (
    decode_suback,
    decode_subscribe,
    decode_unsuback,
    decode_unsubscribe,
)

_Decoder = Callable[[Reader, int], Packet]

_DECODERS: Final[Mapping[PacketType, _Decoder]] = {
    PacketType.CONNECT: lambda reader, _version: decode_connect(reader),
    PacketType.CONNACK: decode_connack,
    PacketType.PUBACK: partial(decode_ack, PacketType.PUBACK),
    PacketType.PUBREC: partial(decode_ack, PacketType.PUBREC),
    PacketType.PUBREL: partial(decode_ack, PacketType.PUBREL),
    PacketType.PUBCOMP: partial(decode_ack, PacketType.PUBCOMP),
    PacketType.SUBSCRIBE: decode_subscribe,
    PacketType.SUBACK: decode_suback,
    PacketType.UNSUBSCRIBE: decode_unsubscribe,
    PacketType.UNSUBACK: decode_unsuback,
    PacketType.PINGREQ: decode_pingreq,
    PacketType.PINGRESP: decode_pingresp,
    PacketType.DISCONNECT: decode_disconnect,
    PacketType.AUTH: decode_auth,
}

# Keyed by the whole first byte: one lookup checks the type and its reserved flags together.
_BY_FIRST_BYTE: Final[Mapping[int, tuple[str, _Decoder]]] = {
    kind << 4 | required_flags(kind): (kind.name, decoder) for kind, decoder in _DECODERS.items()
}


def decode_packet(first_byte: int, buffer: Buffer, version: int, start: int = 0, end: int | None = None) -> Packet:
    """The packet whose body is ``buffer[start:end]`` (by default all of ``buffer``).

    ``version`` is the connection's protocol level: 5, or anything else for 3.1.1; CONNECT ignores
    it and brings its own. Everything in the packet is a copy, so the buffer may be reused.
    Raises nothing but ``DecodeError``: ``MalformedPacket``, ``ProtocolViolation`` or, for CONNECT,
    ``UnsupportedVersion``.
    """
    stop = len(buffer) if end is None else end
    if first_byte >> 4 == 3:
        return decode_publish(first_byte & 15, buffer, start, stop, version)
    entry = _BY_FIRST_BYTE.get(first_byte)
    if entry is None:
        malformed(f"first byte 0x{first_byte:02X}: no such packet type and flags [MQTT-2.1.3-1]")
    name, decoder = entry
    reader = Reader(buffer, start, stop)
    packet = decoder(reader, version)
    if reader.pos != stop:
        reader.finish(name)
    return packet
