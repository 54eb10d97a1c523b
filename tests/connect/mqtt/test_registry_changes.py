# SPDX-License-Identifier: Apache-2.0
"""A change in the registry reaches connections that are open: busy, idle, held; told by the bus or found."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack

import pytest

from freehold.connect.interfaces import Session
from freehold.connect.mqtt import endpoint as endpoint_module
from freehold.connect.mqtt.codec import Disconnect, Packet, Puback, ReasonCode
from tests.connect.mqtt.conftest import OpenHouse
from tests.connect.mqtt.disk import Disk
from tests.connect.mqtt.wire import connected, telemetry, until
from tests.contract.house import TENANT, House

both_versions = pytest.mark.parametrize("version", [4, 5], ids=["v311", "v5"])


async def disable_device(house: House) -> None:
    await house.put_device("device1", core={"disabled": True}, **kept(house))


async def disable_application(house: House) -> None:
    await house.put_application(spec={"core": {"disabled": True}})


async def break_core(house: House) -> None:
    await house.put_application(spec={"core": "nonsense"})


async def delete_device(house: House) -> None:
    await house.delete_device("device1")


async def delete_application(house: House) -> None:
    await house.delete_application()


async def change_password(house: House) -> None:
    await house.put_device("device1", password="another")


async def remove_credentials(house: House) -> None:
    await house.put_device("device1")


async def replace_device(house: House) -> None:
    """Deleted and made again under its name, with the same password: it is another device."""
    await house.delete_device("device1")
    await house.add_device("device1", password="foo")


async def unknown_dialect(house: House) -> None:
    await house.put_application(spec={"mqtt": {"dialect": {"type": "unheard-of"}}})


def kept(house: House) -> dict[str, object]:
    """The spec of device1 with its credentials, as the API shows it."""
    spec = house.registry.get_device(TENANT, "app1", "device1").spec
    return {name: value for name, value in spec.items() if name != "core"}


Change = Callable[[House], Awaitable[None]]
WITHDRAWN: list[Change] = [
    disable_device,
    disable_application,
    break_core,
    delete_device,
    delete_application,
    change_password,
    remove_credentials,
    replace_device,
    unknown_dialect,
]
each_change = pytest.mark.parametrize("change", WITHDRAWN, ids=lambda change: change.__name__)


def assert_revoked(answers: list[Packet], version: int) -> None:
    if version != 5:
        assert answers == []
        return
    (disconnect,) = answers
    assert isinstance(disconnect, Disconnect)
    assert disconnect.reason_code == ReasonCode.NOT_AUTHORIZED
    assert "device.access.revoked" in (disconnect.properties.reason_string or "")


@both_versions
@each_change
async def test_idle_connection_whose_access_is_withdrawn(house: House, version: int, change: Change) -> None:
    uid = house.uid_of_application()
    async with connected(house, "device1", "foo", version) as wire:
        await change(house)
        assert_revoked(await wire.rest(), version)
    events = await house.events_of(uid, 2)
    assert [event.data for event in events] == [b'{"connected":true}', b'{"connected":false}']


async def test_change_that_nobody_told_of(open_house: OpenHouse) -> None:
    """The bus may lose a message: the directory finds the change by looking."""
    house = await open_house(told=False)
    async with connected(house, "device1", "foo") as wire:
        await disable_device(house)
        assert_revoked(await wire.rest(), 5)


@both_versions
@each_change
async def test_busy_connection_whose_access_is_withdrawn(house: House, version: int, change: Change) -> None:
    """What was acknowledged is stored, nothing is stored that came after, and the burst ends."""
    uid = house.uid_of_application()
    async with connected(house, "device1", "foo", version) as wire:
        answers: list[Packet] = []

        async def burst() -> None:
            number = 0
            try:
                while True:
                    number = number % 65_535 + 1
                    wire.send(telemetry(number, b"%d" % number))
                    answers.append(await wire.receive())
            except EOFError:
                return

        running = asyncio.create_task(burst())
        await until(lambda: len(answers) > 20, "the burst is running")
        await change(house)
        await running
    acknowledged = [each.packet_id for each in answers if isinstance(each, Puback)]
    assert acknowledged == list(range(1, len(acknowledged) + 1))
    assert_revoked([each for each in answers if not isinstance(each, Puback)], version)
    events = await house.events_of(uid, len(acknowledged) + 2)
    numbers = [int(event.data) for event in events if event.subject == "telemetry"]
    assert numbers[: len(acknowledged)] == acknowledged
    assert len(numbers) <= len(acknowledged) + 1  # the one that was sent and never answered
    assert events[-1].data == b'{"connected":false}'


async def test_withdrawn_while_answers_are_under_way(house: House, secrets: Mapping[str, str]) -> None:
    disk = Disk(house)
    async with connected(house, "device1", secrets["device1"]) as wire:
        with disk.held():
            wire.send(telemetry(1), telemetry(2))
            await until(lambda: disk.waiting, "they wait for the disk")
            await disable_application(house)
            wire.send(telemetry(3))
            disk.release()
            answers = await wire.rest()
    assert answers[:2] == [Puback(1), Puback(2)]
    assert_revoked(answers[2:], 5)


@both_versions
async def test_changes_that_take_nothing_away(house: House, secrets: Mapping[str, str], version: int) -> None:
    async with connected(house, "device1", secrets["device1"], version) as wire:
        for number in range(1, 6):
            await house.put_application(spec={"note": number})
            await house.put_device("device1", note=number, **kept_without_note(house))
            wire.send(telemetry(number))
            assert await wire.receive() == Puback(number)


def kept_without_note(house: House) -> dict[str, object]:
    return {name: value for name, value in kept(house).items() if name != "note"}


async def test_another_password_beside_the_old_one_takes_nothing_away(house: House) -> None:
    async with connected(house, "device1", "foo") as wire:
        await house.secret("device1")
        assert await wire.silent()
        wire.send(telemetry(1))
        assert await wire.receive() == Puback(1)


async def test_dialect_changes_on_an_open_connection(house: House, secrets: Mapping[str, str]) -> None:
    async with connected(house, "device1", secrets["device1"]) as wire:

        async def code(topic: str) -> int:
            wire.send(telemetry(1, topic=topic))
            return int((await wire.receive()).reason_code)  # type: ignore[attr-defined]

        assert [await code("a"), await code("a/b/c")] == [0, 0x90]
        await house.put_application(spec={"mqtt": {"dialect": {"type": "plainTopic"}}})
        assert [await code("a"), await code("a/b/c")] == [0, 0]
        await house.put_application(spec={"mqtt": {"dialect": {"type": "plainTopic", "devicePrefix": True}}})
        assert [await code("a"), await code("device1/b/c")] == [0x90, 0]
        await house.put_application()
        assert [await code("a"), await code("a/b/c")] == [0, 0x90]


async def test_gateway_that_is_removed_from_a_device(house: House, secrets: Mapping[str, str]) -> None:
    async with connected(house, "gw1", secrets["gw1"]) as wire:

        async def code() -> int:
            wire.send(telemetry(1, topic="telemetry/dev2"))
            return int((await wire.receive()).reason_code)  # type: ignore[attr-defined]

        assert await code() == 0
        await house.put_device("dev2")
        assert await code() == 0x87
        await house.put_device("dev2", gatewaySelector={"matchNames": ["other", "gw1"]})
        assert await code() == 0
        await house.put_device("dev2", gatewaySelector={"matchNames": ["gw1"]}, core={"disabled": True})
        assert await code() == 0x87
        await house.delete_device("dev2")
        assert await code() == 0x87


async def test_a_change_of_one_device_does_not_disturb_another(house: House, secrets: Mapping[str, str]) -> None:
    async with (
        connected(house, "device1", secrets["device1"]) as one,
        connected(house, "device2", secrets["device2"]) as two,
    ):
        await house.put_device("device2", core={"disabled": True})
        assert_revoked(await two.rest(), 5)
        assert await one.silent()


async def test_registry_that_fails_while_connected(house: House, secrets: Mapping[str, str]) -> None:
    """Who cannot be checked may not go on."""
    async with connected(house, "device1", secrets["device1"]) as wire:
        with house.database.write() as connection:
            connection.exec_driver_sql("ALTER TABLE device_secrets RENAME TO gone")
        house.directory._live.touch("app1", None)
        house.mqtt._registry_changed("app1", None)
        (disconnect,) = await wire.rest()
    assert isinstance(disconnect, Disconnect)
    assert "device.authentication.unavailable" in (disconnect.properties.reason_string or "")


async def test_a_change_of_an_application_is_looked_at_by_a_bounded_number_at_once(
    house: House, secrets: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint_module, "RENEWALS", 2)
    renew, most = house.gate.renew, 0

    async def counting(session: Session) -> Session:
        nonlocal most
        most = max(most, house.mqtt._renewing)
        return await renew(session)

    monkeypatch.setattr(house.gate, "renew", counting)
    async with AsyncExitStack() as stack:
        wires = [
            await stack.enter_async_context(connected(house, device, secret)) for device, secret in secrets.items()
        ]
        await disable_application(house)
        for wire in wires:
            assert_revoked(await wire.rest(), 5)
    assert len(wires) > 2
    assert most == 2
    assert not house.mqtt._changed
    await until(lambda: not house.mqtt._renewing, "nothing is left to do")
