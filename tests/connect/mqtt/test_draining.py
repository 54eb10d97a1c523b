# SPDX-License-Identifier: Apache-2.0
"""The endpoint stops: what was taken is answered, everybody is told, nobody stays."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from freehold.connect.mqtt.codec import Connack, Disconnect, Puback, ReasonCode, Will
from tests.connect.mqtt.disk import Disk
from tests.connect.mqtt.wire import Wire, connected, telemetry, until
from tests.contract.house import PATIENCE, House

both_versions = pytest.mark.parametrize("version", [4, 5], ids=["v311", "v5"])


@both_versions
async def test_publishes_under_way_are_answered_first(house: House, secrets: Mapping[str, str], version: int) -> None:
    disk = Disk(house)
    async with connected(house, "device1", secrets["device1"], version) as wire:
        with disk.held():
            wire.send(telemetry(1), telemetry(2))
            await until(lambda: disk.waiting, "they wait for the disk")
            draining = asyncio.create_task(house.mqtt.drain())
            await until(lambda: not house.mqtt._accepting, "it drains")
            assert not draining.done()
        answers = await wire.rest()
        await wire.close()
        await asyncio.wait_for(draining, PATIENCE)
    assert answers[:2] == [Puback(1), Puback(2)]
    codes = [each.reason_code for each in answers[2:]]  # type: ignore[attr-defined]
    assert codes == ([ReasonCode.SERVER_SHUTTING_DOWN] if version == 5 else [])
    events = await house.events(4)
    assert [event.subject for event in events] == ["connection", "telemetry", "telemetry", "connection"]


async def test_a_drain_does_not_wait_for_clients_that_do_not_close(house: House, secrets: Mapping[str, str]) -> None:
    """Half-closed and told why, they are cut after a moment."""
    async with connected(house, "device1", secrets["device1"]) as wire:
        await asyncio.wait_for(house.mqtt.drain(), PATIENCE)
        assert house.mqtt.open_connections == 0
        (disconnect,) = await wire.rest()
    assert isinstance(disconnect, Disconnect)


async def test_nobody_comes_in_while_it_drains(house: House, secrets: Mapping[str, str]) -> None:
    disk = Disk(house)
    early = await Wire.open(house.mqtt.port)
    await until(lambda: house.mqtt.open_connections, "it is open")
    async with connected(house, "device1", secrets["device1"]) as wire:
        with disk.held():
            wire.send(telemetry(1))
            await until(lambda: disk.waiting, "it waits for the disk")
            draining = asyncio.create_task(house.mqtt.drain())
            assert await early.rest() == []
            with pytest.raises(ConnectionError):
                await Wire.open(house.mqtt.port)
        await wire.rest()
        await wire.close()
        await asyncio.wait_for(draining, PATIENCE)


@both_versions
async def test_a_drain_while_a_password_is_checked(house: House, version: int) -> None:
    wire = await Wire.open(house.mqtt.port, version)
    wire.send(wire.connect_packet("device1@app1", "foo"))
    await until(lambda: house.mqtt._tasks, "the password is being checked")
    draining = asyncio.create_task(house.mqtt.drain())
    answers = await wire.rest()
    await wire.close()
    await asyncio.wait_for(draining, PATIENCE)
    (connack,) = answers
    assert isinstance(connack, Connack)
    assert connack.reason_code == {4: 3, 5: ReasonCode.SERVER_UNAVAILABLE}[version]
    assert house.mqtt.connected_devices == 0


async def test_will_when_the_platform_stops(house: House, secrets: Mapping[str, str]) -> None:
    """[MQTT-3.1.2-8]: the end was not the client's DISCONNECT."""
    async with connected(house, "device1", secrets["device1"], will=Will("bye", b"1")) as wire:
        draining = asyncio.create_task(house.mqtt.drain())
        await wire.rest()
        await wire.close()
        await draining
    assert [event.subject for event in await house.events(3)] == ["connection", "bye", "connection"]


async def test_stop_cuts_what_a_drain_left(house: House, secrets: Mapping[str, str]) -> None:
    disk = Disk(house)
    async with connected(house, "device1", secrets["device1"]) as wire:
        with disk.held():
            wire.send(telemetry(1))
            await until(lambda: disk.waiting, "it waits for the disk")
            draining = asyncio.create_task(house.mqtt.drain())
            await asyncio.sleep(0)
            draining.cancel()
            await house.mqtt.stop()
            await wire.rest()
        await until(lambda: not house.mqtt.open_connections, "it is cut")
    assert not house.mqtt._tasks


async def test_a_drain_without_connections(house: House) -> None:
    await house.mqtt.drain()
    await house.mqtt.stop()
    assert house.mqtt.health() is not None
