# SPDX-License-Identifier: Apache-2.0
"""Who is connected: connection events, wills, taking over. Contract drogue.md 1.3."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from freehold.connect.mqtt.codec import Disconnect, Properties, Puback, ReasonCode, Subscribe, Subscription, Will
from freehold.events.models import CONNECTION_EVENT, DEVICE_EVENT, Event
from tests.connect.mqtt.disk import Disk
from tests.connect.mqtt.wire import Wire, connected, telemetry, until
from tests.contract.house import House, command

both_versions = pytest.mark.parametrize("version", [4, 5], ids=["v311", "v5"])
WILL = Will("last/words", b"gone", 1)
ON, OFF = ("connection", b'{"connected":true}'), ("connection", b'{"connected":false}')
LAST_WORDS = ("last/words", b"gone")


def said(events: list[Event]) -> list[tuple[str, bytes]]:
    return [(event.subject, event.data) for event in events]


async def gone(house: House) -> None:
    await until(lambda: not house.mqtt.open_connections, "all connections are gone")


@both_versions
async def test_connection_event(house: House, secrets: Mapping[str, str], version: int) -> None:
    async with connected(house, "device1", secrets["device1"], version):
        (event,) = await house.events(1)
    assert (event.type, event.subject, event.datacontenttype) == (CONNECTION_EVENT, "connection", "application/json")
    assert (event.device, event.sender) == ("device1", "device1")
    assert event.deviceuid == event.senderuid == house.uid_of_device("device1")
    assert event.data == b'{"connected":true}'


@both_versions
async def test_no_will_after_a_clean_disconnect(house: House, secrets: Mapping[str, str], version: int) -> None:
    async with connected(house, "device1", secrets["device1"], version, will=WILL) as wire:
        wire.send(Disconnect())
        assert await wire.rest() == []
    assert said(await house.events(2)) == [ON, OFF]


@both_versions
@pytest.mark.parametrize("end", ["close", "reset", "malformed", "half-close"])
async def test_will_after_an_abnormal_end(house: House, secrets: Mapping[str, str], version: int, end: str) -> None:
    async with connected(house, "device1", secrets["device1"], version, will=WILL) as wire:
        match end:
            case "close":
                await wire.close()
            case "reset":
                wire.reset()
            case "malformed":
                wire.send_bytes(b"\x00\x00")
                await wire.rest()
                await wire.close()
            case "half-close":
                wire._writer.write_eof()
        await gone(house)
    events = await house.events(3)
    assert said(events) == [ON, LAST_WORDS, OFF]
    assert (events[1].type, events[1].device) == (DEVICE_EVENT, "device1")


async def test_will_after_disconnect_with_will(house: House, secrets: Mapping[str, str]) -> None:
    async with connected(house, "device1", secrets["device1"], will=WILL) as wire:
        wire.send(Disconnect(ReasonCode.DISCONNECT_WITH_WILL_MESSAGE))
        await wire.rest()
    assert said(await house.events(3)) == [ON, LAST_WORDS, OFF]


async def test_will_after_disconnect_with_an_error(house: House, secrets: Mapping[str, str]) -> None:
    async with connected(house, "device1", secrets["device1"], will=WILL) as wire:
        wire.send(Disconnect(ReasonCode.UNSPECIFIED_ERROR))
        await wire.rest()
    assert said(await house.events(3)) == [ON, LAST_WORDS, OFF]


async def test_will_has_its_content_type_and_a_topic_that_is_not_parsed(
    house: House, secrets: Mapping[str, str]
) -> None:
    will = Will("a/b/c", b"[ 1 ]", properties=Properties(content_type="application/json", will_delay_interval=3600))
    async with connected(house, "device1", secrets["device1"], will=will) as wire:
        wire.reset()
        events = await house.events(3)
    # No session outlives its connection, so the delay is over with it (3.1.3.2.2).
    assert (events[1].subject, events[1].datacontenttype, events[1].data) == ("a/b/c", "application/json", b"[1]")


@pytest.mark.parametrize(
    "will",
    [
        Will("bad", b"{oops", properties=Properties(content_type="application/json")),
        Will("x" * 2000, b"1"),
        Will("bell\x07", b"1"),
    ],
)
async def test_will_that_cannot_be_an_event_is_left_out(house: House, secrets: Mapping[str, str], will: Will) -> None:
    async with connected(house, "device1", secrets["device1"], will=will) as wire:
        wire.reset()
        assert said(await house.events(2)) == [ON, OFF]


@both_versions
async def test_what_was_sent_comes_before_the_end(house: House, secrets: Mapping[str, str], version: int) -> None:
    disk = Disk(house)
    async with connected(house, "device1", secrets["device1"], version, will=WILL) as wire:
        with disk.held():
            wire.send(telemetry(1, b"1"), telemetry(0, b"2"), telemetry(3, b"3"))
            await until(lambda: house.intake.accepted >= 4, "all three are taken")
            wire.reset()
            await gone(house)
    assert said(await house.events(6)) == [ON, *(("telemetry", b"%d" % n) for n in (1, 2, 3)), LAST_WORDS, OFF]


# --- taking over -----------------------------------------------------------------------------------


@both_versions
@pytest.mark.parametrize("newer", [4, 5])
async def test_taking_over(house: House, secrets: Mapping[str, str], version: int, newer: int) -> None:
    async with connected(house, "device1", secrets["device1"], version, will=WILL) as first:
        async with connected(house, "device1", secrets["device1"], newer) as second:
            answers = await first.rest()
            await first.close()
            second.send(telemetry(1, b"1"))
            assert await second.receive() == Puback(1)
            assert house.mqtt.numbers.taken_over == 1
        await gone(house)
    if version == 5:
        (disconnect,) = answers
        assert isinstance(disconnect, Disconnect)
        assert disconnect.reason_code == ReasonCode.SESSION_TAKEN_OVER
        assert "device.session.taken-over" in (disconnect.properties.reason_string or "")
    else:
        assert answers == []
    assert said(await house.events(6)) == [ON, LAST_WORDS, OFF, ON, ("telemetry", b"1"), OFF]


async def test_taking_over_under_another_name_of_the_same_device(house: House) -> None:
    await house.add_device("real", alias=["al"])
    secret = await house.secret("real")
    async with connected(house, "real", secret) as first, connected(house, "al", secret) as second:
        (disconnect,) = await first.rest()
        assert disconnect.reason_code == ReasonCode.SESSION_TAKEN_OVER  # type: ignore[attr-defined]
        assert await second.silent()


async def test_answers_under_way_are_sent_before_the_older_one_ends(house: House, secrets: Mapping[str, str]) -> None:
    disk = Disk(house)
    async with connected(house, "device1", secrets["device1"]) as first:
        with disk.held():
            first.send(telemetry(1, b"1"), telemetry(2, b"2"))
            await until(lambda: disk.waiting, "they wait for the disk")
            async with connected(house, "device1", secrets["device1"]) as second:
                first.send(telemetry(3, b"too late"))
                disk.release()
                answers = await first.rest()
                await first.close()
                assert await second.silent()
    assert answers[:2] == [Puback(1), Puback(2)]
    assert [type(each) for each in answers[2:]] == [Disconnect]
    await gone(house)
    assert said(await house.events(6)) == [ON, ("telemetry", b"1"), ("telemetry", b"2"), OFF, ON, OFF]


async def test_a_crowd_of_the_same_device_leaves_one(house: House, secrets: Mapping[str, str]) -> None:
    wires = [await Wire.open(house.mqtt.port) for _ in range(20)]
    for wire in wires:
        wire.send(wire.connect_packet("device1@app1", secrets["device1"]))
    await until(lambda: house.mqtt.numbers.taken_over == 19, "nineteen are taken over")
    assert house.mqtt.connected_devices == 1
    await asyncio.gather(*(wire.close() for wire in wires))
    await gone(house)
    events = said(await house.events(40))
    assert events == [ON, OFF] * 20


async def test_the_inbox_moves_with_the_device(house: House, secrets: Mapping[str, str]) -> None:
    everything = Subscribe(1, (Subscription("command/inbox/#"),))
    async with connected(house, "device1", secrets["device1"]) as first:
        first.send(everything)
        await first.receive()
        async with connected(house, "device1", secrets["device1"]) as second:
            second.send(everything)
            await second.receive()
            await first.rest()
            await first.close()
            await until(lambda: house.inboxes == 1, "the older inbox is closed")
            assert house.send(command("SET")) == ["device1"]
            assert (await second.receive()).topic == "command/inbox//SET"  # type: ignore[attr-defined]


async def test_devices_of_the_same_name_in_other_applications_do_not_meet(
    house: House, secrets: Mapping[str, str]
) -> None:
    await house.add_application("app2")
    await house.add_device("device1", application="app2")
    other = await house.secret("device1", "app2")
    async with connected(house, "device1", secrets["device1"]) as mine:
        wire = await Wire.open(house.mqtt.port)
        assert (await wire.connect("device1@app2", other)).reason_code == 0
        assert await mine.silent()
        assert await wire.silent()
        await wire.close()
    assert len(await house.events(1, "app2")) >= 1
