# SPDX-License-Identifier: Apache-2.0
"""What cannot be said on the wire, or not in the chosen version, is refused by the encoder."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.connect.mqtt.codec import (
    Auth,
    Connack,
    Connect,
    ConnectReturnCode,
    Disconnect,
    EncodeError,
    Packet,
    Properties,
    Puback,
    Publish,
    Pubrel,
    ReasonCode,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
    Will,
    decode_packet,
    encode,
    frame_bounds,
)
from freehold.connect.mqtt.codec.primitives import varint_bytes
from tests.connect.mqtt.codec.strategies import unhurried

SAID = Properties(user_properties=(("a", "b"),))
LONG = "x" * 65_536
METHOD = Properties(authentication_method="m")

REFUSED: list[tuple[str, tuple[int, ...], Packet]] = [
    ("level 3", (4, 5), Connect("a", 3)),
    ("keep alive too long", (4, 5), Connect("a", 5, keep_alive=65_536)),
    ("keep alive negative", (4, 5), Connect("a", 5, keep_alive=-1)),
    ("client identifier too long", (4, 5), Connect(LONG, 5)),
    ("client identifier with U+0000", (4, 5), Connect("a\0", 5)),
    ("user name with a surrogate", (4, 5), Connect("a", 5, user_name="\udcff")),
    ("password too long", (4, 5), Connect("a", 5, user_name="u", password=LONG.encode())),
    ("password without user name in 3.1.1", (4,), Connect("a", 4, password=b"x")),
    ("properties in 3.1.1", (4,), Connect("a", 4, properties=SAID)),
    ("will properties in 3.1.1", (4,), Connect("a", 4, will=Will("t", properties=SAID))),
    ("will QoS 3", (4, 5), Connect("a", 5, will=Will("t", qos=3))),
    ("will without topic", (4, 5), Connect("a", 5, will=Will(""))),
    ("will topic with wildcard", (4, 5), Connect("a", 5, will=Will("a/#"))),
    ("will payload too long", (4, 5), Connect("a", 5, will=Will("t", bytes(65_536)))),
    ("will delay outside a will", (5,), Connect("a", 5, properties=Properties(will_delay_interval=1))),
    ("CONNACK refuses with a session", (4,), Connack(True, ConnectReturnCode.NOT_AUTHORIZED)),
    ("CONNACK 5 refuses with a session", (5,), Connack(True, ReasonCode.NOT_AUTHORIZED)),
    ("CONNACK 3.1.1 with a code of 5", (4,), Connack(False, ReasonCode.NOT_AUTHORIZED)),
    ("CONNACK 5 with a code of 3.1.1", (5,), Connack(False, ConnectReturnCode.NOT_AUTHORIZED)),
    ("CONNACK 3.1.1 with properties", (4,), Connack(False, ConnectReturnCode.ACCEPTED, SAID)),
    ("topic with wildcard", (4, 5), Publish("a/+")),
    ("topic with U+0000", (4, 5), Publish("a\0b")),
    ("topic with a surrogate", (4, 5), Publish("\ud800")),
    ("topic too long", (4, 5), Publish(LONG)),
    ("topic too long in bytes only", (4, 5), Publish("é" * 32_768)),
    ("topic empty", (4, 5), Publish("")),
    ("topic empty with alias in 3.1.1", (4,), Publish("", properties=Properties(topic_alias=1))),
    ("PUBLISH with properties in 3.1.1", (4,), Publish("a", properties=SAID)),
    ("QoS 3", (4, 5), Publish("a", qos=3, packet_id=1)),
    ("QoS -1", (4, 5), Publish("a", qos=-1, packet_id=1)),
    ("QoS 1 without packet identifier", (4, 5), Publish("a", qos=1)),
    ("QoS 1 with a packet identifier too large", (4, 5), Publish("a", qos=1, packet_id=65_536)),
    ("QoS 0 with packet identifier", (4, 5), Publish("a", packet_id=1)),
    ("QoS 0 with DUP", (4, 5), Publish("a", dup=True)),
    ("PUBACK identifier 0", (4, 5), Puback(0)),
    ("PUBACK reason in 3.1.1", (4,), Puback(1, ReasonCode.NOT_AUTHORIZED)),
    ("PUBACK properties in 3.1.1", (4,), Puback(1, properties=SAID)),
    ("PUBACK with a PUBREL code", (5,), Puback(1, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND)),
    ("PUBREL with a PUBACK code", (5,), Pubrel(1, ReasonCode.QUOTA_EXCEEDED)),
    ("SUBSCRIBE without filters", (4, 5), Subscribe(1, ())),
    ("SUBSCRIBE identifier 0", (4, 5), Subscribe(0, (Subscription("a"),))),
    ("SUBSCRIBE empty filter", (4, 5), Subscribe(1, (Subscription(""),))),
    ("SUBSCRIBE QoS 3", (4, 5), Subscribe(1, (Subscription("a", 3),))),
    ("SUBSCRIBE retain handling 3", (5,), Subscribe(1, (Subscription("a", retain_handling=3),))),
    ("SUBSCRIBE no local in 3.1.1", (4,), Subscribe(1, (Subscription("a", no_local=True),))),
    ("SUBSCRIBE shared and no local", (5,), Subscribe(1, (Subscription("$share/g/a", no_local=True),))),
    ("SUBSCRIBE properties in 3.1.1", (4,), Subscribe(1, (Subscription("a"),), SAID)),
    ("SUBACK without codes", (4, 5), Suback(1, ())),
    ("SUBACK 3.1.1 with a code of 5", (4,), Suback(1, (ReasonCode.NOT_AUTHORIZED,))),
    ("SUBACK 5 with a foreign code", (5,), Suback(1, (ReasonCode.SERVER_BUSY,))),
    ("UNSUBSCRIBE without filters", (4, 5), Unsubscribe(1, ())),
    ("UNSUBSCRIBE empty filter", (4, 5), Unsubscribe(1, ("a", ""))),
    ("UNSUBACK 3.1.1 with codes", (4,), Unsuback(1, (ReasonCode.SUCCESS,))),
    ("UNSUBACK 5 without codes", (5,), Unsuback(1)),
    ("UNSUBACK 5 with a foreign code", (5,), Unsuback(1, (ReasonCode.GRANTED_QOS_1,))),
    ("DISCONNECT 3.1.1 with a reason", (4,), Disconnect(ReasonCode.UNSPECIFIED_ERROR)),
    ("DISCONNECT 3.1.1 with properties", (4,), Disconnect(properties=SAID)),
    ("DISCONNECT with a CONNACK code", (5,), Disconnect(ReasonCode.BAD_USER_NAME_OR_PASSWORD)),
    ("AUTH in 3.1.1", (4,), Auth()),
    ("AUTH without a method", (5,), Auth(ReasonCode.CONTINUE_AUTHENTICATION)),
    ("AUTH with a foreign code", (5,), Auth(ReasonCode.NOT_AUTHORIZED, METHOD)),
]


@pytest.mark.parametrize(
    ("version", "packet"),
    [pytest.param(v, packet, id=f"v{v} {name}") for name, versions, packet in REFUSED for v in versions],
)
def test_what_cannot_be_said_is_refused(version: int, packet: Packet) -> None:
    with pytest.raises(EncodeError) as refusal:
        encode(packet, version)
    assert isinstance(refusal.value, ValueError)
    assert refusal.value.text


anything = st.text(max_size=6) | st.sampled_from(["", "a/b", "#", "+/a", "$share/g/a", "\0"])
numbers = st.integers(-1, 4) | st.sampled_from([65_535, 65_536])
held = st.builds(
    Properties,
    topic_alias=st.none() | numbers,
    content_type=st.none() | anything,
    subscription_identifiers=st.lists(numbers, max_size=2).map(tuple),
    reason_string=st.none() | anything,
    authentication_data=st.none() | st.just(b"x"),
    authentication_method=st.none() | anything,
)
codes = st.sampled_from(ReasonCode)
unruly: st.SearchStrategy[Packet] = st.one_of(
    st.builds(Publish, anything, st.binary(max_size=3), numbers, st.booleans(), st.booleans(), numbers, held),
    st.builds(
        Connect,
        anything,
        numbers,
        st.booleans(),
        numbers,
        st.none() | anything,
        st.none() | st.binary(max_size=3),
        st.none() | st.builds(Will, anything, st.binary(max_size=3), numbers, st.booleans(), held),
        held,
    ),
    st.builds(Connack, st.booleans(), codes | st.sampled_from(ConnectReturnCode), held),
    st.builds(Puback, numbers, codes, held),
    st.builds(Pubrel, numbers, codes, held),
    st.builds(
        Subscribe,
        numbers,
        st.lists(st.builds(Subscription, anything, numbers, st.booleans(), st.booleans(), numbers), max_size=2).map(
            tuple
        ),
        held,
    ),
    st.builds(Suback, numbers, st.lists(codes, max_size=2).map(tuple), held),
    st.builds(Unsubscribe, numbers, st.lists(anything, max_size=2).map(tuple), held),
    st.builds(Unsuback, numbers, st.lists(codes, max_size=2).map(tuple), held),
    st.builds(Disconnect, codes, held),
    st.builds(Auth, codes, held),
)


@unhurried
@given(packet=unruly, version=st.sampled_from([4, 5]))
def test_nothing_is_written_that_would_not_be_taken(packet: Packet, version: int) -> None:
    """Whatever the values, encode gives either its own error or bytes that mean the same."""
    try:
        wire = encode(packet, version)
    except EncodeError:
        return
    bounds = frame_bounds(wire, 0, len(wire))
    assert bounds is not None
    assert decode_packet(wire[0], wire, version, *bounds) == packet


@pytest.mark.parametrize(
    ("value", "wire"),
    [
        (0, "00"),
        (127, "7f"),
        (128, "80 01"),
        (16_383, "ff 7f"),
        (16_384, "80 80 01"),
        (2_097_151, "ff ff 7f"),
        (2_097_152, "80 80 80 01"),
        (268_435_455, "ff ff ff 7f"),
    ],
)
def test_variable_byte_integers_of_table_1_1(value: int, wire: str) -> None:
    assert varint_bytes(value).hex(" ") == wire


@pytest.mark.parametrize("value", [-1, 268_435_456])
def test_variable_byte_integers_have_bounds(value: int) -> None:
    with pytest.raises(EncodeError, match="variable byte integer"):
        varint_bytes(value)
