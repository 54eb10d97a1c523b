# SPDX-License-Identifier: Apache-2.0
"""PUBLISH: what becomes of it, what is answered, and in which order."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Mapping
from typing import Any

import pytest

from freehold.connect.mqtt.codec import (
    Disconnect,
    Packet,
    Properties,
    Puback,
    Publish,
    ReasonCode,
    Suback,
    Subscribe,
    Subscription,
    encode,
)
from tests.connect.mqtt.conftest import OpenHouse
from tests.connect.mqtt.disk import Disk
from tests.connect.mqtt.wire import Wire, connected, telemetry, until
from tests.contract.house import House

both_versions = pytest.mark.parametrize("version", [4, 5], ids=["v311", "v5"])
SMALL = Properties(maximum_packet_size=36)
NOT_JSON = Properties(content_type="application/json")


def codes(answers: list[Packet]) -> list[tuple[int, int]]:
    """(packet identifier, reason code) of PUBACKs."""
    assert all(isinstance(each, Puback) for each in answers), answers
    return [(each.packet_id, int(each.reason_code)) for each in answers]  # type: ignore[attr-defined]


async def sent(house: House, at_least: int) -> list[bytes]:
    """Payloads of what devices sent, in the order of the log."""
    total = 0
    while True:
        found = [event.data for event in await house.events(total) if event.subject != "connection"]
        if len(found) >= at_least:
            return found
        total += 1


# --- order -----------------------------------------------------------------------------------------


async def test_answers_keep_the_order_with_refused_ones_between(house: House, secrets: Mapping[str, str]) -> None:
    """[MQTT-4.6.0-2], in one segment and with refusals of every kind."""
    async with connected(house, "gw1", secrets["gw1"]) as wire:
        wire.send(
            telemetry(1),
            telemetry(2, topic="a/b/c"),
            telemetry(3, topic="telemetry/dev2"),
            telemetry(4, topic="telemetry/nobody"),
            telemetry(5, b"{", properties=NOT_JSON),
            telemetry(6),
            telemetry(7, topic="telemetry/device1"),
            telemetry(8, b"8"),
        )
        answers = codes(await wire.receive_many(8))
    assert answers == [(1, 0), (2, 0x90), (3, 0), (4, 0x87), (5, 0x80), (6, 0), (7, 0x87), (8, 0)]
    assert await sent(house, 4) == [b"1", b"1", b"1", b"8"]


async def test_a_refusal_does_not_overtake_what_waits_for_the_disk(house: House, secrets: Mapping[str, str]) -> None:
    disk = Disk(house)
    async with connected(house, "device1", secrets["device1"]) as wire:
        with disk.held():
            wire.send(telemetry(1))
            await until(lambda: disk.waiting, "the first waits for the disk")
            wire.send(telemetry(2, topic="a/b/c"))
            wire.send(telemetry(3))
            assert await wire.silent()  # a ping need not wait, the answers do
        assert codes(await wire.receive_many(3)) == [(1, 0), (2, 0x90), (3, 0)]


async def test_an_overload_does_not_overtake_what_waits_for_the_disk(
    open_house: OpenHouse, secrets: Mapping[str, str]
) -> None:
    house = await open_house({"log.queue_bytes": 65_536, "mqtt.max_packet_bytes": 100_000})
    disk = Disk(house)
    async with connected(house, "device1", secrets["device1"]) as wire:
        with disk.held():
            wire.send(telemetry(1, b"first"))
            await until(lambda: disk.waiting, "the first is at the disk")
            wire.send(telemetry(2, b"x" * 40_000))
            await wire.silent()
            wire.send(telemetry(3, b"y" * 40_000))
            await wire.silent()
            wire.send(telemetry(4, b"small"))
            assert await wire.silent()
        answers = codes(await wire.receive_many(4))
    assert answers == [(1, 0), (2, 0), (3, 0x97), (4, 0)]
    assert [len(each) for each in await sent(house, 3)] == [5, 40_000, 5]


@both_versions
async def test_each_connection_is_answered_for_itself(house: House, secrets: Mapping[str, str], version: int) -> None:
    async with (
        connected(house, "device1", secrets["device1"], version) as one,
        connected(house, "device2", secrets["device2"], version) as two,
    ):
        for wire in (one, two):
            wire.send(*(telemetry(packet_id) for packet_id in range(1, 51)))
        for wire in (one, two):
            assert codes(await wire.receive_many(50)) == [(packet_id, 0) for packet_id in range(1, 51)]
    assert len(await sent(house, 100)) == 100


async def test_the_last_packet_identifier(house: House, secrets: Mapping[str, str]) -> None:
    async with connected(house, "device1", secrets["device1"]) as wire:
        wire.send(telemetry(65_535), telemetry(1), telemetry(65_535))
        assert codes(await wire.receive_many(3)) == [(65_535, 0), (1, 0), (65_535, 0)]


# --- refusals --------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", ["a/b/c", "telemetry/nobody", "telemetry/device1"])
async def test_version_3_1_1_closes_after_the_answers_before(
    house: House, secrets: Mapping[str, str], bad: str
) -> None:
    async with connected(house, "gw1", secrets["gw1"], 4) as wire:
        wire.send(telemetry(1), telemetry(2, topic="telemetry/dev2"), telemetry(3, topic=bad), telemetry(4))
        assert codes(await wire.rest()) == [(1, 0), (2, 0)]
    assert await sent(house, 2) == [b"1", b"1"]


async def test_version_3_1_1_closes_after_the_answers_that_wait_for_the_disk(
    house: House, secrets: Mapping[str, str]
) -> None:
    disk = Disk(house)
    async with connected(house, "device1", secrets["device1"], 4) as wire:
        with disk.held():
            wire.send(telemetry(1))
            await until(lambda: disk.waiting, "the first waits for the disk")
            wire.send(telemetry(2), telemetry(3, topic="a/b/c"), telemetry(4))
            await until(lambda: house.intake.accepted >= 3, "the second is taken")
        assert codes(await wire.rest()) == [(1, 0), (2, 0)]


@both_versions
@pytest.mark.parametrize("bad", ["a/b/c", "telemetry/nobody", "telemetry/device1"])
async def test_a_refused_message_of_quality_0_is_dropped_alone(
    house: House, secrets: Mapping[str, str], version: int, bad: str
) -> None:
    """A-8: nobody waits for an answer, so nobody is punished."""
    async with connected(house, "gw1", secrets["gw1"], version) as wire:
        wire.send(telemetry(0, b"0"), telemetry(0, topic=bad), telemetry(1, b"1"))
        assert codes(await wire.receive_many(1)) == [(1, 0)]
        assert await wire.silent()
    assert await sent(house, 2) == [b"0", b"1"]


@pytest.mark.parametrize(
    ("topic", "properties", "payload", "code", "words"),
    [
        ("a/b/c", Properties(), b"1", 0x90, "Topic name is invalid [event.channel.invalid]"),
        ("telemetry/nobody", Properties(), b"1", 0x87, "Not authorized [device.not-permitted]"),
        ("telemetry", NOT_JSON, b"{oops", 0x80, "[event.payload.not-json]"),
        ("x" * 2000, Properties(), b"1", 0x90, "1024 characters"),
        ("tele\x07metry", Properties(), b"1", 0x90, "control character"),
        ("telemetry", Properties(content_type="text/\x07"), b"1", None, "[event.attribute.invalid]"),
    ],
)
async def test_reason_strings_teach(
    house: House,
    secrets: Mapping[str, str],
    topic: str,
    properties: Properties,
    payload: bytes,
    code: int | None,
    words: str,
) -> None:
    async with connected(house, "device1", secrets["device1"]) as wire:
        wire.send(telemetry(9, payload, topic, properties=properties))
        answer = await wire.receive()
        assert isinstance(answer, Puback)
        assert words in (answer.properties.reason_string or "")
        assert answer.reason_code >= 0x80
        assert code in (None, answer.reason_code)
        assert await wire.silent()
    assert await sent(house, 0) == []


async def test_reason_strings_are_left_out_where_they_are_not_wanted(house: House, secrets: Mapping[str, str]) -> None:
    """[MQTT-3.1.2-29]: request problem information 0 allows none but on CONNACK and DISCONNECT."""
    quiet = Properties(request_problem_information=False)
    async with connected(house, "device1", secrets["device1"], properties=quiet) as wire:
        wire.send(telemetry(1, topic="a/b/c"))
        assert await wire.receive() == Puback(1, ReasonCode.TOPIC_NAME_INVALID)


async def test_answers_fit_what_the_client_takes(house: House, secrets: Mapping[str, str]) -> None:
    """[MQTT-3.1.2-24], [MQTT-3.4.2-2]: no packet larger than the client's maximum; the words go first."""
    async with connected(house, "device1", secrets["device1"], client_id="x", properties=SMALL) as wire:
        wire.send(telemetry(1, topic="a/b/c"), telemetry(2, topic="telemetry/nobody"))
        assert codes(await wire.receive_many(2)) == [(1, 0x90), (2, 0x87)]
        wire.send(Subscribe(3, (Subscription("no/inbox"),)))
        assert await wire.receive() == Suback(3, (ReasonCode.UNSPECIFIED_ERROR,))
        wire.send_bytes(b"\x00\x00")
        assert await wire.rest() == [Disconnect(ReasonCode.MALFORMED_PACKET)]


async def test_a_welcome_that_the_client_does_not_take_is_not_sent(house: House, secrets: Mapping[str, str]) -> None:
    wire = await Wire.open(house.mqtt.port)
    smaller = Properties(maximum_packet_size=10)
    wire.send(wire.connect_packet("device1@app1", secrets["device1"], properties=smaller))
    assert await wire.rest() == []
    assert house.mqtt.connected_devices == 0


# --- what the protocol forbids ---------------------------------------------------------------------


@both_versions
@pytest.mark.parametrize("topic", ["telemetry", "never/heard"])
async def test_quality_2(house: House, secrets: Mapping[str, str], version: int, topic: str) -> None:
    async with connected(house, "device1", secrets["device1"], version) as wire:
        wire.send(telemetry(1), Publish(topic, b"2", 2, packet_id=2), telemetry(3))
        answers = await wire.rest()
    assert codes(answers[:1]) == [(1, 0)]
    assert_disconnect(answers[1:], version, ReasonCode.QOS_NOT_SUPPORTED)
    assert await sent(house, 1) == [b"1"]


@pytest.mark.parametrize("topic", ["telemetry", ""])
async def test_topic_alias(house: House, secrets: Mapping[str, str], topic: str) -> None:
    """Topic alias maximum is 0 here, by not being said in CONNACK (3.2.2.3.8)."""
    async with connected(house, "device1", secrets["device1"]) as wire:
        wire.send(telemetry(1), telemetry(2, topic=topic, properties=Properties(topic_alias=1)))
        answers = await wire.rest()
    assert codes(answers[:1]) == [(1, 0)]
    assert_disconnect(answers[1:], 5, ReasonCode.TOPIC_ALIAS_INVALID)


async def test_subscription_identifier_from_a_client(house: House, secrets: Mapping[str, str]) -> None:
    """[MQTT-3.3.4-6]; for a topic that is new and for one that is known."""
    for before in ((), (telemetry(1),)):
        async with connected(house, "device1", secrets["device1"]) as wire:
            wire.send(*before, telemetry(2, properties=Properties(subscription_identifiers=(4,))))
            answers = await wire.rest()
        assert_disconnect(answers[len(before) :], 5, ReasonCode.PROTOCOL_ERROR)


@both_versions
@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"\x36\x06\x00\x01t\x00\x01x", 0x81),  # QoS 3
        (b"\x38\x04\x00\x01tx", 0x81),  # DUP with QoS 0
        (b"\x32\x06\x00\x01t\x00\x00x", 0x82),  # packet identifier 0
        (b"\x30\x04\x00\x09tx", 0x81),  # topic longer than the packet
        (b"\x30\x04\x00\x01\x00x", 0x81),  # NUL in the topic
        (b"\x30\x06\x00\x03\xed\xa0\x80x", 0x81),  # a lone surrogate
        (b"\x30\x05\x00\x02a+x", 0x90),  # a wildcard
        (b"\x30\x05\x00\x02a#x", 0x90),
        (b"\x30\xff\xff\xff\xff\x7f", 0x81),  # length of five bytes
        (b"\xc1\x00", 0x81),  # reserved flags
        (b"\x00\x00", 0x81),  # no such type
        (b"\x20\x02\x00\x00", None),  # CONNACK
        (b"\xd0\x00", 0x82),  # PINGRESP
        (b"\x50\x02\x00\x01", 0x82),  # PUBREC
        (b"\x62\x02\x00\x01", 0x82),  # PUBREL
    ],
)
async def test_malformed_packets(
    house: House, secrets: Mapping[str, str], version: int, raw: bytes, code: int | None
) -> None:
    async with connected(house, "device1", secrets["device1"], version) as wire:
        wire.send(telemetry(1))
        wire.send_bytes(raw + encode(telemetry(2), version))
        answers = await wire.rest()
    assert codes(answers[:1]) == [(1, 0)]
    if code is None:
        assert len(answers[1:]) == (version == 5)
    else:
        assert_disconnect(answers[1:], version, code)
    assert house.mqtt.numbers.protocol_errors == 1
    assert await sent(house, 1) == [b"1"]


def assert_disconnect(answers: list[Packet], version: int, code: int) -> None:
    """Version 5 hears why; 3.1.1 has no such packet."""
    if version != 5:
        assert answers == []
        return
    (answer,) = answers
    assert isinstance(answer, Disconnect)
    assert answer.reason_code == code
    assert answer.properties.reason_string


# --- sizes and pieces ------------------------------------------------------------------------------


@both_versions
async def test_largest_packet(house: House, secrets: Mapping[str, str], version: int) -> None:
    largest = house.settings.mqtt.max_packet_bytes
    frame = len(encode(telemetry(1, b"\xff" * 10_000), version)) - 10_000
    async with connected(house, "device1", secrets["device1"], version) as wire:
        wire.send(telemetry(1, b"\xff" * (largest - frame)))
        assert codes(await wire.receive_many(1)) == [(1, 0)]
        wire.send(telemetry(2, b"\xff" * (largest - frame + 1)))
        assert_disconnect(await wire.rest(), version, ReasonCode.PACKET_TOO_LARGE)
    assert [len(each) for each in await sent(house, 1)] == [largest - frame]


@both_versions
async def test_a_packet_that_announces_too_much_is_not_waited_for(
    house: House, secrets: Mapping[str, str], version: int
) -> None:
    async with connected(house, "device1", secrets["device1"], version) as wire:
        wire.send_bytes(b"\x32\xff\xff\xff\x7f")
        assert_disconnect(await wire.rest(), version, ReasonCode.PACKET_TOO_LARGE)


async def test_a_connect_that_announces_too_much_is_not_waited_for(house: House) -> None:
    wire = await Wire.open(house.mqtt.port)
    wire.send_bytes(b"\x10\xff\xff\xff\x7f\x00\x04MQTT\x05\x02")
    assert await wire.rest() == []
    assert house.mqtt.numbers.protocol_errors == 1


async def test_before_connect_little_is_kept_whatever_devices_may_send(open_house: OpenHouse) -> None:
    house = await open_house({"mqtt.max_packet_bytes": 1 << 24})
    wire = await Wire.open(house.mqtt.port)
    wire.send_bytes(b"\x10" + bytes((0x80, 0x80, 0x08)) + b"\x00\x04MQTT\x05\x02")  # 128 KiB
    assert await wire.rest() == []


async def test_a_large_message_right_behind_connect(open_house: OpenHouse, secrets: Mapping[str, str]) -> None:
    house = await open_house({"mqtt.max_packet_bytes": 1 << 20})
    wire = await Wire.open(house.mqtt.port)
    wire.send(wire.connect_packet("device1@app1", secrets["device1"]), telemetry(1, b"x" * 200_000))
    assert codes((await wire.receive_many(2))[1:]) == [(1, 0)]
    await wire.close()


@both_versions
async def test_topics_of_64_kib(open_house: OpenHouse, secrets: Mapping[str, str], version: int) -> None:
    house = await open_house({"mqtt.max_packet_bytes": 1 << 20})
    async with connected(house, "device1", secrets["device1"], version) as wire:
        for _ in range(3):
            wire.send(telemetry(0, topic="t" * 65_535), telemetry(0, topic="ä" * 32_767))
        wire.send(telemetry(1))
        assert codes(await wire.receive_many(1)) == [(1, 0)]
    assert await sent(house, 1) == [b"1"]


@both_versions
async def test_packets_split_at_every_byte(house: House, secrets: Mapping[str, str], version: int) -> None:
    wire = await Wire.open(house.mqtt.port, version)
    packets = [
        encode(wire.connect_packet("device1@app1", secrets["device1"]), version),
        encode(telemetry(1, b"x" * 200), version),
        encode(telemetry(2, b"2"), version),
        b"\xc0\x00",
        encode(telemetry(3, b"3"), version),
    ]
    for byte in b"".join(packets):
        wire.send_bytes(bytes((byte,)))
        await wire.flush()
        await asyncio.sleep(0)
    answers = await wire.receive_many(5)
    assert {Puback(1), Puback(2), Puback(3)} <= set(answers)
    await wire.close()
    assert await sent(house, 3) == [b"x" * 200, b"2", b"3"]


async def test_two_packets_split_at_every_place(house: House, secrets: Mapping[str, str]) -> None:
    async with connected(house, "device1", secrets["device1"]) as wire:
        data = encode(telemetry(1, b"a" * 130), 5) + encode(telemetry(2, b"b"), 5)
        for place in range(1, len(data)):
            wire.send_bytes(data[:place])
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            wire.send_bytes(data[place:])
            assert codes(await wire.receive_many(2)) == [(1, 0), (2, 0)]


async def test_a_thousand_publishes_in_one_write(open_house: OpenHouse, secrets: Mapping[str, str]) -> None:
    house = await open_house({"mqtt.receive_maximum": 2000})
    async with connected(house, "device1", secrets["device1"]) as wire:
        wire.send(*(telemetry(number, b"%d" % number) for number in range(1, 1001)))
        assert codes(await wire.receive_many(1000)) == [(number, 0) for number in range(1, 1001)]
    assert await sent(house, 1000) == [b"%d" % number for number in range(1, 1001)]


@both_versions
async def test_disconnect_is_the_last_packet(house: House, secrets: Mapping[str, str], version: int) -> None:
    async with connected(house, "device1", secrets["device1"], version) as wire:
        wire.send(telemetry(1, b"before"), Disconnect(), telemetry(2, b"after"))
        await wire.rest()
    events = await house.events(3)
    assert [event.data for event in events] == [b'{"connected":true}', b"before", b'{"connected":false}']


async def test_topics_are_remembered_within_bounds(house: House, secrets: Mapping[str, str]) -> None:
    async with connected(house, "device1", secrets["device1"]) as wire:
        for first in range(0, 600, 200):
            wire.send(*(telemetry(n + 1, topic=f"channel-{n}") for n in range(first, first + 200)))
            assert codes(await wire.receive_many(200)) == [(n + 1, 0) for n in range(first, first + 200)]
        (connection,) = house.mqtt._connections
        assert connection._publisher is not None
        assert len(connection._publisher._targets) <= 128
    subjects = [event.subject for event in await house.events(601) if event.subject != "connection"]
    assert subjects == [f"channel-{n}" for n in range(600)]


async def test_alias_of_the_gateway_names_itself(house: House) -> None:
    await house.add_device("real", password=None, alias=["al"], credentials=[{"pass": "x"}])
    secret = await house.secret("real")
    async with connected(house, "al", secret) as wire:
        wire.send(telemetry(1, topic="telemetry/al"), telemetry(2, topic="telemetry/real"), telemetry(3))
        assert codes(await wire.receive_many(3)) == [(1, 0), (2, 0), (3, 0)]
    events = await house.events(5)
    assert {(event.device, event.sender) for event in events} == {("real", "real")}


async def test_a_slow_look_up_keeps_the_order(house: House, secrets: Mapping[str, str]) -> None:
    """A device behind the gateway that is not in memory holds what follows, and nothing overtakes."""
    async with connected(house, "gw1", secrets["gw1"]) as wire:
        for number in range(20):
            await house.add_device(f"leaf{number}", gatewaySelector={"matchNames": ["gw1"]})
        wire.send(*(telemetry(n + 1, b"%d" % n, f"telemetry/leaf{n % 20}") for n in range(60)))
        assert codes(await wire.receive_many(60)) == [(n + 1, 0) for n in range(60)]
    assert await sent(house, 60) == [b"%d" % n for n in range(60)]


async def test_a_connection_that_goes_before_its_look_up_begins(
    house: House, secrets: Mapping[str, str], recwarn: pytest.WarningsRecorder
) -> None:
    async with connected(house, "gw1", secrets["gw1"]):
        (connection,) = house.mqtt._connections
        connection.data_received(encode(telemetry(1, topic="telemetry/never-seen"), 5))
        assert connection._task is not None
        connection.connection_lost(None)
        await until(lambda: not house.mqtt._tasks, "the task is gone")
    gc.collect()
    assert not [str(warning.message) for warning in recwarn if "never awaited" in str(warning.message)]


async def test_quota_of_the_application(open_house: OpenHouse, secrets: Mapping[str, str]) -> None:
    house = await open_house({"limits.events_per_second": 1})
    async with connected(house, "device1", secrets["device1"]) as wire:
        answers: list[Any] = []
        for number in range(1, 6):
            wire.send(telemetry(number))
            answers.append(await wire.receive())
    refused = [each for each in answers if each.reason_code]
    assert refused
    assert {each.reason_code for each in refused} == {0x97}
    assert "limits.events_per_second" in refused[0].properties.reason_string
