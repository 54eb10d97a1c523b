# SPDX-License-Identifier: Apache-2.0
"""Which inbox gets which command (drogue.md 3.5, 1.2, 1.3; checks 22, 24, 36, 37; advice A-6)."""

from __future__ import annotations

import msgspec
import pytest

from freehold.commands.interfaces import Command, Filter, Outcome, State
from freehold.commands.router import BusRouter
from freehold.core.bus import COMMAND_DELIVER, COMMAND_OUTCOME, MemoryBus
from tests.commands.conftest import NOW, Clock


class Taker:
    """An inbox that notes what it gets."""

    def __init__(self, takes: bool = True) -> None:
        self.takes = takes
        self.got: list[str] = []

    def __call__(self, command: Command) -> bool:
        self.got.append(command.name)
        return self.takes


@pytest.fixture
def outcomes(bus: MemoryBus) -> list[Outcome]:
    seen: list[Outcome] = []
    bus.subscribe(COMMAND_OUTCOME, lambda message: seen.append(msgspec.msgpack.decode(message, type=Outcome)))
    return seen


def command(device: str, *gateways: str, application: str = "app1", expires: int = NOW + 1) -> Command:
    return Command("id-1", application, device, "SET", b"{}", "application/json", expires, gateways)


def send(bus: MemoryBus, what: Command) -> None:
    bus.publish(COMMAND_DELIVER, msgspec.msgpack.encode(what))


@pytest.mark.parametrize(
    ("wanted", "sent", "fits"),
    [
        (Filter("app1", "device1"), command("device1"), True),
        (Filter("app1", "device1", "device1"), command("device1"), True),
        (Filter("app1", "gw1"), command("dev2", "gw1"), True),
        (Filter("app1", "gw1", "dev2"), command("dev2", "gw1"), True),
        (Filter("app1", "gw1", "gw1"), command("gw1"), True),
        # own commands only, other devices, other applications, gateways that are not one of this device
        (Filter("app1", "gw1", "gw1"), command("dev2", "gw1"), False),
        (Filter("app1", "gw1", "dev3"), command("dev2", "gw1"), False),
        (Filter("app1", "gw2"), command("dev2", "gw1"), False),
        (Filter("app1", "device1"), command("dev2"), False),
        (Filter("app2", "device1"), command("device1"), False),
        (Filter("app1", "device1", "dev2"), command("dev2"), False),
    ],
)
def test_which_inbox_a_command_fits(
    router: BusRouter, bus: MemoryBus, outcomes: list[Outcome], wanted: Filter, sent: Command, fits: bool
) -> None:
    taker = Taker()
    router.open(wanted, taker, "mqtt")
    send(bus, sent)
    assert taker.got == (["SET"] if fits else [])
    assert outcomes == ([Outcome("id-1", State.SENT, wanted.sender, "mqtt", NOW)] if fits else [])


def test_a_command_reaches_the_device_and_its_gateways(
    router: BusRouter, bus: MemoryBus, outcomes: list[Outcome]
) -> None:
    takers = [Taker(), Taker(), Taker()]
    for taker, sender in zip(takers, ("dev2", "gw1", "gw2"), strict=True):
        router.open(Filter("app1", sender), taker, "http")
    send(bus, command("dev2", "gw1", "gw2", "dev2"))
    assert [taker.got for taker in takers] == [["SET"]] * 3
    assert [outcome.sender for outcome in outcomes] == ["dev2", "gw1", "gw2"]


def test_drogue_24_a_command_sent_before_the_inbox_opens_is_not_kept(router: BusRouter, bus: MemoryBus) -> None:
    send(bus, command("device1"))
    taker = Taker()
    router.open(Filter("app1", "device1"), taker, "http")
    assert taker.got == []


def test_a_closed_inbox_gets_nothing_and_closing_twice_does_no_harm(router: BusRouter, bus: MemoryBus) -> None:
    first, second = Taker(), Taker()
    inbox = router.open(Filter("app1", "device1"), first, "http")
    router.open(Filter("app1", "device1"), second, "http")
    inbox.close()
    inbox.close()
    send(bus, command("device1"))
    assert (first.got, second.got) == ([], ["SET"])


def test_the_last_inbox_leaves_nothing_behind(router: BusRouter) -> None:
    inboxes = [router.open(Filter("app1", f"d{number}"), Taker(), "http") for number in range(100)]
    for inbox in inboxes:
        inbox.close()
    assert not router._inboxes


def test_an_inbox_that_closes_its_neighbour_while_it_takes(router: BusRouter, bus: MemoryBus) -> None:
    second = Taker()

    def take_and_close(_: Command) -> bool:
        first_inbox.close()
        second_inbox.close()
        return True

    first_inbox = router.open(Filter("app1", "device1"), take_and_close, "http")
    second_inbox = router.open(Filter("app1", "device1"), second, "http")
    send(bus, command("device1"))
    assert second.got == []
    assert router.delivered == 1


def test_what_an_inbox_cannot_take_is_not_reported_as_sent(
    router: BusRouter, bus: MemoryBus, outcomes: list[Outcome]
) -> None:
    full = Taker(takes=False)
    router.open(Filter("app1", "device1"), full, "mqtt")
    send(bus, command("device1"))
    assert full.got == ["SET"]
    assert outcomes == []


def test_an_inbox_that_fails_does_not_keep_the_next_from_its_command(
    router: BusRouter, bus: MemoryBus, outcomes: list[Outcome]
) -> None:
    def fail(_: Command) -> bool:
        raise RuntimeError("broken connection")

    taker = Taker()
    router.open(Filter("app1", "device1"), fail, "mqtt")
    router.open(Filter("app1", "device1"), taker, "http")
    send(bus, command("device1"))
    assert taker.got == ["SET"]
    assert [outcome.protocol for outcome in outcomes] == ["http"]


def test_expired_commands_are_not_delivered(router: BusRouter, bus: MemoryBus, clock: Clock) -> None:
    taker = Taker()
    router.open(Filter("app1", "device1"), taker, "http")
    late = command("device1", expires=NOW + 1_000_000)
    clock.forward(1.1)
    send(bus, late)
    assert taker.got == []
    assert router.late == 1


def test_acknowledgement_is_reported(router: BusRouter, outcomes: list[Outcome]) -> None:
    router.acknowledged(command("device1"), "gw1", "mqtt")
    assert outcomes == [Outcome("id-1", State.ACKNOWLEDGED, "gw1", "mqtt", NOW)]


@pytest.mark.parametrize("message", [b"", b"\xc1", b"not msgpack", msgspec.msgpack.encode({"id": 1})])
def test_rubbish_on_the_bus_is_dropped(router: BusRouter, bus: MemoryBus, message: bytes) -> None:
    taker = Taker()
    router.open(Filter("app1", "device1"), taker, "http")
    bus.publish(COMMAND_DELIVER, message)
    send(bus, command("device1"))
    assert taker.got == ["SET"]


async def test_after_drain_nothing_arrives(router: BusRouter, bus: MemoryBus) -> None:
    taker = Taker()
    router.open(Filter("app1", "device1"), taker, "http")
    await router.drain()
    send(bus, command("device1"))
    assert taker.got == []
    assert router.health() is None
