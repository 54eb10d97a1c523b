# SPDX-License-Identifier: Apache-2.0
"""What one side may send and the other may not.

The codec reads and writes both directions, so these rules stand apart: a server calls
``check_from_client`` and a client ``check_from_server`` on what they decoded. An endpoint that
takes its fast path for PUBLISH has one rule to keep by itself: no subscription identifiers from a
client.
"""

from typing import Final

from freehold.connect.mqtt.codec.errors import ProtocolViolation
from freehold.connect.mqtt.codec.kinds import PacketType
from freehold.connect.mqtt.codec.packets import Auth, Disconnect, Packet, Publish
from freehold.connect.mqtt.codec.reasons import ReasonCode

_SERVER_ONLY: Final = frozenset({PacketType.CONNACK, PacketType.SUBACK, PacketType.UNSUBACK, PacketType.PINGRESP})
_CLIENT_ONLY: Final = frozenset({PacketType.CONNECT, PacketType.SUBSCRIBE, PacketType.UNSUBSCRIBE, PacketType.PINGREQ})
_DISCONNECT_OF_CLIENTS: Final = frozenset({0x00, 0x04, *range(0x80, 0x84), 0x8C, 0x90, *range(0x93, 0x9A)})
"""Reasons that a client may give (table 3-10); a server may give all but 0x04."""


def _violation(text: str) -> ProtocolViolation:
    return ProtocolViolation(ReasonCode.PROTOCOL_ERROR, text)


def check_from_client(packet: Packet) -> None:
    """Raise ``ProtocolViolation`` if this packet, as it is, cannot come from a client."""
    if packet.type in _SERVER_ONLY:
        raise _violation(f"{packet.type.name} from a client (2.1.2)")
    if isinstance(packet, Publish):
        if packet.properties.subscription_identifiers:
            raise _violation("subscription identifier from a client [MQTT-3.3.4-6]")
    elif isinstance(packet, Disconnect):
        if packet.reason_code not in _DISCONNECT_OF_CLIENTS:
            raise _violation(f"DISCONNECT 0x{packet.reason_code:02X} from a client (3.14.2.1)")
        if packet.properties.server_reference is not None:
            raise _violation("server reference from a client (3.14.2.2.5)")
    elif isinstance(packet, Auth) and packet.reason_code == ReasonCode.SUCCESS:
        raise _violation("AUTH with success from a client (3.15.2.1)")


def check_from_server(packet: Packet, version: int) -> None:
    """Raise ``ProtocolViolation`` if this packet, as it is, cannot come from a server."""
    if packet.type in _CLIENT_ONLY:
        raise _violation(f"{packet.type.name} from a server (2.1.2)")
    if isinstance(packet, Disconnect):
        if version != 5:
            raise _violation("DISCONNECT from a server in MQTT 3.1.1 (3.14)")
        if packet.reason_code == ReasonCode.DISCONNECT_WITH_WILL_MESSAGE:
            raise _violation("DISCONNECT with will message from a server (3.14.2.1)")
        if packet.properties.session_expiry_interval is not None:
            raise _violation("session expiry interval from a server [MQTT-3.14.2-2]")
    elif isinstance(packet, Auth) and packet.reason_code == ReasonCode.RE_AUTHENTICATE:
        raise _violation("AUTH with re-authenticate from a server (3.15.2.1)")
