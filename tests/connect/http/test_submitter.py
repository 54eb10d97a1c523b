# SPDX-License-Identifier: Apache-2.0
"""One submission for what arrives in one turn: in order, small, of one application, and everybody hears once."""

from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from freehold.connect.http import submitter as submitter_module
from freehold.connect.http.submitter import Submitter
from freehold.connect.intake import LogIntake
from freehold.connect.interfaces import Session
from freehold.core.errors import LOG_UNAVAILABLE, OVERLOADED, FreeholdError
from freehold.core.settings import Limits
from freehold.registry.interfaces import DeviceSnapshot
from tests.connect.doubles import Clock, Directory, MemoryLog, presented

directory = Directory()
ONE = directory.add("device1", "foo")
OTHER = directory.add("device1", "foo", application="app2")


class Bench:
    """A submitter over a log in memory; notes the sizes of submissions and who heard what."""

    def __init__(self, per_second: int = 0) -> None:
        self.log = MemoryLog()
        self.intake = LogIntake(self.log, "here", Limits(events_per_second=per_second), clock=Clock())
        self.submitter = Submitter(self.intake)
        self.heard: list[tuple[int, str | None]] = []
        self._count = 0

    def add(self, number: int = 1, device: DeviceSnapshot = ONE, payload: bytes = b"x") -> None:
        session = Session(device, presented(), self.log.route(device.application.uid, "k"))
        for _ in range(number):
            event = self.intake.event(session, device, f"c{self._count}", None, payload)
            self.submitter.submit(session.route, event, self._noting(self._count))
            self._count += 1

    def _noting(self, number: int):  # type: ignore[no-untyped-def]
        def done(failure: FreeholdError | None) -> None:
            self.heard.append((number, None if failure is None else failure.refusal.code))

        return done

    async def settle(self) -> None:
        for _ in range(4):
            await asyncio.sleep(0)

    @property
    def submissions(self) -> list[int]:
        return self.log.sizes


async def test_one_turn_is_one_submission_in_order() -> None:
    bench = Bench()
    bench.add(10)
    assert bench.submissions == []
    await bench.settle()
    assert bench.submissions == [10]
    assert [event.subject for event in bench.log.events] == [f"c{number}" for number in range(10)]
    assert bench.heard == [(number, None) for number in range(10)]


async def test_the_next_turn_is_the_next_submission() -> None:
    bench = Bench()
    for _ in range(3):
        bench.add(2)
        await bench.settle()
    assert bench.submissions == [2, 2, 2]


async def test_nobody_hears_before_the_log_says_durable() -> None:
    bench = Bench()
    bench.log.hold = True
    bench.add(3)
    await bench.settle()
    assert bench.heard == []
    bench.log.release()
    await bench.settle()
    assert len(bench.heard) == 3


async def test_submissions_stay_small_in_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submitter_module, "MOST_EVENTS", 4)
    bench = Bench()
    bench.add(10)
    await bench.settle()
    assert bench.submissions == [4, 4, 2]
    assert [event.subject for event in bench.log.events] == [f"c{number}" for number in range(10)]
    bench.add(8)
    await bench.settle()
    assert bench.submissions == [4, 4, 2, 4, 4]
    assert [number for number, _ in bench.heard] == list(range(18))


async def test_submissions_stay_small_in_bytes() -> None:
    bench = Bench()
    bench.add(3, payload=b"x" * 40_000)
    await bench.settle()
    assert bench.submissions == [2, 1]


async def test_applications_are_not_mixed() -> None:
    bench = Bench()
    bench.add(2)
    bench.add(1, OTHER)
    bench.add(1)
    await bench.settle()
    assert sorted(bench.submissions) == [1, 3]
    assert len(bench.heard) == 4


async def test_the_quota_of_one_application_refuses_nobody_else() -> None:
    bench = Bench(per_second=2)
    bench.add(3)
    await bench.settle()
    bench.heard.clear()
    bench.add(1)
    bench.add(1, OTHER)
    await bench.settle()
    assert bench.heard == [(3, "quota.exceeded"), (4, None)]


@pytest.mark.parametrize("failure", [LOG_UNAVAILABLE.error(), RuntimeError("bug")])
async def test_everybody_hears_of_a_failure(failure: Exception) -> None:
    bench = Bench()
    bench.log.failure = failure
    bench.add(3)
    await bench.settle()
    code = "log.unavailable" if isinstance(failure, FreeholdError) else "internal"
    assert bench.heard == [(number, code) for number in range(3)]


async def test_everybody_hears_of_a_refusal() -> None:
    bench = Bench()
    bench.log.refusal = OVERLOADED.error()
    bench.add(2)
    await bench.settle()
    assert bench.heard == [(0, "platform.overloaded"), (1, "platform.overloaded")]


async def test_everybody_hears_of_a_fault_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("bug")

    bench = Bench()
    monkeypatch.setattr(bench.intake, "submit", broken)
    bench.add(2)
    await bench.settle()
    assert bench.heard == [(0, "internal"), (1, "internal")]


async def test_everybody_hears_of_the_end() -> None:
    bench = Bench()
    bench.log.hold = True
    bench.add(2)
    await bench.settle()
    bench.log.cancel()
    await bench.settle()
    assert bench.heard == [(0, "internal"), (1, "internal")]


async def test_one_who_fails_to_hear_does_not_keep_the_next_from_it() -> None:
    bench = Bench()
    session = Session(ONE, presented(), bench.log.route("uid-app1", "k"))

    def broken(_: FreeholdError | None) -> None:
        raise RuntimeError("connection in a bad state")

    with capture_logs() as lines:
        bench.submitter.submit(session.route, bench.intake.event(session, ONE, "c", None, b"x"), broken)
        bench.add(1)
        await bench.settle()
    assert bench.heard == [(0, None)]
    assert [line["event"] for line in lines] == ["an answer could not be given"]


async def test_refusals_that_make_the_next_request_begin_do_not_pile_up() -> None:
    bench = Bench()
    bench.log.refusal = OVERLOADED.error()
    session = Session(ONE, presented(), bench.log.route("uid-app1", "k"))
    left = 20_000

    def begin_next(_: FreeholdError | None = None) -> None:
        nonlocal left
        for _ in range(2):  # each refusal makes two more begin: batches fill within one turn
            if left:
                left -= 1
                bench.submitter.submit(session.route, bench.intake.event(session, ONE, "c", None, b"x"), begin_next)

    begin_next()
    while left:
        await asyncio.sleep(0)
    await bench.settle()
    assert bench.intake.refused["platform.overloaded"] == 20_000
