# SPDX-License-Identifier: Apache-2.0
"""The property table against an independent one (paho's), and the rules of property sets."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.properties import Properties as PahoProperties

from freehold.connect.mqtt.codec import (
    NO_PROPERTIES,
    DecodeError,
    EncodeError,
    MalformedPacket,
    Properties,
    PropertyScope,
    ProtocolViolation,
    ReasonCode,
)
from freehold.connect.mqtt.codec.primitives import Reader
from freehold.connect.mqtt.codec.properties import PROPERTY_TABLE, PropertySpec, WireType
from freehold.connect.mqtt.codec.property_codec import decode_properties, encode_properties
from tests.connect.mqtt.codec.strategies import properties, unhex, unhurried, unhurried_in_brief, values

PAHO = PahoProperties(1)
PAHO_WILL = 99
PAHO_LARGEST_SIZE = 2**28 - 1  # paho refuses more, the specification does not (3.1.2.11.4)
PAHO_TYPES = {
    WireType.BYTE: "Byte",
    WireType.FLAG: "Byte",
    WireType.U16: "Two Byte Integer",
    WireType.U32: "Four Byte Integer",
    WireType.VARINT: "Variable Byte Integer",
    WireType.BINARY: "Binary Data",
    WireType.STRING: "UTF-8 Encoded String",
    WireType.TOPIC: "UTF-8 Encoded String",
    WireType.PAIR: "UTF-8 String Pair",
}
ROWS = [pytest.param(spec, id=spec.name) for spec in PROPERTY_TABLE]
PLACES = [
    pytest.param(spec, scope, id=f"{spec.name}-{scope.name}") for spec in PROPERTY_TABLE for scope in PropertyScope
]
HOMES = [pytest.param(spec, scope, id=f"{spec.name}-{scope.name}") for spec in PROPERTY_TABLE for scope in spec.scopes]


def paho_name(spec: PropertySpec) -> str:
    """Paho's spelling, which is the standard's; ours in everything but capitals."""
    return next(name for name in PAHO.names if name.lower() == spec.label)


def read(raw: bytes, scope: PropertyScope) -> Properties:
    reader = Reader(raw, 0, len(raw))
    found = decode_properties(reader, scope)
    assert reader.pos == len(raw)
    return found


def example(spec: PropertySpec) -> Any:
    return {
        WireType.FLAG: True,
        WireType.STRING: "text",
        WireType.TOPIC: "a/b",
        WireType.BINARY: b"\0\xff",
        WireType.PAIR: ("key", "value"),
    }.get(spec.type, spec.maximum)


def holding(spec: PropertySpec) -> Properties:
    """Just this property (and the method, where authentication data wants one)."""
    fields = {spec.name: (example(spec),) if spec.many else example(spec)}
    if spec.name == "authentication_data":
        fields["authentication_method"] = "m"
    return Properties(**fields)


def test_the_table_has_the_27_properties_of_the_struct() -> None:
    assert len(PROPERTY_TABLE) == 27
    assert {spec.name for spec in PROPERTY_TABLE} == set(Properties.__struct_fields__)
    assert {spec.identifier for spec in PROPERTY_TABLE} == set(PAHO.properties)


@pytest.mark.parametrize("spec", ROWS)
def test_a_row_says_what_paho_says(spec: PropertySpec) -> None:
    assert PAHO.names[paho_name(spec)] == spec.identifier
    kind, places = PAHO.properties[spec.identifier]
    assert PAHO.types[kind] == PAHO_TYPES[spec.type]
    assert {scope.value or PAHO_WILL for scope in spec.scopes} == set(places)


@pytest.mark.parametrize(("spec", "scope"), PLACES)
def test_each_property_stands_only_where_it_may(spec: PropertySpec, scope: PropertyScope) -> None:
    home = min(spec.scopes)
    raw = encode_properties(holding(spec), home)
    assert read(raw, home) == holding(spec)
    if scope in spec.scopes:
        assert read(raw, scope) == holding(spec)
        assert encode_properties(holding(spec), scope) == raw
        return
    with pytest.raises(MalformedPacket) as refusal:
        read(raw, scope)
    assert refusal.value.reason_code is ReasonCode.MALFORMED_PACKET
    with pytest.raises(EncodeError, match="may not stand"):
        encode_properties(holding(spec), scope)


@pytest.mark.parametrize(("spec", "scope"), HOMES)
def test_repeating_is_for_those_that_may(spec: PropertySpec, scope: PropertyScope) -> None:
    once = encode_properties(holding(spec), scope)[1:]
    twice = bytes((2 * len(once),)) + 2 * once
    if scope in spec.repeats:
        assert getattr(read(twice, scope), spec.name) == (example(spec),) * 2
        return
    with pytest.raises(ProtocolViolation, match="more than once") as refusal:
        read(twice, scope)
    assert refusal.value.reason_code is ReasonCode.PROTOCOL_ERROR


def test_a_subscribe_has_one_subscription_identifier() -> None:
    two = Properties(subscription_identifiers=(1, 2))
    assert read(encode_properties(two, PropertyScope.PUBLISH), PropertyScope.PUBLISH) == two
    with pytest.raises(EncodeError, match="only once"):
        encode_properties(two, PropertyScope.SUBSCRIBE)


@pytest.mark.parametrize("spec", ROWS)
@unhurried_in_brief
@given(data=st.data())
def test_paho_reads_what_we_write(spec: PropertySpec, data: st.DataObject) -> None:
    """Each property alone, any value, in each packet that has a number of its own in paho."""
    scope = data.draw(st.sampled_from(sorted(spec.scopes)))
    value = data.draw(values(spec))
    if spec.name == "maximum_packet_size":
        value = min(value, PAHO_LARGEST_SIZE)
    fields = {spec.name: (value,) if spec.many else value}
    if spec.name == "authentication_data":
        fields["authentication_method"] = "m"
    raw = encode_properties(Properties(**fields), scope)
    theirs = PahoProperties(scope.value or PAHO_WILL)
    _, length = theirs.unpack(raw)
    assert length == len(raw)
    found = getattr(theirs, paho_name(spec).replace(" ", ""))
    assert (found[-1] if isinstance(found, list) else found) == value


@unhurried
@given(scope=st.sampled_from(PropertyScope), data=st.data())
def test_any_set_comes_back(scope: PropertyScope, data: st.DataObject) -> None:
    held = data.draw(properties(scope))
    assert read(encode_properties(held, scope), scope) == held


@unhurried
@given(scope=st.sampled_from(PropertyScope), raw=st.binary(max_size=60))
def test_arbitrary_bytes_are_a_set_or_a_refusal(scope: PropertyScope, raw: bytes) -> None:
    reader = Reader(raw, 0, len(raw))
    try:
        found = decode_properties(reader, scope)
    except DecodeError:
        return
    # What was taken can be said again, and means the same.
    assert read(encode_properties(found, scope), scope) == found


def test_no_property_is_the_shared_object() -> None:
    assert read(b"\0", PropertyScope.CONNECT) is NO_PROPERTIES
    assert encode_properties(Properties(), PropertyScope.CONNECT) == b"\0"


MALFORMED = MalformedPacket, ReasonCode.MALFORMED_PACKET
PROTOCOL = ProtocolViolation, ReasonCode.PROTOCOL_ERROR


@pytest.mark.parametrize(
    ("scope", "raw", "error", "code"),
    [
        pytest.param("PUBLISH", "", *MALFORMED, id="no length at all"),
        pytest.param("PUBLISH", "02 01", *MALFORMED, id="length past the packet"),
        pytest.param("PUBLISH", "01 01", *MALFORMED, id="identifier without value"),
        pytest.param("PUBLISH", "02 02 00 00 00 01", *MALFORMED, id="value past the property length"),
        pytest.param("PUBLISH", "05 03 00 03 61 62 63", *MALFORMED, id="string past the property length"),
        pytest.param("PUBLISH", "ff ff ff ff 01", *MALFORMED, id="length of five bytes"),
        pytest.param("PUBLISH", "80 00", *MALFORMED, id="length not in shortest form"),
        pytest.param("PUBLISH", "03 0b 80 00", *MALFORMED, id="subscription identifier not in shortest form"),
        pytest.param("PUBLISH", "06 0b ff ff ff ff 01", *MALFORMED, id="subscription identifier of five bytes"),
        pytest.param("PUBLISH", "02 00 00", *MALFORMED, id="identifier 0"),
        pytest.param("PUBLISH", "02 2b 00", *MALFORMED, id="identifier beyond the table"),
        pytest.param("PUBLISH", "03 83 00 00", *MALFORMED, id="identifier of two bytes"),
        pytest.param("PUBLISH", "04 03 00 01 ff", *MALFORMED, id="string not UTF-8"),
        pytest.param("PUBLISH", "04 03 00 01 00", *MALFORMED, id="string with U+0000"),
        pytest.param("PUBLISH", "06 03 00 03 ed a0 80", *MALFORMED, id="string with a surrogate"),
        pytest.param("PUBLISH", "05 03 00 02 c0 af", *MALFORMED, id="string overlong"),
        pytest.param("PUBLISH", "04 26 00 01 61", *MALFORMED, id="user property without value"),
        pytest.param("PUBLISH", "02 01 02", *PROTOCOL, id="payload format 2"),
        pytest.param("PUBLISH", "02 0b 00", *PROTOCOL, id="subscription identifier 0"),
        pytest.param("PUBLISH", "03 08 00 00", *PROTOCOL, id="response topic empty"),
        pytest.param("PUBLISH", "04 08 00 01 23", *PROTOCOL, id="response topic '#'"),
        pytest.param("WILL", "06 08 00 03 61 2f 2b", *PROTOCOL, id="response topic 'a/+'"),
        pytest.param("CONNECT", "03 21 00 00", *PROTOCOL, id="receive maximum 0"),
        pytest.param("CONNECT", "05 27 00 00 00 00", *PROTOCOL, id="maximum packet size 0"),
        pytest.param("CONNECT", "02 17 02", *PROTOCOL, id="request problem information 2"),
        pytest.param("CONNECT", "02 19 ff", *PROTOCOL, id="request response information 255"),
        pytest.param("CONNECT", "04 16 00 01 61", *PROTOCOL, id="authentication data without method"),
        pytest.param("CONNACK", "02 24 02", *PROTOCOL, id="maximum QoS 2"),
        pytest.param("CONNACK", "02 25 02", *PROTOCOL, id="retain available 2"),
        pytest.param("CONNACK", "02 28 02", *PROTOCOL, id="wildcard available 2"),
        pytest.param("CONNACK", "02 29 02", *PROTOCOL, id="subscription identifiers available 2"),
        pytest.param("CONNACK", "02 2a 02", *PROTOCOL, id="shared available 2"),
        pytest.param("PUBLISH", "03 23 00 00", ProtocolViolation, ReasonCode.TOPIC_ALIAS_INVALID, id="topic alias 0"),
    ],
)
def test_bad_sets_are_refused_with_the_right_code(
    scope: str, raw: str, error: type[DecodeError], code: ReasonCode
) -> None:
    with pytest.raises(error) as refusal:
        read(unhex(raw), PropertyScope[scope])
    assert refusal.value.reason_code is code
    assert refusal.value.text.isascii()


@pytest.mark.parametrize(
    ("scope", "held"),
    [
        ("PUBLISH", Properties(topic_alias=0)),
        ("PUBLISH", Properties(topic_alias=65_536)),
        ("PUBLISH", Properties(payload_format_indicator=2)),
        ("PUBLISH", Properties(message_expiry_interval=2**32)),
        ("PUBLISH", Properties(message_expiry_interval=-1)),
        ("PUBLISH", Properties(subscription_identifiers=(1, 0))),
        ("PUBLISH", Properties(subscription_identifiers=(2**28,))),
        ("PUBLISH", Properties(response_topic="a/#")),
        ("PUBLISH", Properties(response_topic="")),
        ("PUBLISH", Properties(content_type="a\0b")),
        ("PUBLISH", Properties(content_type="\ud800")),
        ("PUBLISH", Properties(content_type="x" * 65_536)),
        ("PUBLISH", Properties(correlation_data=bytes(65_536))),
        ("PUBLISH", Properties(user_properties=(("a", "b"), ("\0", "")))),
        ("CONNECT", Properties(receive_maximum=0)),
        ("CONNECT", Properties(authentication_data=b"x")),
        ("CONNACK", Properties(maximum_qos=2)),
    ],
)
def test_bad_values_are_not_written(scope: str, held: Properties) -> None:
    with pytest.raises(EncodeError):
        encode_properties(held, PropertyScope[scope])
