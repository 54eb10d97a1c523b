# SPDX-License-Identifier: Apache-2.0
"""SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK (3.8 to 3.11)."""

from freehold.connect.mqtt.codec.errors import EncodeError, ProtocolViolation
from freehold.connect.mqtt.codec.kinds import PacketType, PropertyScope, required_flags
from freehold.connect.mqtt.codec.packets import (
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
)
from freehold.connect.mqtt.codec.primitives import (
    Reader,
    malformed,
    packet_bytes,
    packet_id_bytes,
    string_bytes,
)
from freehold.connect.mqtt.codec.properties import NO_PROPERTIES, Properties
from freehold.connect.mqtt.codec.property_codec import decode_properties, encode_properties
from freehold.connect.mqtt.codec.reasons import SUBACK_3_1_1, ReasonCode
from freehold.connect.mqtt.codec.rules import (
    check_not_shared_and_no_local,
    read_reason,
    reason_byte,
    refuse_properties,
)

_NO_LOCAL = 0x04
_RETAIN_AS_PUBLISHED = 0x08
_RESERVED = 0xC0


def _properties(reader: Reader, version: int, scope: PropertyScope) -> Properties:
    return decode_properties(reader, scope) if version == 5 else NO_PROPERTIES


def _head(packet_id: int, properties: Properties, version: int, scope: PropertyScope) -> bytes:
    """Packet identifier and, in 5.0, properties: how all four begin."""
    if version == 5:
        return packet_id_bytes(packet_id) + encode_properties(properties, scope)
    refuse_properties(properties)
    return packet_id_bytes(packet_id)


def _filter(reader: Reader) -> str:
    topic_filter = reader.string("topic filter")
    if not topic_filter:
        malformed("topic filter is empty [MQTT-4.7.3-1]")
    return topic_filter


def _filter_bytes(topic_filter: str) -> bytes:
    if not topic_filter:
        raise EncodeError("topic filter is empty")
    return string_bytes(topic_filter, "topic filter")


def _require_more(reader: Reader, what: str) -> None:
    if reader.pos == reader.end:
        raise ProtocolViolation(ReasonCode.PROTOCOL_ERROR, what)


def decode_subscribe(reader: Reader, version: int) -> Subscribe:
    """SUBSCRIBE with at least one subscription."""
    packet_id = reader.packet_id()
    properties = _properties(reader, version, PropertyScope.SUBSCRIBE)
    _require_more(reader, "SUBSCRIBE without a topic filter [MQTT-3.8.3-2]")
    subscriptions = []
    while reader.pos < reader.end:
        subscriptions.append(_subscription(reader, version))
    return Subscribe(packet_id, tuple(subscriptions), properties)


def _subscription(reader: Reader, version: int) -> Subscription:
    topic_filter = _filter(reader)
    options = reader.u8("subscription options")
    qos = options & 3
    if qos == 3:
        # 3.1.1 calls it malformed [MQTT-3-8.3-4], 5.0 a protocol error (3.8.3.1).
        raise ProtocolViolation(ReasonCode.PROTOCOL_ERROR, "SUBSCRIBE with QoS 3 (3.8.3.1)")
    if version != 5:
        if options > 2:
            malformed("reserved bits of the requested QoS are set [MQTT-3-8.3-4]")
        return Subscription(topic_filter, qos)
    if options & _RESERVED:
        malformed("reserved bits of the subscription options are set [MQTT-3.8.3-5]")
    retain_handling = options >> 4
    if retain_handling == 3:
        raise ProtocolViolation(ReasonCode.PROTOCOL_ERROR, "retain handling 3 (3.8.3.1)")
    no_local = options & _NO_LOCAL != 0
    check_not_shared_and_no_local(topic_filter, no_local)
    as_published = options & _RETAIN_AS_PUBLISHED != 0
    return Subscription(topic_filter, qos, no_local, as_published, retain_handling)


def encode_subscribe(packet: Subscribe, version: int) -> bytes:
    """Raises ``EncodeError`` for options that 3.1.1 lacks or that exclude each other."""
    kind = packet.type
    if not packet.subscriptions:
        raise EncodeError("SUBSCRIBE without a topic filter")
    parts = [_head(packet.packet_id, packet.properties, version, PropertyScope.SUBSCRIBE)]
    for item in packet.subscriptions:
        parts += (_filter_bytes(item.topic_filter), bytes((_options(item, version),)))
    return packet_bytes(kind << 4 | required_flags(kind), *parts)


def _options(item: Subscription, version: int) -> int:
    if item.qos not in (0, 1, 2) or item.retain_handling not in (0, 1, 2):
        raise EncodeError("QoS and retain handling are 0, 1 or 2")
    check_not_shared_and_no_local(item.topic_filter, item.no_local)
    options = (
        item.qos
        | (_NO_LOCAL if item.no_local else 0)
        | (_RETAIN_AS_PUBLISHED if item.retain_as_published else 0)
        | item.retain_handling << 4
    )
    if version != 5 and options > 2:
        raise EncodeError("MQTT 3.1.1 has no subscription options but QoS")
    return options


def decode_suback(reader: Reader, version: int) -> Suback:
    """SUBACK with at least one reason code (in 3.1.1: return code 0, 1, 2 or 0x80)."""
    packet_id = reader.packet_id()
    properties = _properties(reader, version, PropertyScope.SUBACK)
    _require_more(reader, "SUBACK without a reason code (3.9.3)")
    codes = []
    while reader.pos < reader.end:
        if version == 5:
            codes.append(read_reason(reader, PacketType.SUBACK))
        else:
            code = SUBACK_3_1_1.get(reader.u8("return code"))
            if code is None:
                malformed("SUBACK with a reserved return code [MQTT-3.9.3-2]")
            codes.append(code)
    return Suback(packet_id, tuple(codes), properties)


def encode_suback(packet: Suback, version: int) -> bytes:
    """Raises ``EncodeError`` for codes that the version does not know."""
    if not packet.reason_codes:
        raise EncodeError("SUBACK without a reason code")
    if version != 5 and not SUBACK_3_1_1.keys() >= set(packet.reason_codes):
        raise EncodeError("SUBACK of MQTT 3.1.1 knows the codes 0, 1, 2 and 0x80")
    head = _head(packet.packet_id, packet.properties, version, PropertyScope.SUBACK)
    codes = (reason_byte(code, packet.type) for code in packet.reason_codes)
    return packet_bytes(packet.type << 4, head, *codes)


def decode_unsubscribe(reader: Reader, version: int) -> Unsubscribe:
    """UNSUBSCRIBE with at least one filter."""
    packet_id = reader.packet_id()
    properties = _properties(reader, version, PropertyScope.UNSUBSCRIBE)
    _require_more(reader, "UNSUBSCRIBE without a topic filter [MQTT-3.10.3-2]")
    filters = []
    while reader.pos < reader.end:
        filters.append(_filter(reader))
    return Unsubscribe(packet_id, tuple(filters), properties)


def encode_unsubscribe(packet: Unsubscribe, version: int) -> bytes:
    """Raises ``EncodeError`` without a filter."""
    kind = packet.type
    if not packet.topic_filters:
        raise EncodeError("UNSUBSCRIBE without a topic filter")
    head = _head(packet.packet_id, packet.properties, version, PropertyScope.UNSUBSCRIBE)
    filters = (_filter_bytes(topic_filter) for topic_filter in packet.topic_filters)
    return packet_bytes(kind << 4 | required_flags(kind), head, *filters)


def decode_unsuback(reader: Reader, version: int) -> Unsuback:
    """UNSUBACK: reason codes in 5.0, the packet identifier alone in 3.1.1."""
    packet_id = reader.packet_id()
    if version != 5:
        return Unsuback(packet_id)
    properties = decode_properties(reader, PropertyScope.UNSUBACK)
    _require_more(reader, "UNSUBACK without a reason code (3.11.3)")
    codes = []
    while reader.pos < reader.end:
        codes.append(read_reason(reader, PacketType.UNSUBACK))
    return Unsuback(packet_id, tuple(codes), properties)


def encode_unsuback(packet: Unsuback, version: int) -> bytes:
    """Raises ``EncodeError`` for reason codes in 3.1.1, or none in 5.0."""
    if bool(packet.reason_codes) != (version == 5):
        raise EncodeError("UNSUBACK has reason codes in MQTT 5, and none in 3.1.1")
    head = _head(packet.packet_id, packet.properties, version, PropertyScope.UNSUBACK)
    codes = (reason_byte(code, packet.type) for code in packet.reason_codes)
    return packet_bytes(packet.type << 4, head, *codes)
