# SPDX-License-Identifier: Apache-2.0
"""The MQTT wire codec: bytes to packets and back, for 3.1.1 and 5.0, in both directions.

Pure functions, no sockets, no state but ``FrameReader``'s buffer. Section and requirement numbers
([MQTT-x.y.z-n]) are those of the OASIS standard of MQTT 5.0 (7 March 2019) unless 3.1.1 is named.

A connection reads like this::

    bounds = frame_bounds(buffer, offset, end, max_size)
    if bounds is not None:
        packet = decode_packet(buffer[offset], buffer, version, *bounds)

and writes ``encode(packet, version)``. ``decode_publish``, ``publish_bytes`` and ``puback_ok`` are
the fast roads for what travels by the hundred thousand.
"""

from freehold.connect.mqtt.codec.connect import peek_version
from freehold.connect.mqtt.codec.decode import decode_packet
from freehold.connect.mqtt.codec.direction import check_from_client, check_from_server
from freehold.connect.mqtt.codec.encode import encode
from freehold.connect.mqtt.codec.errors import (
    CodecError,
    DecodeError,
    EncodeError,
    MalformedPacket,
    PacketTooLarge,
    ProtocolViolation,
    UnsupportedVersion,
)
from freehold.connect.mqtt.codec.framing import Frame, FrameReader, frame_bounds
from freehold.connect.mqtt.codec.kinds import (
    MAX_PACKET_SIZE,
    PacketType,
    PropertyScope,
    ProtocolVersion,
)
from freehold.connect.mqtt.codec.packets import (
    Auth,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
    Will,
)
from freehold.connect.mqtt.codec.properties import NO_PROPERTIES, Properties
from freehold.connect.mqtt.codec.publish import decode_publish, puback_ok, publish_bytes
from freehold.connect.mqtt.codec.reasons import ConnectReturnCode, ReasonCode, return_code_for

__all__ = [
    "MAX_PACKET_SIZE",
    "NO_PROPERTIES",
    "Auth",
    "CodecError",
    "Connack",
    "Connect",
    "ConnectReturnCode",
    "DecodeError",
    "Disconnect",
    "EncodeError",
    "Frame",
    "FrameReader",
    "MalformedPacket",
    "Packet",
    "PacketTooLarge",
    "PacketType",
    "Pingreq",
    "Pingresp",
    "Properties",
    "PropertyScope",
    "ProtocolVersion",
    "ProtocolViolation",
    "Puback",
    "Pubcomp",
    "Publish",
    "Pubrec",
    "Pubrel",
    "ReasonCode",
    "Suback",
    "Subscribe",
    "Subscription",
    "Unsuback",
    "Unsubscribe",
    "UnsupportedVersion",
    "Will",
    "check_from_client",
    "check_from_server",
    "decode_packet",
    "decode_publish",
    "encode",
    "frame_bounds",
    "peek_version",
    "puback_ok",
    "publish_bytes",
    "return_code_for",
]
