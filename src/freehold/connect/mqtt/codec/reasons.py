# SPDX-License-Identifier: Apache-2.0
"""Reason codes of MQTT 5 (2.4) and return codes of 3.1.1, and which packet may carry which.

Names are those of the OASIS tables. Codes that a packet may not carry are refused in both
directions, so that a typing slip in an endpoint cannot reach a device.
"""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

from freehold.connect.mqtt.codec.kinds import PacketType


class ReasonCode(IntEnum):
    """MQTT 5 reason codes; 0x80 and above are failures. Three names share 0x00 (table 2-6)."""

    SUCCESS = 0x00
    NORMAL_DISCONNECTION = 0x00
    GRANTED_QOS_0 = 0x00
    GRANTED_QOS_1 = 0x01
    GRANTED_QOS_2 = 0x02
    DISCONNECT_WITH_WILL_MESSAGE = 0x04
    NO_MATCHING_SUBSCRIBERS = 0x10
    NO_SUBSCRIPTION_EXISTED = 0x11
    CONTINUE_AUTHENTICATION = 0x18
    RE_AUTHENTICATE = 0x19
    UNSPECIFIED_ERROR = 0x80
    MALFORMED_PACKET = 0x81
    PROTOCOL_ERROR = 0x82
    IMPLEMENTATION_SPECIFIC_ERROR = 0x83
    UNSUPPORTED_PROTOCOL_VERSION = 0x84
    CLIENT_IDENTIFIER_NOT_VALID = 0x85
    BAD_USER_NAME_OR_PASSWORD = 0x86
    NOT_AUTHORIZED = 0x87
    SERVER_UNAVAILABLE = 0x88
    SERVER_BUSY = 0x89
    BANNED = 0x8A
    SERVER_SHUTTING_DOWN = 0x8B
    BAD_AUTHENTICATION_METHOD = 0x8C
    KEEP_ALIVE_TIMEOUT = 0x8D
    SESSION_TAKEN_OVER = 0x8E
    TOPIC_FILTER_INVALID = 0x8F
    TOPIC_NAME_INVALID = 0x90
    PACKET_IDENTIFIER_IN_USE = 0x91
    PACKET_IDENTIFIER_NOT_FOUND = 0x92
    RECEIVE_MAXIMUM_EXCEEDED = 0x93
    TOPIC_ALIAS_INVALID = 0x94
    PACKET_TOO_LARGE = 0x95
    MESSAGE_RATE_TOO_HIGH = 0x96
    QUOTA_EXCEEDED = 0x97
    ADMINISTRATIVE_ACTION = 0x98
    PAYLOAD_FORMAT_INVALID = 0x99
    RETAIN_NOT_SUPPORTED = 0x9A
    QOS_NOT_SUPPORTED = 0x9B
    USE_ANOTHER_SERVER = 0x9C
    SERVER_MOVED = 0x9D
    SHARED_SUBSCRIPTIONS_NOT_SUPPORTED = 0x9E
    CONNECTION_RATE_EXCEEDED = 0x9F
    MAXIMUM_CONNECT_TIME = 0xA0
    SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED = 0xA1
    WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED = 0xA2


class ConnectReturnCode(IntEnum):
    """CONNACK return codes of MQTT 3.1.1 (table 3.1); 6 to 255 are reserved."""

    ACCEPTED = 0
    UNACCEPTABLE_PROTOCOL_VERSION = 1
    IDENTIFIER_REJECTED = 2
    SERVER_UNAVAILABLE = 3
    BAD_USER_NAME_OR_PASSWORD = 4
    NOT_AUTHORIZED = 5


_PUBLISH_RECEIVED: Final = (0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99)
_PUBLISH_RELEASED: Final = (0x00, 0x92)

_ALLOWED_VALUES: Final[Mapping[PacketType, tuple[int, ...]]] = {
    PacketType.CONNACK: (0x00, *range(0x80, 0x8B), 0x8C, 0x90, 0x95, 0x97, *range(0x99, 0x9E), 0x9F),
    PacketType.PUBACK: _PUBLISH_RECEIVED,
    PacketType.PUBREC: _PUBLISH_RECEIVED,
    PacketType.PUBREL: _PUBLISH_RELEASED,
    PacketType.PUBCOMP: _PUBLISH_RELEASED,
    PacketType.SUBACK: (0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2),
    PacketType.UNSUBACK: (0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91),
    # Table 2-6 allows 0x8C here, table 3-10 leaves it out: taken, as what fails a re-authentication.
    PacketType.DISCONNECT: (0x00, 0x04, *range(0x80, 0x84), 0x87, 0x89, *range(0x8B, 0x91), *range(0x93, 0xA3)),
    PacketType.AUTH: (0x00, 0x18, 0x19),
}

ALLOWED: Final[Mapping[PacketType, Mapping[int, ReasonCode]]] = {
    kind: {value: ReasonCode(value) for value in values} for kind, values in _ALLOWED_VALUES.items()
}
"""MQTT 5: packet type -> value on the wire -> reason code. One lookup both checks and converts."""

SUBACK_3_1_1: Final[Mapping[int, ReasonCode]] = {value: ReasonCode(value) for value in (0x00, 0x01, 0x02, 0x80)}
"""SUBACK return codes of 3.1.1 (3.9.3): granted QoS, or failure."""

RETURN_CODES: Final[Mapping[int, ConnectReturnCode]] = {int(code): code for code in ConnectReturnCode}

_RETURN_CODE_FOR: Final[Mapping[ReasonCode, ConnectReturnCode]] = {
    ReasonCode.SUCCESS: ConnectReturnCode.ACCEPTED,
    ReasonCode.UNSUPPORTED_PROTOCOL_VERSION: ConnectReturnCode.UNACCEPTABLE_PROTOCOL_VERSION,
    ReasonCode.CLIENT_IDENTIFIER_NOT_VALID: ConnectReturnCode.IDENTIFIER_REJECTED,
    ReasonCode.BAD_USER_NAME_OR_PASSWORD: ConnectReturnCode.BAD_USER_NAME_OR_PASSWORD,
    ReasonCode.BAD_AUTHENTICATION_METHOD: ConnectReturnCode.BAD_USER_NAME_OR_PASSWORD,
    ReasonCode.NOT_AUTHORIZED: ConnectReturnCode.NOT_AUTHORIZED,
    ReasonCode.BANNED: ConnectReturnCode.NOT_AUTHORIZED,
}


def return_code_for(reason: ReasonCode) -> ConnectReturnCode:
    """The 3.1.1 CONNACK code nearest to a v5 refusal; what has no counterpart is 3 (unavailable).

    "Unavailable" is the only code of 3.1.1 that does not blame the client's credentials or name,
    so it is what a client may sensibly answer by coming back later.
    """
    return _RETURN_CODE_FOR.get(reason, ConnectReturnCode.SERVER_UNAVAILABLE)
