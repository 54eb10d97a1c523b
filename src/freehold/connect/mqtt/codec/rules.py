# SPDX-License-Identifier: Apache-2.0
"""Rules that several packets share, each for both directions.

The reading side raises ``DecodeError``, the writing side ``EncodeError``. What depends on who sent
a packet is in ``direction``; what is only policy (which topics, which client identifiers, how many
filters) is the endpoint's.
"""

from freehold.connect.mqtt.codec.errors import EncodeError, ProtocolViolation
from freehold.connect.mqtt.codec.kinds import PacketType
from freehold.connect.mqtt.codec.primitives import Reader, malformed
from freehold.connect.mqtt.codec.properties import NO_PROPERTIES, Properties
from freehold.connect.mqtt.codec.reasons import ALLOWED, ReasonCode

SHARED_PREFIX = "$share/"


def read_reason(reader: Reader, kind: PacketType) -> ReasonCode:
    """Next byte as a reason code that this packet may carry, else ``ProtocolViolation``."""
    value = reader.u8("reason code")
    reason = ALLOWED[kind].get(value)
    if reason is None:
        raise ProtocolViolation(ReasonCode.PROTOCOL_ERROR, f"{kind.name} with reason code 0x{value:02X} (2.4)")
    return reason


def reason_byte(reason: int, kind: PacketType) -> bytes:
    """The reason code on the wire, else ``EncodeError`` if this packet may not carry it."""
    if reason not in ALLOWED[kind]:
        raise EncodeError(f"{kind.name} cannot carry reason code 0x{reason:02X}")
    return reason.to_bytes(1, "big")


def refuse_properties(properties: Properties) -> None:
    """``EncodeError`` if 3.1.1 is asked to carry properties."""
    if properties != NO_PROPERTIES:
        raise EncodeError("MQTT 3.1.1 has no properties")


def check_topic_name(topic: str, what: str) -> None:
    """A topic name outside PUBLISH (the will's): not empty, no wildcards."""
    if not topic:
        malformed(f"{what} is empty [MQTT-4.7.3-1]")
    if "+" in topic or "#" in topic:
        raise ProtocolViolation(ReasonCode.TOPIC_NAME_INVALID, f"{what} holds a wildcard [MQTT-4.7.1-1]")


def check_not_shared_and_no_local(topic_filter: str, no_local: bool) -> None:
    """A shared subscription cannot be "no local" (3.8.3.1)."""
    if no_local and topic_filter.startswith(SHARED_PREFIX):
        raise ProtocolViolation(ReasonCode.PROTOCOL_ERROR, "no local on a shared subscription [MQTT-3.8.3-4]")
