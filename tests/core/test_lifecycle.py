# SPDX-License-Identifier: Apache-2.0
"""Components start in order and end in reverse, whatever one of them does."""

from __future__ import annotations

import asyncio

import pytest

from freehold.core.lifecycle import Component, ComponentFailed, Lifecycle

HANG = 60.0


class Part:
    """A component that notes what happens to it, and misbehaves in the steps that it is told."""

    def __init__(self, name: str, notes: list[str], **misbehaviour: BaseException | float) -> None:
        self._name, self._notes, self._misbehaviour = name, notes, misbehaviour

    @property
    def name(self) -> str:
        return self._name

    async def _step(self, step: str) -> None:
        self._notes.append(f"{step} {self._name}")
        what = self._misbehaviour.get(step)
        if isinstance(what, BaseException):
            raise what
        await asyncio.sleep(what or 0)

    async def start(self) -> None:
        await self._step("start")

    async def drain(self) -> None:
        await self._step("drain")

    async def stop(self) -> None:
        await self._step("stop")

    def health(self) -> str | None:
        return "is ill" if "ill" in self._misbehaviour else None


def _lifecycle(*parts: Part, drain_seconds: float = HANG) -> Lifecycle:
    return Lifecycle(parts, drain_seconds)


async def test_start_in_order_drain_and_stop_in_reverse() -> None:
    notes: list[str] = []
    life = _lifecycle(Part("a", notes), Part("b", notes), Part("c", notes))
    ready = [life.ready]
    await life.start()
    ready.append(life.ready)
    assert notes == ["start a", "start b", "start c"]
    notes.clear()
    await life.stop()
    assert [*ready, life.ready] == [False, True, False]
    # All drain before any stops: what is behind must still be there for what flows out.
    assert notes == ["drain c", "drain b", "drain a", "stop c", "stop b", "stop a"]


def test_the_parts_of_these_tests_are_components() -> None:
    assert isinstance(Part("a", []), Component)
    assert not isinstance(object(), Component)


@pytest.mark.parametrize("cause", [ValueError("no disk"), OSError(98, "address in use"), KeyError("k")])
async def test_a_component_that_fails_names_itself(cause: Exception) -> None:
    notes: list[str] = []
    life = _lifecycle(Part("a", notes), Part("connect.mqtt", notes, start=cause), Part("c", notes))
    with pytest.raises(ComponentFailed, match=r"^connect\.mqtt failed to start: ") as failed:
        await life.start()
    assert failed.value.component == "connect.mqtt"
    assert failed.value.cause is cause
    assert failed.value.__cause__ is cause
    assert notes == ["start a", "start connect.mqtt", "drain a", "stop a"]
    assert not life.ready


async def test_nothing_is_ended_twice() -> None:
    notes: list[str] = []
    life = _lifecycle(Part("a", notes), Part("b", notes, start=ValueError()))
    with pytest.raises(ComponentFailed):
        await life.start()
    notes.clear()
    await life.stop()
    assert notes == []


async def test_it_can_be_started_again() -> None:
    notes: list[str] = []
    life = _lifecycle(Part("a", notes))
    for _ in range(2):
        await life.start()
        await life.stop()
    assert notes == ["start a", "drain a", "stop a"] * 2


@pytest.mark.parametrize("step", ["drain", "stop"])
@pytest.mark.parametrize("cause", [ValueError("broken"), asyncio.CancelledError(), TimeoutError()])
async def test_one_that_fails_to_end_keeps_no_other_from_it(
    step: str, cause: BaseException, capsys: pytest.CaptureFixture[str]
) -> None:
    notes: list[str] = []
    life = _lifecycle(Part("a", notes), Part("bad", notes, **{step: cause}), Part("c", notes))
    await life.start()
    notes.clear()
    await life.stop()
    assert notes == ["drain c", "drain bad", "drain a", "stop c", "stop bad", "stop a"]
    said = capsys.readouterr()
    assert "component did not end well" in said.out + said.err
    assert "bad" in said.out + said.err


@pytest.mark.parametrize("step", ["drain", "stop"])
async def test_one_that_hangs_is_given_up(step: str) -> None:
    notes: list[str] = []
    life = _lifecycle(Part("a", notes), Part("slow", notes, **{step: 10 * HANG}), Part("c", notes), drain_seconds=0.05)
    await life.start()
    notes.clear()
    async with asyncio.timeout(HANG):
        await life.stop()
    assert notes == ["drain c", "drain slow", "drain a", "stop c", "stop slow", "stop a"]


async def test_who_is_cancelled_while_starting_ends_what_was_started() -> None:
    notes: list[str] = []
    life = _lifecycle(Part("a", notes), Part("slow", notes, start=10 * HANG))
    starting = asyncio.create_task(life.start())
    while "start slow" not in notes:
        await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert notes == ["start a", "start slow", "drain a", "stop a"]


async def test_who_is_cancelled_while_ending_is_cancelled() -> None:
    """The second Ctrl-C: no component may swallow it."""
    notes: list[str] = []
    life = _lifecycle(Part("a", notes), Part("slow", notes, drain=10 * HANG))
    await life.start()
    ending = asyncio.create_task(life.stop())
    while "drain slow" not in notes:
        await asyncio.sleep(0)
    ending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await ending
    assert "stop a" not in notes


async def test_health_is_asked_of_every_component() -> None:
    life = _lifecycle(Part("a", []), Part("b", [], ill=1.0))
    assert life.health() == {"a": None, "b": "is ill"}
