# SPDX-License-Identifier: Apache-2.0
"""Accepting commands and following their life over the bus."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
import pytest

from freehold.commands.interfaces import Command, Filter, State
from freehold.commands.models import Record
from freehold.commands.router import BusRouter
from freehold.commands.service import NAME_LENGTH, CommandService
from freehold.core.bus import COMMAND_DELIVER, COMMAND_OUTCOME, MemoryBus
from freehold.core.database import Database
from freehold.core.errors import FreeholdError
from freehold.core.settings import Commands
from tests.commands.conftest import NOW, Clock, Devices

UID = "uid-app1"


async def send(service: CommandService, device: str = "device1", name: str = "SET", payload: bytes = b"{}") -> Record:
    return await service.send(UID, "app1", device, name, "application/json", payload)


async def until(service: CommandService, record: Record, state: State) -> Record:
    """The record as soon as it has `state`."""
    async with asyncio.timeout(10):
        while (life := await service.get(UID, record.id)).state is not state:
            await asyncio.sleep(0.01)
    return life


async def test_what_goes_over_the_bus(service: CommandService, bus: MemoryBus) -> None:
    seen: list[Command] = []
    bus.subscribe(COMMAND_DELIVER, lambda message: seen.append(msgspec.msgpack.decode(message, type=Command)))
    record = await service.send(UID, "app1", "dev2", "SET", "application/x+json", b' {"a": 1} ')
    assert seen == [
        Command(record.id, "app1", "dev2", "SET", b'{"a":1}', "application/json", NOW + 30_000_000, ("gw1",))
    ]
    assert record.state is State.ACCEPTED
    assert (record.content_type, record.size) == ("application/json", 7)


async def test_the_life_of_a_command(service: CommandService, router: BusRouter, clock: Clock) -> None:
    taken: list[Command] = []

    def take(command: Command) -> bool:
        taken.append(command)
        return True

    router.open(Filter("app1", "device1"), take, "mqtt")
    record = await send(service)
    clock.forward(1)
    life = await until(service, record, State.SENT)
    assert (life.sent, life.sender, life.protocol) == (NOW, "device1", "mqtt")
    router.acknowledged(taken[0], "device1", "mqtt")
    life = await until(service, record, State.ACKNOWLEDGED)
    assert life.acknowledged == NOW + 1_000_000


async def test_nobody_takes_it(service: CommandService, clock: Clock) -> None:
    record = await send(service)
    clock.forward(31)
    await service.expire_and_retain(retain=False)
    assert (await service.get(UID, record.id)).state is State.ACCEPTED  # its second of grace
    clock.forward(0.1)
    await service.expire_and_retain(retain=False)
    assert (await service.get(UID, record.id)).state is State.EXPIRED
    assert service.expired == 1


async def test_old_commands_leave(service: CommandService, clock: Clock) -> None:
    record = await send(service)
    clock.forward(31 * 86_400)
    await service.expire_and_retain(retain=True)
    with pytest.raises(FreeholdError, match="not-found"):
        await service.get(UID, record.id)


@pytest.mark.parametrize(
    ("declare", "device"),
    [
        (lambda devices: None, "nobody"),
        (lambda devices: devices.add("off", enabled=False), "off"),
        (lambda devices: devices.add("there", application="app2"), "there"),
    ],
)
async def test_drogue_56_devices_that_take_no_commands(
    service: CommandService, devices: Devices, declare: Callable[[Devices], object], device: str
) -> None:
    declare(devices)
    with pytest.raises(FreeholdError) as caught:
        await send(service, device)
    assert caught.value.refusal.code == "command.refused"
    assert caught.value.refusal.status == 406
    assert await service.list(UID) == []


async def test_a_disabled_application_takes_no_commands(service: CommandService, devices: Devices) -> None:
    devices.add("d", application="off", application_enabled=False)
    with pytest.raises(FreeholdError, match=r"command\.refused"):
        await service.send("uid-off", "off", "d", "SET", None, b"")


async def test_an_application_made_again_under_its_name_is_another(service: CommandService) -> None:
    with pytest.raises(FreeholdError, match=r"command\.refused"):
        await service.send("uid-of-the-old-one", "app1", "device1", "SET", None, b"")


@pytest.mark.parametrize("name", ["SET", "a/b/c", "grün", "with space", "x" * NAME_LENGTH])
async def test_names_that_every_protocol_can_carry(service: CommandService, name: str) -> None:
    assert (await send(service, name=name)).name == name


@pytest.mark.parametrize(
    "name", ["", "x" * (NAME_LENGTH + 1), "a\r\nb: c", "a\0", "a+", "#", "\ud800", "\x7f", "a\u2028"]
)
async def test_names_that_some_protocol_cannot_carry(service: CommandService, name: str) -> None:
    with pytest.raises(FreeholdError, match=r"request\.invalid"):
        await send(service, name=name)


async def test_declared_json_must_be_json(service: CommandService) -> None:
    with pytest.raises(FreeholdError, match="not-json"):
        await send(service, payload=b"{oops")


async def test_a_command_of_another_application_is_not_found(service: CommandService) -> None:
    record = await send(service)
    with pytest.raises(FreeholdError, match="not-found"):
        await service.get("uid-app2", record.id)


async def test_forgetting_an_application(service: CommandService) -> None:
    await send(service)
    assert await service.forget(UID) == 1
    assert await service.list(UID) == []


async def test_rubbish_reports_do_not_stop_the_next(service: CommandService, bus: MemoryBus, router: BusRouter) -> None:
    bus.publish(COMMAND_OUTCOME, b"\xc1rubbish")
    router.open(Filter("app1", "device1"), lambda _: True, "http")
    record = await send(service)
    await until(service, record, State.SENT)
    assert service.health() is None


async def test_reports_that_arrived_are_written_before_the_end(
    database: Database, bus: MemoryBus, devices: Devices, router: BusRouter, clock: Clock
) -> None:
    service = CommandService(database, bus, devices.by_name, Commands(), clock=clock)
    await service.start()
    router.open(Filter("app1", "device1"), lambda _: True, "http")
    records = [await send(service) for _ in range(20)]
    await service.drain()
    await service.stop()
    again = CommandService(database, bus, devices.by_name, Commands(), clock=clock)
    assert {record.state for record in await again.list(UID)} == {State.SENT}
    assert len(records) == 20


async def test_a_database_that_fails_is_named_and_recovered_from(
    service: CommandService, database: Database, router: BusRouter
) -> None:
    inbox = router.open(Filter("app1", "device1"), lambda _: True, "http")
    first = await send(service)
    await until(service, first, State.SENT)
    inbox.close()
    second = await send(service)
    with database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE commands RENAME TO hidden")
    router.acknowledged(Command(second.id, "app1", "device1", "SET", b"", "x", NOW), "device1", "mqtt")
    async with asyncio.timeout(10):
        while service.health() is None:
            await asyncio.sleep(0.01)
    with database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE hidden RENAME TO commands")
    router.acknowledged(Command(first.id, "app1", "device1", "SET", b"", "x", NOW), "device1", "mqtt")
    await until(service, first, State.ACKNOWLEDGED)
    assert service.health() is None
