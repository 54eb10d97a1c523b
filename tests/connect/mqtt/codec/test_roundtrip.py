# SPDX-License-Identifier: Apache-2.0
"""What is encoded is decoded unchanged, for every packet type of both versions."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.connect.mqtt.codec import (
    NO_PROPERTIES,
    CodecError,
    Connect,
    EncodeError,
    Packet,
    PacketType,
    Properties,
    Publish,
    Subscribe,
    Subscription,
    Will,
    decode_packet,
    decode_publish,
    encode,
    frame_bounds,
    peek_version,
    puback_ok,
    publish_bytes,
)
from tests.connect.mqtt.codec.strategies import packets, packets_by_type, publishes, unhurried, unhurried_in_brief

VERSIONS = (4, 5)
KINDS = [(version, kind) for version in VERSIONS for kind in packets_by_type(version)]


def decoded(wire: bytes, version: int) -> Packet:
    bounds = frame_bounds(wire, 0, len(wire))
    assert bounds is not None
    assert bounds[1] == len(wire), "the frame is exactly the bytes that encode made"
    return decode_packet(wire[0], wire, version, *bounds)


@pytest.mark.parametrize(("version", "kind"), KINDS, ids=[f"v{v}-{k.name}" for v, k in KINDS])
@unhurried_in_brief
@given(data=st.data())
def test_every_packet_comes_back_unchanged(version: int, kind: PacketType, data: st.DataObject) -> None:
    packet = data.draw(packets_by_type(version)[kind])
    back = decoded(encode(packet, version), version)
    assert back == packet
    assert type(back) is type(packet)
    assert back.type is kind


@unhurried
@given(version=st.sampled_from(VERSIONS), data=st.data())
def test_encoding_is_stable(version: int, data: st.DataObject) -> None:
    """Decoding and encoding again gives the same bytes: one packet has one encoding."""
    wire = encode(data.draw(packets(version)), version)
    assert encode(decoded(wire, version), version) == wire


@pytest.mark.parametrize("make", [bytes, bytearray, memoryview])
@unhurried_in_brief
@given(version=st.sampled_from(VERSIONS), data=st.data())
def test_any_buffer_and_any_place_in_it(make: type, version: int, data: st.DataObject) -> None:
    """A packet amid other bytes reads as it does alone, and never past its end."""
    packet = data.draw(packets(version))
    wire = encode(packet, version)
    before, after = data.draw(st.binary(max_size=9)), data.draw(st.binary(max_size=9))
    buffer = make(before + wire + after)
    bounds = frame_bounds(buffer, len(before), len(buffer))
    assert bounds is not None
    assert bounds[1] == len(before) + len(wire)
    assert decode_packet(buffer[len(before)], buffer, version, *bounds) == packet


@unhurried
@given(version=st.sampled_from(VERSIONS), data=st.data())
def test_decoded_packets_do_not_share_the_buffer(version: int, data: st.DataObject) -> None:
    packet = data.draw(packets(version))
    buffer = bytearray(encode(packet, version))
    bounds = frame_bounds(buffer, 0, len(buffer))
    assert bounds is not None
    back = decode_packet(buffer[0], memoryview(buffer), version, *bounds)
    buffer[:] = b"\xff" * len(buffer)
    assert back == packet


@unhurried
@given(version=st.sampled_from(VERSIONS), data=st.data())
def test_every_truncation_is_refused_or_says_something_shorter(version: int, data: st.DataObject) -> None:
    """Cut anywhere, a body never reads as the packet it was (nor raises anything foreign)."""
    packet = data.draw(packets(version))
    wire = encode(packet, version)
    bounds = frame_bounds(wire, 0, len(wire))
    assert bounds is not None
    start, end = bounds
    for cut in range(start, end):
        try:
            back = decode_packet(wire[0], wire, version, start, cut)
        except CodecError:
            continue
        assert back != packet


@unhurried
@given(version=st.sampled_from(VERSIONS), data=st.data())
def test_the_fast_road_of_publish_is_the_same_road(version: int, data: st.DataObject) -> None:
    packet = data.draw(publishes(version))
    wire = publish_bytes(
        packet.topic,
        memoryview(packet.payload),
        version=version,
        qos=packet.qos,
        packet_id=packet.packet_id,
        retain=packet.retain,
        dup=packet.dup,
        properties=packet.properties,
    )
    assert wire == encode(packet, version)
    bounds = frame_bounds(wire, 0, len(wire))
    assert bounds is not None
    assert decode_publish(wire[0] & 15, wire, *bounds, version) == packet


@pytest.mark.parametrize("packet_id", [1, 255, 256, 65_535])
def test_puback_ok_is_what_encode_writes_in_both_versions(packet_id: int) -> None:
    wire = puback_ok(packet_id)
    assert wire == b"\x40\x02" + packet_id.to_bytes(2, "big")
    for version in VERSIONS:
        assert encode(decoded(wire, version), version) == wire


@pytest.mark.parametrize("packet_id", [-1, 0, 65_536])
def test_puback_ok_refuses_what_is_no_packet_identifier(packet_id: int) -> None:
    with pytest.raises(EncodeError, match="packet identifier"):
        puback_ok(packet_id)


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152])
def test_remaining_length_at_its_steps(size: int) -> None:
    """Table 2-4 of 3.1.1: the length grows a byte at these sizes."""
    packet = Publish("t", bytes(size))
    wire = encode(packet, 4)
    steps = sum(size + 3 >= step for step in (128, 16_384, 2_097_152))
    assert len(wire) == 2 + steps + 3 + size
    assert decoded(wire, 4) == packet


@pytest.mark.parametrize(("version", "size"), list(product(VERSIONS, [65_534, 65_535])))
def test_longest_fields(version: int, size: int) -> None:
    text = "é" * (size // 2) + "x" * (size % 2)
    packets_: list[Packet] = [
        Publish(text),
        Connect(text, version, user_name=text, password=bytes(size), will=Will(text, bytes(size))),
        Subscribe(1, (Subscription(text, 2),)),
    ]
    for packet in packets_:
        assert decoded(encode(packet, version), version) == packet


def test_packets_without_properties_share_one_object() -> None:
    wire = publish_bytes("t", b"x", version=5)
    packet = decoded(wire, 5)
    assert isinstance(packet, Publish)
    assert packet.properties is NO_PROPERTIES
    assert encode(Publish("t", b"x", properties=Properties()), 5) == wire


@unhurried
@given(version=st.sampled_from(VERSIONS), data=st.data())
def test_peek_version_reads_what_decode_reads(version: int, data: st.DataObject) -> None:
    wire = encode(data.draw(packets_by_type(version)[PacketType.CONNECT]), version)
    bounds = frame_bounds(wire, 0, len(wire))
    assert bounds is not None
    assert peek_version(wire, *bounds) == version


@pytest.mark.parametrize(
    "body", [b"", b"\0\4MQT", b"\0\4MQTT", b"\0\6MQIsdp\3", b"\0\4MQTT\6", b"\0\4\xff\xff\xff\xff\5"]
)
def test_peek_version_knows_when_there_is_none(body: bytes) -> None:
    assert peek_version(body, 0, len(body)) is None


def test_representations_hide_credentials() -> None:
    held = Properties(authentication_method="SCRAM", authentication_data=b"sesame")
    packet = Connect("c", 5, user_name="ann", password=b"sesame", properties=held)
    assert "ann" in repr(packet)
    assert "SCRAM" in repr(packet)
    assert "sesame" not in repr(packet)
    assert "sesame" not in str(held)
