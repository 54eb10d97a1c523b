# SPDX-License-Identifier: Apache-2.0
"""Silence: before CONNECT, past the keep alive, and of peers that are gone without a word."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping

import pytest

from freehold.connect.mqtt.codec import Disconnect, ReasonCode, Will, encode
from tests.connect.mqtt.conftest import OpenHouse
from tests.connect.mqtt.disk import Disk
from tests.connect.mqtt.wire import Wire, connected, telemetry, until
from tests.contract.house import House

both_versions = pytest.mark.parametrize("version", [4, 5], ids=["v311", "v5"])


def later(house: House, seconds: float) -> None:
    """Put the endpoint's clock forward."""
    loop = house.mqtt.loop
    house.mqtt.now = lambda: loop.time() + seconds


async def test_a_connection_that_says_nothing(open_house: OpenHouse) -> None:
    house = await open_house({"mqtt.connect_timeout_seconds": 0.1})
    wire = await Wire.open(house.mqtt.port)
    assert await wire.rest() == []
    assert (house.mqtt.numbers.timed_out, house.mqtt.numbers.cut) == (1, 1)
    assert house.mqtt.open_connections == 0


async def test_a_connect_that_comes_in_drops_has_no_more_time(house: House, secrets: Mapping[str, str]) -> None:
    wire = await Wire.open(house.mqtt.port)
    hello = encode(wire.connect_packet("device1@app1", secrets["device1"]), 5)
    for position, byte in enumerate(hello[:-1]):
        later(house, position * 14 / len(hello))
        wire.send_bytes(bytes((byte,)))
        await wire.flush()
    await until(lambda: house.mqtt.open_connections, "it is open")
    (connection,) = house.mqtt._connections
    later(house, 16)
    assert connection.overdue(house.mqtt.now())
    assert await wire.rest() == []


@both_versions
async def test_keep_alive(house: House, secrets: Mapping[str, str], version: int) -> None:
    will = Will("bye", b"1")
    async with connected(house, "device1", secrets["device1"], version, keep_alive=10, will=will) as wire:
        (connection,) = house.mqtt._connections
        later(house, 14.9)
        assert not connection.overdue(house.mqtt.now())
        later(house, 16)
        answers = await wire.rest()
    if version == 5:
        (disconnect,) = answers
        assert isinstance(disconnect, Disconnect)
        assert disconnect.reason_code == ReasonCode.KEEP_ALIVE_TIMEOUT
    else:
        assert answers == []
    assert house.mqtt.numbers.timed_out == 1
    assert [event.subject for event in await house.events(3)] == ["connection", "bye", "connection"]


@both_versions
@pytest.mark.parametrize("sign", [b"\xc0\x00", encode(telemetry(0), 4), b"\xc0"], ids=["ping", "publish", "part"])
async def test_any_sign_of_life_counts(house: House, secrets: Mapping[str, str], version: int, sign: bytes) -> None:
    async with connected(house, "device1", secrets["device1"], version, keep_alive=10) as wire:
        (connection,) = house.mqtt._connections
        later(house, 14)
        before = connection.last_seen
        wire.send_bytes(sign if version == 4 or len(sign) < 3 else encode(telemetry(0), 5))
        await until(lambda: connection.last_seen > before, "it was heard")
        later(house, 20)
        assert not connection.overdue(house.mqtt.now())


@pytest.mark.parametrize("asked", [0, 7200, 65_535])
async def test_version_5_is_told_the_longest_keep_alive(house: House, secrets: Mapping[str, str], asked: int) -> None:
    wire = await Wire.open(house.mqtt.port)
    connack = await wire.connect("device1@app1", secrets["device1"], keep_alive=asked)
    assert connack.properties.server_keep_alive == house.settings.mqtt.max_keep_alive_seconds
    (connection,) = house.mqtt._connections
    assert connection.keep_alive == house.settings.mqtt.max_keep_alive_seconds * 1.5
    await wire.close()


async def test_version_5_that_asks_for_less_is_told_nothing(house: House, secrets: Mapping[str, str]) -> None:
    wire = await Wire.open(house.mqtt.port)
    connack = await wire.connect("device1@app1", secrets["device1"], keep_alive=60)
    assert connack.properties.server_keep_alive is None
    await wire.close()


async def test_version_3_1_1_without_keep_alive_stays(house: House, secrets: Mapping[str, str]) -> None:
    async with connected(house, "device1", secrets["device1"], 4, keep_alive=0) as wire:
        (connection,) = house.mqtt._connections
        assert not connection.overdue(house.mqtt.now() + 1e9)
        assert await wire.silent()


async def test_the_kernel_asks_peers_that_are_silent_for_long(house: House, secrets: Mapping[str, str]) -> None:
    """A device without keep alive that lost its power is found by TCP, which accepted sockets inherit."""
    async with connected(house, "device1", secrets["device1"], 4):
        (connection,) = house.mqtt._connections
        assert connection._transport is not None
        own = connection._transport.get_extra_info("socket")
        assert own.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        idle = own.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
        assert idle == house.settings.mqtt.max_keep_alive_seconds


async def test_waiting_for_the_disk_is_no_silence_of_the_client(
    open_house: OpenHouse, secrets: Mapping[str, str]
) -> None:
    house = await open_house({"mqtt.receive_maximum": 1})
    disk = Disk(house)
    async with connected(house, "device1", secrets["device1"], 4, keep_alive=1) as wire:
        with disk.held():
            wire.send(telemetry(1), telemetry(2))
            (connection,) = house.mqtt._connections
            await until(lambda: not connection._reading, "it is held back")
            assert not connection.overdue(house.mqtt.now() + 1000)
        await wire.receive_many(2)
        await until(lambda: connection._reading, "it is read again")
        assert connection.overdue(house.mqtt.now() + 1000)


async def test_the_sweep_ends_only_who_is_overdue(house: House, secrets: Mapping[str, str]) -> None:
    async with (
        connected(house, "device1", secrets["device1"], keep_alive=1) as short,
        connected(house, "device2", secrets["device2"], keep_alive=100) as long,
    ):
        later(house, 10)
        await short.rest()
        assert await long.silent()
    await asyncio.sleep(0)
    assert house.mqtt.numbers.timed_out == 1
