# SPDX-License-Identifier: Apache-2.0
"""The command inbox of an MQTT connection: subscriptions, delivery, acknowledgement, bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from freehold.commands.interfaces import Outcome, State
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
    Unsuback,
    Unsubscribe,
)
from freehold.connect.mqtt.inbox import SUBSCRIPTIONS, is_inbox
from tests.connect.mqtt.conftest import OpenHouse
from tests.connect.mqtt.wire import Wire, connected, telemetry, until
from tests.contract.house import House, command

both_versions = pytest.mark.parametrize("version", [4, 5], ids=["v311", "v5"])


async def subscribe(wire: Wire, *filters: str, qos: int = 0) -> tuple[int, ...]:
    wire.send(Subscribe(1, tuple(Subscription(each, qos) for each in filters)))
    answer = await wire.receive()
    assert isinstance(answer, Suback)
    return tuple(int(code) for code in answer.reason_codes)


async def message(wire: Wire) -> Publish:
    packet = await wire.receive()
    assert isinstance(packet, Publish)
    return packet


def states(outcomes: Sequence[Outcome]) -> list[State]:
    return [outcome.state for outcome in outcomes]


@pytest.mark.parametrize(
    "topic_filter",
    [
        "command/inbox/#",
        "command/inbox/+/#",
        "command/inbox//#",
        "command/inbox/a/#",
        "command/inbox/" + "ä" * 127 + "/#",
    ],
)
def test_filters_of_an_inbox(topic_filter: str) -> None:
    assert is_inbox(topic_filter)


@pytest.mark.parametrize(
    "topic_filter",
    [
        "#",
        "+",
        "command/#",
        "command/inbox",
        "command/inbox/",
        "command/inbox/+",
        "command/inbox/a",
        "command/inbox/a/b/#",
        "command/inbox/+/a",
        "command/inbox/a+/#",
        "command/inbox/#/#",
        "command/inbox/a/#/",
        "/command/inbox/#",
        "COMMAND/inbox/#",
        "$share/g/command/inbox/#",
        "command/inbox/" + "x" * 256 + "/#",
    ],
)
def test_filters_of_nothing(topic_filter: str) -> None:
    assert not is_inbox(topic_filter)


@both_versions
@pytest.mark.parametrize(("asked", "granted"), [(0, 0), (1, 1), (2, 1)])
async def test_granted_quality(
    house: House, secrets: Mapping[str, str], version: int, asked: int, granted: int
) -> None:
    async with connected(house, "device1", secrets["device1"], version) as wire:
        assert await subscribe(wire, "command/inbox/#", qos=asked) == (granted,)
        assert house.send(command("SET", b"1")) == ["device1"]
        assert (await message(wire)).qos == granted


@both_versions
async def test_quality_0_ends_as_sent(house: House, secrets: Mapping[str, str], version: int) -> None:
    async with connected(house, "device1", secrets["device1"], version) as wire:
        await subscribe(wire, "command/inbox/#")
        house.send(command("SET"))
        await message(wire)
        assert await wire.silent()
    assert states(house.outcomes) == [State.SENT]


@both_versions
async def test_quality_1_is_acknowledged_by_puback(house: House, secrets: Mapping[str, str], version: int) -> None:
    async with connected(house, "device1", secrets["device1"], version) as wire:
        await subscribe(wire, "command/inbox/#", qos=1)
        sent = [command("SET", b"1"), command("SET", b"2")]
        for each in sent:
            house.send(each)
        first, second = await message(wire), await message(wire)
        assert first.packet_id != second.packet_id
        wire.send(Puback(second.packet_id), Puback(first.packet_id), Puback(first.packet_id), Puback(9999))
        assert await wire.silent()
    assert states(house.outcomes) == [State.SENT] * 2 + [State.ACKNOWLEDGED] * 2
    acknowledged = house.outcomes[2:]
    assert [outcome.id for outcome in acknowledged] == [sent[1].id, sent[0].id]
    assert {(outcome.sender, outcome.protocol) for outcome in acknowledged} == {("device1", "mqtt")}


async def test_a_device_that_refuses_a_command_does_not_acknowledge_it(
    house: House, secrets: Mapping[str, str]
) -> None:
    async with connected(house, "device1", secrets["device1"]) as wire:
        await subscribe(wire, "command/inbox/#", qos=1)
        house.send(command("SET"))
        wire.send(Puback((await message(wire)).packet_id, ReasonCode.IMPLEMENTATION_SPECIFIC_ERROR))
        assert await wire.silent()
    assert states(house.outcomes) == [State.SENT]


async def test_a_gateway_acknowledges_for_a_device_behind_it(house: House, secrets: Mapping[str, str]) -> None:
    async with connected(house, "gw1", secrets["gw1"]) as wire:
        await subscribe(wire, "command/inbox/#", qos=1)
        assert house.send(command("SET", device="dev2", gateways=["gw1"])) == ["gw1"]
        packet = await message(wire)
        assert packet.topic == "command/inbox/dev2/SET"
        wire.send(Puback(packet.packet_id))
        await until(lambda: State.ACKNOWLEDGED in states(house.outcomes), "it is acknowledged")
    assert house.outcomes[-1].sender == "gw1"


@pytest.mark.parametrize(
    ("filters", "own", "behind"),
    [
        (["command/inbox/#"], "command/inbox//X", "command/inbox/dev2/X"),
        (["command/inbox/+/#"], "command/inbox//X", "command/inbox/dev2/X"),
        (["command/inbox//#"], "command/inbox//X", None),
        (["command/inbox/gw1/#"], "command/inbox/gw1/X", None),
        (["command/inbox/dev2/#"], None, "command/inbox/dev2/X"),
        (["command/inbox/other/#"], None, None),
        (["command/inbox/#", "command/inbox/gw1/#"], "command/inbox/gw1/X", "command/inbox/dev2/X"),
        (["command/inbox/gw1/#", "command/inbox/#"], "command/inbox/gw1/X", "command/inbox/dev2/X"),
    ],
)
@both_versions
async def test_who_receives_what_under_which_topic(
    house: House,
    secrets: Mapping[str, str],
    version: int,
    filters: Sequence[str],
    own: str | None,
    behind: str | None,
) -> None:
    async with connected(house, "gw1", secrets["gw1"], version) as wire:
        assert await subscribe(wire, *filters) == (0,) * len(filters)
        for sent, topic in (
            (command("X", b"own", device="gw1"), own),
            (command("X", b"behind", device="dev2", gateways=["gw1"]), behind),
            (command("X", b"foreign", device="device1"), None),
        ):
            assert house.send(sent) == (["gw1"] if topic else [])
            if topic:
                packet = await message(wire)
                assert (packet.topic, packet.payload) == (topic, sent.payload)
        assert await wire.silent()  # each once, whatever overlaps


async def test_overlapping_filters_give_the_best_quality(house: House, secrets: Mapping[str, str]) -> None:
    async with connected(house, "device1", secrets["device1"]) as wire:
        await subscribe(wire, "command/inbox/#", qos=1)
        await subscribe(wire, "command/inbox//#", qos=0)
        house.send(command("SET"))
        assert (await message(wire)).qos == 1
        await subscribe(wire, "command/inbox/#", qos=0)  # again, with less
        house.send(command("SET"))
        assert (await message(wire)).qos == 0
        assert house.inboxes == 1


@both_versions
async def test_unsubscribe(house: House, secrets: Mapping[str, str], version: int) -> None:
    async with connected(house, "device1", secrets["device1"], version) as wire:
        wire.send(Unsubscribe(5, ("command/inbox/#",)))
        none = (ReasonCode.NO_SUBSCRIPTION_EXISTED,) if version == 5 else ()
        assert await wire.receive() == Unsuback(5, none)
        await subscribe(wire, "command/inbox/#", "command/inbox//#")
        wire.send(Unsubscribe(6, ("command/inbox/#", "no/inbox")))
        mixed = (ReasonCode.SUCCESS, ReasonCode.NO_SUBSCRIPTION_EXISTED) if version == 5 else ()
        assert await wire.receive() == Unsuback(6, mixed)
        assert house.send(command("SET")) == ["device1"]
        await message(wire)
        wire.send(Unsubscribe(7, ("command/inbox//#",)))
        await wire.receive()
        assert house.inboxes == 0
        assert house.send(command("SET")) == []
        await subscribe(wire, "command/inbox/#")
        assert house.send(command("SET")) == ["device1"]


async def test_what_was_delivered_before_unsubscribing_can_still_be_acknowledged(
    house: House, secrets: Mapping[str, str]
) -> None:
    async with connected(house, "device1", secrets["device1"]) as wire:
        await subscribe(wire, "command/inbox/#", qos=1)
        house.send(command("SET"))
        packet = await message(wire)
        wire.send(Unsubscribe(6, ("command/inbox/#",)))
        await wire.receive()
        wire.send(Puback(packet.packet_id))
        assert await wire.silent()
    assert states(house.outcomes) == [State.SENT, State.ACKNOWLEDGED]


@both_versions
async def test_the_inbox_ends_with_the_connection(house: House, secrets: Mapping[str, str], version: int) -> None:
    async with connected(house, "device1", secrets["device1"], version) as wire:
        await subscribe(wire, "command/inbox/#")
        wire.send(Disconnect())
        await wire.rest()
    await until(lambda: not house.inboxes, "the inbox is closed")
    assert house.send(command("SET")) == []


async def test_suback_comes_before_the_first_command(house: House, secrets: Mapping[str, str]) -> None:
    async with connected(house, "device1", secrets["device1"]) as wire:
        wire.send(Subscribe(1, (Subscription("command/inbox/#"),)))
        await until(lambda: house.send(command("SET")), "the inbox is open")
        assert isinstance(await wire.receive(), Suback)
        assert isinstance(await wire.receive(), Publish)


# --- refusals and bounds -----------------------------------------------------------------------------


@both_versions
async def test_shared_subscription(house: House, secrets: Mapping[str, str], version: int) -> None:
    async with connected(house, "device1", secrets["device1"], version) as wire:
        assert await subscribe(wire, "$share/group/command/inbox/#") == (0x9E if version == 5 else 0x80,)
        assert await wire.silent()


async def test_a_refused_filter_teaches(house: House, secrets: Mapping[str, str]) -> None:
    async with connected(house, "device1", secrets["device1"]) as wire:
        wire.send(Subscribe(1, (Subscription("telemetry"),)))
        answer: Packet = await wire.receive()
    assert isinstance(answer, Suback)
    assert "subscription.refused" in (answer.properties.reason_string or "")


@pytest.mark.parametrize(
    ("bound", "properties", "expected"),
    [(32, Properties(), 32), (2, Properties(), 2), (32, Properties(receive_maximum=3), 3)],
)
async def test_commands_without_puback_are_bounded(
    open_house: OpenHouse, secrets: Mapping[str, str], bound: int, properties: Properties, expected: int
) -> None:
    """By the setting, and by the client's receive maximum [MQTT-3.3.4-9]."""
    house = await open_house({"mqtt.inbox": bound})
    async with connected(house, "device1", secrets["device1"], properties=properties) as wire:
        await subscribe(wire, "command/inbox/#", qos=1)
        taken = sum(bool(house.send(command("SET"))) for _ in range(expected + 5))
        assert taken == expected
        received = [await message(wire) for _ in range(taken)]
        wire.send(Puback(received[0].packet_id))
        assert await wire.silent()
        assert [bool(house.send(command("SET"))) for _ in range(2)] == [True, False]


async def test_a_command_larger_than_the_client_takes(house: House, secrets: Mapping[str, str]) -> None:
    small = Properties(maximum_packet_size=100)
    async with connected(house, "device1", secrets["device1"], client_id="x", properties=small) as wire:
        await subscribe(wire, "command/inbox/#")
        assert house.send(command("SET", b"x" * 100)) == []
        assert house.send(command("SET", b"x" * 50)) == ["device1"]
        assert len((await message(wire)).payload) == 50


@pytest.mark.parametrize("name", ["a+b", "#", "a\0b", "\ud800", "x" * 70_000])
async def test_a_name_that_no_topic_can_hold(house: House, secrets: Mapping[str, str], name: str) -> None:
    async with connected(house, "device1", secrets["device1"]) as wire:
        await subscribe(wire, "command/inbox/#")
        (connection,) = house.mqtt._connections
        assert connection._deliver(command(name)) is False
        assert house.send(command("SET")) == ["device1"]
        assert (await message(wire)).topic == "command/inbox//SET"


async def test_a_device_whose_name_no_topic_can_hold(house: House) -> None:
    await house.add_device("a+b")
    secret = await house.secret("a+b")
    async with connected(house, "a+b", secret) as wire:
        await subscribe(wire, "command/inbox/#")
        assert house.send(command("SET", device="a+b")) == ["a+b"]  # its own needs no name
        assert (await message(wire)).topic == "command/inbox//SET"


async def test_subscriptions_of_one_connection_are_bounded(open_house: OpenHouse, secrets: Mapping[str, str]) -> None:
    house = await open_house({"mqtt.max_packet_bytes": 1 << 20})
    async with connected(house, "device1", secrets["device1"]) as wire:
        granted = await subscribe(wire, *(f"command/inbox/dev{n}/#" for n in range(SUBSCRIPTIONS + 3)))
        assert granted == (0,) * SUBSCRIPTIONS + (ReasonCode.QUOTA_EXCEEDED,) * 3
        assert await subscribe(wire, "command/inbox/dev0/#") == (0,)


async def test_content_type_of_a_command(house: House, secrets: Mapping[str, str]) -> None:
    async with connected(house, "device1", secrets["device1"]) as wire:
        await subscribe(wire, "command/inbox/#")
        house.send(command("SET", b"{}", content_type="application/json"))
        house.send(command("SET", b"x"))
        assert (await message(wire)).properties == Properties(content_type="application/json")
        assert (await message(wire)).properties == Properties()


async def test_commands_and_publishes_of_one_connection(house: House, secrets: Mapping[str, str]) -> None:
    """Packet identifiers of the two directions do not meet (2.2.1)."""
    async with connected(house, "device1", secrets["device1"]) as wire:
        await subscribe(wire, "command/inbox/#", qos=1)
        for number in range(1, 20):
            house.send(command("SET", b"%d" % number))
            wire.send(telemetry(number))
            for packet in await wire.receive_many(2):
                if isinstance(packet, Publish):
                    wire.send(Puback(packet.packet_id))
                else:
                    assert packet == Puback(number)
        assert await wire.silent()
    assert states(house.outcomes).count(State.ACKNOWLEDGED) == 19


async def test_identifiers_come_round(house: House, secrets: Mapping[str, str]) -> None:
    async with connected(house, "device1", secrets["device1"]) as wire:
        await subscribe(wire, "command/inbox/#", qos=1)
        house.send(command("held"))
        held = (await message(wire)).packet_id
        (connection,) = house.mqtt._connections
        assert connection._inbox is not None
        connection._inbox._next_id = 65_534
        given = []
        for _ in range(3):
            house.send(command("SET"))
            given.append((await message(wire)).packet_id)
        assert given == [65_535, 2, 3]
        assert held == 1
