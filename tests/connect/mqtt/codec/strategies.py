# SPDX-License-Identifier: Apache-2.0
"""Hypothesis strategies for every control packet, in both versions, and a reader of hex vectors."""

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from freehold.connect.mqtt.codec import (
    NO_PROPERTIES,
    Auth,
    Connack,
    Connect,
    ConnectReturnCode,
    Disconnect,
    Packet,
    PacketType,
    Pingreq,
    Pingresp,
    Properties,
    PropertyScope,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    ReasonCode,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
    Will,
)
from freehold.connect.mqtt.codec.kinds import required_flags
from freehold.connect.mqtt.codec.properties import PROPERTY_TABLE, PropertySpec, WireType
from freehold.connect.mqtt.codec.reasons import ALLOWED, SUBACK_3_1_1

# Hypothesis fails a test that takes long; on a busy machine that says nothing about the codec.
unhurried = settings(deadline=None)
unhurried_in_brief = settings(deadline=None, max_examples=40)
"""For tests that run once for each packet type or property: their sum is what counts."""

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
topic_names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0+#"), min_size=1, max_size=30)
topic_filters = texts.filter(bool)
blobs = st.binary(max_size=40)
packet_ids = st.integers(1, 65_535)
qos_levels = st.integers(0, 2)

_VALUES: dict[WireType, st.SearchStrategy[Any]] = {
    WireType.FLAG: st.booleans(),
    WireType.STRING: texts,
    WireType.TOPIC: topic_names,
    WireType.BINARY: blobs,
    WireType.PAIR: st.tuples(texts, texts),
}


def values(spec: PropertySpec) -> st.SearchStrategy[Any]:
    """What one property may hold, once."""
    return _VALUES.get(spec.type, st.integers(spec.minimum, spec.maximum))


@st.composite
def properties(draw: st.DrawFn, scope: PropertyScope) -> Properties:
    """Any subset of the properties that may stand in ``scope``."""
    fields: dict[str, Any] = {}
    for spec in PROPERTY_TABLE:
        if scope in spec.scopes and draw(st.integers(0, 3)) == 0:
            most = 3 if scope in spec.repeats else 1
            held = st.lists(values(spec), max_size=most).map(tuple) if spec.many else values(spec)
            fields[spec.name] = draw(held)
    if "authentication_data" in fields:
        fields.setdefault("authentication_method", draw(texts))
    return Properties(**fields)


def properties_of(scope: PropertyScope, version: int) -> st.SearchStrategy[Properties]:
    """Properties in MQTT 5, none in 3.1.1."""
    none = st.just(NO_PROPERTIES)
    return none | properties(scope) if version == 5 else none


def reasons(kind: PacketType, version: int) -> st.SearchStrategy[ReasonCode]:
    """Reason codes that a packet may carry; in 3.1.1 there is only success."""
    return st.sampled_from(list(ALLOWED[kind].values())) if version == 5 else st.just(ReasonCode.SUCCESS)


def wills(version: int) -> st.SearchStrategy[Will]:
    return st.builds(Will, topic_names, blobs, qos_levels, st.booleans(), properties_of(PropertyScope.WILL, version))


@st.composite
def connects(draw: st.DrawFn, version: int) -> Connect:
    user_name = draw(st.none() | texts)
    may_have_password = version == 5 or user_name is not None
    return Connect(
        draw(texts),
        version,
        draw(st.booleans()),
        draw(st.integers(0, 65_535)),
        user_name,
        draw(st.none() | blobs) if may_have_password else None,
        draw(st.none() | wills(version)),
        draw(properties_of(PropertyScope.CONNECT, version)),
    )


@st.composite
def connacks(draw: st.DrawFn, version: int) -> Connack:
    codes: st.SearchStrategy[ReasonCode | ConnectReturnCode] = (
        reasons(PacketType.CONNACK, 5) if version == 5 else st.sampled_from(ConnectReturnCode)
    )
    code = draw(codes)
    present = draw(st.booleans()) if code == 0 else False
    return Connack(present, code, draw(properties_of(PropertyScope.CONNACK, version)))


@st.composite
def publishes(draw: st.DrawFn, version: int) -> Publish:
    qos = draw(qos_levels)
    held = draw(properties_of(PropertyScope.PUBLISH, version))
    return Publish(
        "" if held.topic_alias is not None and draw(st.booleans()) else draw(topic_names),
        draw(st.binary(max_size=200)),
        qos,
        draw(st.booleans()),
        draw(st.booleans()) if qos else False,
        draw(packet_ids) if qos else 0,
        held,
    )


def _acks(kind: type[Puback | Pubrec | Pubrel | Pubcomp], version: int) -> st.SearchStrategy[Packet]:
    held = properties_of(PropertyScope(kind.type), version)
    return st.builds(kind, packet_ids, reasons(kind.type, version), held)


@st.composite
def subscriptions(draw: st.DrawFn, version: int) -> Subscription:
    topic_filter, qos = draw(topic_filters), draw(qos_levels)
    if version != 5:
        return Subscription(topic_filter, qos)
    no_local = draw(st.booleans()) and not topic_filter.startswith("$share/")
    return Subscription(topic_filter, qos, no_local, draw(st.booleans()), draw(st.integers(0, 2)))


def _codes(kind: PacketType, version: int) -> st.SearchStrategy[tuple[ReasonCode, ...]]:
    known = ALLOWED[kind] if version == 5 else SUBACK_3_1_1
    return st.lists(st.sampled_from(list(known.values())), min_size=1, max_size=4).map(tuple)


@st.composite
def auths(draw: st.DrawFn) -> Auth:
    held = draw(properties(PropertyScope.AUTH).filter(lambda p: p.authentication_method is not None))
    return draw(st.just(Auth()) | st.builds(Auth, reasons(PacketType.AUTH, 5), st.just(held)))


def packets_by_type(version: int) -> dict[PacketType, st.SearchStrategy[Packet]]:
    """One strategy for each packet type that the version has."""
    scope = PropertyScope

    def held(where: PropertyScope) -> st.SearchStrategy[Properties]:
        return properties_of(where, version)

    listed = st.lists(subscriptions(version), min_size=1, max_size=4).map(tuple)
    filters = st.lists(topic_filters, min_size=1, max_size=4).map(tuple)
    unsuback_codes = _codes(PacketType.UNSUBACK, 5) if version == 5 else st.just(())
    found: dict[PacketType, st.SearchStrategy[Packet]] = {
        PacketType.CONNECT: connects(version),
        PacketType.CONNACK: connacks(version),
        PacketType.PUBLISH: publishes(version),
        PacketType.PUBACK: _acks(Puback, version),
        PacketType.PUBREC: _acks(Pubrec, version),
        PacketType.PUBREL: _acks(Pubrel, version),
        PacketType.PUBCOMP: _acks(Pubcomp, version),
        PacketType.SUBSCRIBE: st.builds(Subscribe, packet_ids, listed, held(scope.SUBSCRIBE)),
        PacketType.SUBACK: st.builds(Suback, packet_ids, _codes(PacketType.SUBACK, version), held(scope.SUBACK)),
        PacketType.UNSUBSCRIBE: st.builds(Unsubscribe, packet_ids, filters, held(scope.UNSUBSCRIBE)),
        PacketType.UNSUBACK: st.builds(Unsuback, packet_ids, unsuback_codes, held(scope.UNSUBACK)),
        PacketType.PINGREQ: st.just(Pingreq()),
        PacketType.PINGRESP: st.just(Pingresp()),
        PacketType.DISCONNECT: st.builds(Disconnect, reasons(PacketType.DISCONNECT, version), held(scope.DISCONNECT)),
    }
    if version == 5:
        found[PacketType.AUTH] = auths()
    return found


def packets(version: int) -> st.SearchStrategy[Packet]:
    """Any packet of the version."""
    return st.one_of(*packets_by_type(version).values())


first_bytes = st.sampled_from([kind << 4 | required_flags(kind) for kind in PacketType]) | st.integers(0, 255)
"""Mostly those that get past the first check, so that fuzzing reaches the decoders."""


def unhex(text: str) -> bytes:
    """Bytes written as hex, with blanks and ``# comments`` to the end of the line."""
    return bytes.fromhex(" ".join(line.partition("#")[0] for line in text.splitlines()))
