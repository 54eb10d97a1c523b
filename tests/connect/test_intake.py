# SPDX-License-Identifier: Apache-2.0
"""The door to the log: quota, refusals passed on, numbers."""

from __future__ import annotations

import pytest

from freehold.connect.intake import LogIntake
from freehold.connect.interfaces import Session
from freehold.core.errors import LOG_UNAVAILABLE, OVERLOADED, FreeholdError
from freehold.core.metrics import MetricSet
from freehold.core.settings import Limits
from freehold.events.models import Event
from tests.connect.doubles import Clock, Directory, MemoryLog, presented

directory = Directory()
ONE = directory.add("device1", "foo")
OTHER = directory.add("device1", "foo", application="app2")


def intake_of(log: MemoryLog, clock: Clock | None = None, per_second: int = 0) -> LogIntake:
    return LogIntake(log, "here", Limits(events_per_second=per_second), clock=clock or Clock())


def session(log: MemoryLog, device=ONE) -> Session:  # type: ignore[no-untyped-def]
    return Session(device, presented(), log.route(device.application.uid, "k"))


def events(intake: LogIntake, log: MemoryLog, number: int = 1, device=ONE) -> tuple[list, list[Event]]:  # type: ignore[no-untyped-def,type-arg]
    mine = session(log, device)
    made = [intake.event(mine, device, "c", None, b"%d" % each) for each in range(number)]
    return [mine.route] * number, made


async def test_what_is_submitted_reaches_the_log_as_it_was_made() -> None:
    log = MemoryLog()
    intake = intake_of(log)
    routes, made = events(intake, log, 3)
    await intake.submit(routes, made)
    assert log.events == made
    assert log.routes == routes
    assert intake.accepted == 3


async def test_an_empty_batch_passes_in_its_turn() -> None:
    log = MemoryLog()
    await intake_of(log, per_second=1).submit((), ())
    assert log.events == []


async def test_it_resolves_when_the_log_says_durable_and_not_before() -> None:
    log = MemoryLog()
    log.hold = True
    intake = intake_of(log)
    future = intake.submit(*events(intake, log))
    assert not future.done()
    log.release()
    await future


async def test_a_full_log_refuses_at_once_and_is_counted() -> None:
    log = MemoryLog()
    log.refusal = OVERLOADED.error()
    intake = intake_of(log)
    with pytest.raises(FreeholdError, match="overloaded"):
        intake.submit(*events(intake, log, 2))
    assert intake.refused == {"platform.overloaded": 2}
    assert intake.accepted == 0


async def test_a_failing_log_fails_the_future() -> None:
    log = MemoryLog()
    log.failure = LOG_UNAVAILABLE.error("disk full")
    intake = intake_of(log)
    with pytest.raises(FreeholdError, match="disk full"):
        await intake.submit(*events(intake, log))


async def test_payloads_and_channels_that_are_refused_are_counted_by_reason() -> None:
    log = MemoryLog()
    intake = intake_of(log)
    for channel, content_type in (("", None), ("c", "application/json"), ("c", "application/json")):
        with pytest.raises(FreeholdError):
            intake.event(session(log), ONE, channel, content_type, b"{")
    assert intake.refused == {"event.channel.invalid": 1, "event.payload.not-json": 2}


async def test_the_quota_of_an_application() -> None:
    log, clock = MemoryLog(), Clock()
    intake = intake_of(log, clock, per_second=3)
    await intake.submit(*events(intake, log, 3))
    with pytest.raises(FreeholdError) as caught:
        intake.submit(*events(intake, log))
    assert caught.value.refusal.code == "quota.exceeded"
    assert "limits.events_per_second" in caught.value.detail
    clock.now += 1 / 3
    await intake.submit(*events(intake, log))
    assert len(log.events) == 4


async def test_one_applications_quota_is_not_anothers() -> None:
    log = MemoryLog()
    intake = intake_of(log, per_second=1)
    await intake.submit(*events(intake, log, 5))
    await intake.submit(*events(intake, log, 1, OTHER))
    with pytest.raises(FreeholdError, match="quota"):
        intake.submit(*events(intake, log))


async def test_a_batch_of_two_applications_passes_whole_or_not_at_all() -> None:
    log = MemoryLog()
    intake = intake_of(log, per_second=2)
    await intake.submit(*events(intake, log, 2, OTHER))
    one, other = events(intake, log), events(intake, log, 1, OTHER)
    with pytest.raises(FreeholdError, match="quota"):
        intake.submit(one[0] + other[0], one[1] + other[1])
    assert len(log.events) == 2
    await intake.submit(*events(intake, log, 2))  # untouched by the refused batch


async def test_what_the_log_refuses_costs_no_quota() -> None:
    log = MemoryLog()
    intake = intake_of(log, per_second=2)
    log.refusal = OVERLOADED.error()
    for _ in range(10):
        with pytest.raises(FreeholdError, match="overloaded"):
            intake.submit(*events(intake, log))
    log.refusal = None
    await intake.submit(*events(intake, log, 2))


async def test_without_a_quota_nothing_is_counted_against_it() -> None:
    log = MemoryLog()
    intake = intake_of(log)
    for _ in range(200):
        await intake.submit(*events(intake, log, 5))
    assert len(log.events) == 1000


async def test_numbers() -> None:
    log = MemoryLog()
    intake, metrics = intake_of(log), MetricSet()
    intake.register(metrics)
    await intake.submit(*events(intake, log, 2))
    with pytest.raises(FreeholdError):
        intake.event(session(log), ONE, "", None, b"")
    page = metrics.exposition().decode()
    assert "freehold_events_accepted_total 2.0" in page
    assert 'freehold_events_refused_total{code="event.channel.invalid"} 1.0' in page
