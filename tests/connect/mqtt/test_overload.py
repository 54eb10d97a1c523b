# SPDX-License-Identifier: Apache-2.0
"""More than the disk can take, a disk that fails, and clients that send too much or never read."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Mapping

import pytest

from freehold.connect.mqtt import device as device_module
from freehold.connect.mqtt.codec import Disconnect, Puback, ReasonCode, Subscribe, Subscription, encode
from freehold.connect.mqtt.connection import MqttConnection
from tests.connect.mqtt.conftest import OpenHouse
from tests.connect.mqtt.disk import Disk
from tests.connect.mqtt.wire import Wire, connected, telemetry, until
from tests.contract.house import PATIENCE, House, command

both_versions = pytest.mark.parametrize("version", [4, 5], ids=["v311", "v5"])
TINY = {"log.queue_bytes": 65_536, "mqtt.max_packet_bytes": 100_000}


def payload(number: int, size: int = 10_000) -> bytes:
    return b"%06d" % number + b"x" * (size - 6)


async def stored(house: House) -> list[int]:
    """Numbers of the payloads in the log, in its order, once everything accepted is there."""
    await until(lambda: house.log.appended >= house.intake.accepted, "all that was taken is durable")
    events = await house.events(house.intake.accepted)
    return [int(event.data[:6]) for event in events if event.subject == "telemetry"]


# --- overload ----------------------------------------------------------------------------------------


async def test_overload_version_5(open_house: OpenHouse, secrets: Mapping[str, str]) -> None:
    """Refused with 0x97; what was acknowledged, and nothing else, is stored; then it goes on."""
    house = await open_house(TINY)
    disk = Disk(house)
    async with connected(house, "device1", secrets["device1"]) as wire:
        with disk.held():
            for number in range(1, 31):
                wire.send(telemetry(number, payload(number)))
                await until_taken(house, number)
        answers = [await wire.receive() for _ in range(30)]
        wire.send(telemetry(31, payload(31)))
        answers.append(await wire.receive())
    assert [each.packet_id for each in answers] == list(range(1, 32))  # type: ignore[attr-defined]
    accepted = [each.packet_id for each in answers if not each.reason_code]  # type: ignore[attr-defined]
    refused = [each for each in answers if each.reason_code]  # type: ignore[attr-defined]
    assert refused
    assert 31 in accepted
    assert {each.reason_code for each in refused} == {ReasonCode.QUOTA_EXCEEDED}  # type: ignore[attr-defined]
    assert "platform.overloaded" in refused[0].properties.reason_string  # type: ignore[attr-defined]
    assert await stored(house) == accepted
    assert house.mqtt.numbers.refused["platform.overloaded"] == len(refused)


async def until_taken(house: House, number: int) -> None:
    """Wait until the endpoint handled so many publishes of one device, one way or the other."""
    refused = house.intake.refused
    await until(lambda: house.intake.accepted - 1 + refused["platform.overloaded"] >= number, f"{number} are handled")


async def test_overload_version_3_1_1(open_house: OpenHouse, secrets: Mapping[str, str]) -> None:
    """There is no word for it: closed behind the answers of what was taken."""
    house = await open_house(TINY)
    disk = Disk(house)
    async with connected(house, "device1", secrets["device1"], 4) as wire:
        with disk.held():
            for number in range(1, 12):
                wire.send(telemetry(number, payload(number)))
                await until_taken(house, min(number, 8))
            await until(lambda: house.intake.refused["platform.overloaded"], "one is refused")
        answers = await wire.rest()
    accepted = [each.packet_id for each in answers]  # type: ignore[attr-defined]
    assert accepted == list(range(1, len(accepted) + 1))
    assert 0 < len(accepted) < 11
    assert await stored(house) == accepted


@both_versions
async def test_overload_drops_quality_0_alone(open_house: OpenHouse, secrets: Mapping[str, str], version: int) -> None:
    house = await open_house(TINY)
    disk = Disk(house)
    async with connected(house, "device1", secrets["device1"], version) as wire:
        with disk.held():
            for number in range(1, 12):
                wire.send(telemetry(0, payload(number)))
                await until_taken(house, number)
            assert house.intake.refused["platform.overloaded"]
            assert await wire.silent()  # the connection stays
        await until(lambda: not disk.waiting, "the disk goes on")
        await stored(house)
        wire.send(telemetry(1, payload(12)))
        assert await wire.receive() == Puback(1)
    numbers = await stored(house)
    assert numbers == sorted(numbers)
    assert numbers[-1] == 12
    assert len(numbers) == 12 - house.intake.refused["platform.overloaded"]


async def test_overload_of_many_connections_loses_nothing_acknowledged(
    open_house: OpenHouse, secrets: Mapping[str, str]
) -> None:
    house = await open_house({**TINY, "mqtt.receive_maximum": 1000})
    disk = Disk(house)
    acknowledged: list[int] = []

    async def flood(device: str, version: int, first: int) -> None:
        async with connected(house, device, secrets[device], version) as wire:
            wire.send(*(telemetry(each, payload(first + each, 3000)) for each in range(1, 101)))
            try:
                for _ in range(100):
                    answer = await wire.receive()
                    assert isinstance(answer, Puback)
                    if not answer.reason_code:
                        acknowledged.append(first + answer.packet_id)
            except EOFError:
                assert version == 4

    disk.hold()
    floods = [
        asyncio.create_task(flood(device, version, 1000 * number))
        for number, (device, version) in enumerate([("device1", 5), ("device2", 4), ("gw1", 5), ("dev2", 5)])
    ]
    await until(lambda: house.intake.refused["platform.overloaded"], "somebody is refused")
    disk.release()
    await asyncio.gather(*floods)
    assert set(acknowledged) <= set(await stored(house))
    assert not any(connection._unanswered for connection in house.mqtt._connections)


# --- a failing disk ----------------------------------------------------------------------------------


async def test_failing_log_version_5(house: House, secrets: Mapping[str, str]) -> None:
    disk = Disk(house)
    async with connected(house, "device1", secrets["device1"]) as wire:
        with disk.failing():
            wire.send(telemetry(1, payload(1)), telemetry(2, topic="a/b/c"), telemetry(3, payload(3)))
            answers = [await wire.receive() for _ in range(3)]
        assert [(each.packet_id, each.reason_code) for each in answers] == [(1, 0x80), (2, 0x90), (3, 0x80)]  # type: ignore[attr-defined]
        words = answers[0].properties.reason_string  # type: ignore[attr-defined]
        assert words == "The event could not be made durable [log.unavailable]"  # the cause is the owner's
        assert house.mqtt.numbers.refused["log.unavailable"] == 3
        wire.send(telemetry(1, payload(4)))
        assert await wire.receive() == Puback(1)
    events = await house.events(2)
    assert [event.data[:6] for event in events if event.subject == "telemetry"] == [b"000004"]


async def test_failing_log_version_3_1_1(house: House, secrets: Mapping[str, str]) -> None:
    disk = Disk(house)
    async with connected(house, "device1", secrets["device1"], 4) as wire:
        wire.send(telemetry(1, payload(1)))
        assert await wire.receive() == Puback(1)
        with disk.failing():
            wire.send(telemetry(2, payload(2)))
            assert await wire.rest() == []
    await until(lambda: not house.mqtt.open_connections, "the connection is gone")


@both_versions
async def test_an_end_under_way_is_not_stopped_by_a_failing_log(
    house: House, secrets: Mapping[str, str], version: int
) -> None:
    disk = Disk(house)
    async with connected(house, "device1", secrets["device1"], version) as wire:
        with disk.held(), disk.failing():
            wire.send(telemetry(1))
            await until(lambda: disk.waiting, "the first waits for the disk")
            await house.put_device("device1", core={"disabled": True})
            disk.release()
            answers = await wire.rest()
    codes = [each.reason_code for each in answers]  # type: ignore[attr-defined]
    assert codes == ([0x80, ReasonCode.NOT_AUTHORIZED] if version == 5 else [])


async def test_connection_events_wait_for_a_disk_that_fails(house: House, secrets: Mapping[str, str]) -> None:
    disk = Disk(house)
    with disk.failing():
        async with connected(house, "device1", secrets["device1"]) as wire:
            assert await wire.silent()
        await until(lambda: house.mqtt._announcer.waiting == 2, "both events wait")
    events = await house.events(2)
    assert sorted(event.data for event in events) == [b'{"connected":false}', b'{"connected":true}']
    assert house.mqtt._announcer.waiting == house.mqtt._announcer.dropped == 0


async def test_an_application_at_its_quota_keeps_nobody_elses_connection_events_back(
    open_house: OpenHouse, secrets: Mapping[str, str]
) -> None:
    house = await open_house({"limits.events_per_second": 1})
    await house.add_application("app2")
    await house.add_device("other", application="app2")
    other = await house.secret("other", "app2")
    async with (
        connected(house, "device1", secrets["device1"]),
        connected(house, "device2", secrets["device2"]),
        connected(house, "gw1", secrets["gw1"]),
    ):
        await until(lambda: house.mqtt._announcer.waiting, "an event of app1 waits for its quota")
        wire = await Wire.open(house.mqtt.port)
        await wire.connect("other@app2", other)
        assert [event.data for event in await house.events(1, "app2")] == [b'{"connected":true}']
        await wire.close()
        assert len(await house.events(3)) >= 3  # and its own come when the quota lets them


# --- clients that send too much ----------------------------------------------------------------------


async def test_receive_maximum_version_5(open_house: OpenHouse, secrets: Mapping[str, str]) -> None:
    house = await open_house({"mqtt.receive_maximum": 4})
    disk = Disk(house)
    async with connected(house, "device1", secrets["device1"]) as wire:
        with disk.held():
            wire.send(*(telemetry(number, payload(number, 10)) for number in range(1, 5)))
            assert await wire.silent()  # as many as were allowed
            wire.send(telemetry(5, payload(5, 10)))
            await until(lambda: house.mqtt.numbers.protocol_errors, "one too many")
        answers = await wire.rest()
    # Everything that was taken is answered first.
    assert answers[:-1] == [Puback(number) for number in range(1, 6)]
    assert isinstance(answers[-1], Disconnect)
    assert answers[-1].reason_code == ReasonCode.RECEIVE_MAXIMUM_EXCEEDED
    assert await stored(house) == [1, 2, 3, 4, 5]


async def test_receive_maximum_is_a_window_not_a_total(open_house: OpenHouse, secrets: Mapping[str, str]) -> None:
    house = await open_house({"mqtt.receive_maximum": 4})
    async with connected(house, "device1", secrets["device1"]) as wire:
        for _ in range(10):
            wire.send(*(telemetry(number) for number in range(1, 5)))
            assert await wire.receive_many(4) == [Puback(number) for number in range(1, 5)]


async def test_version_3_1_1_is_held_back_by_tcp_without_loss(
    open_house: OpenHouse, secrets: Mapping[str, str]
) -> None:
    house = await open_house({"mqtt.receive_maximum": 4})
    disk = Disk(house)
    total = 3000
    async with connected(house, "device1", secrets["device1"], 4) as wire:
        with disk.held():
            wire.send(*(telemetry(number, payload(number, 1000)) for number in range(1, total + 1)))
            await until(lambda: not next(iter(house.mqtt._connections))._reading, "reading pauses")
            (connection,) = house.mqtt._connections
            assert not connection.overdue(house.mqtt.now() + 10_000)  # it waits for us, not we for it
            taken = house.intake.accepted
            assert taken < total
        assert await wire.receive_many(total) == [Puback(number) for number in range(1, total + 1)]
    assert await stored(house) == list(range(1, total + 1))


# --- clients that never read -------------------------------------------------------------------------


def take_little(connection: MqttConnection) -> None:
    """Have the kernel keep less of what a peer does not read, so that a test needs less to fill it."""
    assert connection._transport is not None
    with socket.socket(fileno=os.dup(connection._transport.get_extra_info("socket").fileno())) as own:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)


@both_versions
async def test_a_client_that_never_reads_is_not_read_from_and_ends(
    house: House, secrets: Mapping[str, str], version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire = await Wire.open(house.mqtt.port, version, receive_buffer=4096)
    await wire.connect("device1@app1", secrets["device1"])
    (connection,) = house.mqtt._connections
    take_little(connection)
    async with asyncio.timeout(PATIENCE):
        while connection._writable:
            wire.send_bytes(b"\xc0\x00" * 50_000)
            await asyncio.sleep(0.001)
    await until(lambda: not connection._reading, "it is not read from")
    transport = connection._transport
    assert transport is not None
    assert transport.get_write_buffer_size() < 1 << 20
    assert not connection.overdue(house.mqtt.now())
    monkeypatch.setattr(device_module, "STALLED_SECONDS", -1.0)
    await until(lambda: not house.mqtt.open_connections, "it is ended though it set no keep alive")
    assert house.mqtt.numbers.timed_out == 1
    await wire.close()


@both_versions
async def test_commands_do_not_pile_up_before_a_client_that_never_reads(
    house: House, secrets: Mapping[str, str], version: int
) -> None:
    wire = await Wire.open(house.mqtt.port, version, receive_buffer=4096)
    await wire.connect("device1@app1", secrets["device1"])
    wire.send(Subscribe(1, (Subscription("command/inbox/#"),)))
    await wire.receive()
    (connection,) = house.mqtt._connections
    take_little(connection)
    taken = 0
    while house.send(command("SET", b"x" * 10_000)) == ["device1"]:
        taken += 1
        assert taken < 10_000
    for _ in range(taken):  # what was said to be sent arrives, whenever it is read
        assert (await wire.receive()).payload == b"x" * 10_000  # type: ignore[attr-defined]
    await until(lambda: connection._writable, "there is room again")
    assert house.send(command("SET")) == ["device1"]
    await wire.close()


async def test_a_client_that_reads_late_gets_everything(house: House, secrets: Mapping[str, str]) -> None:
    wire = await Wire.open(house.mqtt.port, 5, receive_buffer=4096)
    await wire.connect("device1@app1", secrets["device1"])
    (connection,) = house.mqtt._connections
    take_little(connection)
    refused = encode(telemetry(1, topic="a/b/c"), 5)
    sent = 0
    async with asyncio.timeout(PATIENCE):
        while connection._writable:
            wire.send_bytes(refused * 200)
            sent += 200
            await asyncio.sleep(0.001)
    for _ in range(sent):
        answer = await wire.receive()
        assert isinstance(answer, Puback)
        assert answer.reason_code == ReasonCode.TOPIC_NAME_INVALID
    assert await wire.silent()
    await wire.close()
