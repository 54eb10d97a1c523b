# SPDX-License-Identifier: Apache-2.0
"""The life of a command in the database: states move forward only, and what is old goes."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freehold.commands import history as history_module
from freehold.commands.history import History
from freehold.commands.interfaces import Outcome, State
from freehold.commands.models import Record
from tests.commands.conftest import NOW

_numbers = itertools.count()


def record(**changes: object) -> Record:
    plain = Record(
        id=f"0199f8a0-0000-7000-8000-{next(_numbers):012d}",
        application_uid="u1",
        application="app1",
        device="device1",
        name="SET",
        content_type="application/json",
        size=2,
        state=State.ACCEPTED,
        created=NOW,
        expires=NOW + 30_000_000,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def sent(command: Record, sender: str = "device1", time: int = NOW + 5) -> Outcome:
    return Outcome(command.id, State.SENT, sender, "mqtt", time)


def acknowledged(command: Record, time: int = NOW + 9) -> Outcome:
    return Outcome(command.id, State.ACKNOWLEDGED, "device1", "mqtt", time)


def test_what_was_added_is_read_back(history: History) -> None:
    added = record()
    history.add(added)
    assert history.get("u1", added.id) == added


def test_a_command_of_another_application_is_not_there(history: History) -> None:
    added = record()
    history.add(added)
    assert history.get("u2", added.id) is None
    assert history.get("u1", "nothing") is None
    assert history.list("u2", device=None, before=None, limit=10) == []


def test_pages_come_newest_first(history: History) -> None:
    added = [record(device=f"d{number % 2}") for number in range(7)]
    for each in added:
        history.add(each)
    newest_first = added[::-1]
    page = history.list("u1", device=None, before=None, limit=3)
    assert list(page) == newest_first[:3]
    assert list(history.list("u1", device=None, before=page[-1].id, limit=10)) == newest_first[3:]
    assert list(history.list("u1", device="d1", before=None, limit=10)) == [r for r in newest_first if r.device == "d1"]


def test_sent_names_who_took_it_first(history: History) -> None:
    added = record()
    history.add(added)
    history.apply([sent(added, "gw1", NOW + 3), sent(added, "gw2", NOW + 4)])
    assert history.get("u1", added.id) == replace(added, state=State.SENT, sent=NOW + 3, sender="gw1", protocol="mqtt")


def test_acknowledged_after_sent(history: History) -> None:
    added = record()
    history.add(added)
    history.apply([sent(added), acknowledged(added), acknowledged(added, NOW + 20)])
    life = history.get("u1", added.id)
    assert life is not None
    assert (life.state, life.sent, life.acknowledged) == (State.ACKNOWLEDGED, NOW + 5, NOW + 9)


def test_expired_only_past_its_time_and_only_if_nobody_took_it(history: History) -> None:
    waiting, taken = record(), record()
    history.add(waiting)
    history.add(taken)
    history.apply([sent(taken)])
    assert history.expire(waiting.expires) == 0
    assert history.expire(waiting.expires + 1) == 1
    assert history.expire(waiting.expires + 1) == 0
    states = {each.id: each.state for each in history.list("u1", device=None, before=None, limit=10)}
    assert states == {waiting.id: State.EXPIRED, taken.id: State.SENT}


def test_a_report_that_comes_after_expiry_still_counts(history: History) -> None:
    added = record()
    history.add(added)
    history.expire(added.expires + 1)
    history.apply([sent(added)])
    life = history.get("u1", added.id)
    assert life is not None
    assert life.state is State.SENT


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.permutations(["sent", "again", "acknowledged", "expire"]))
def test_in_whatever_order_reports_come_the_end_is_the_same(history: History, order: list[str]) -> None:
    added = record()
    history.add(added)
    for step in order:
        if step == "expire":
            history.expire(added.expires + 1)
        else:
            history.apply([acknowledged(added) if step == "acknowledged" else sent(added)])
    life = history.get("u1", added.id)
    assert life is not None
    assert life.state is State.ACKNOWLEDGED
    assert life.acknowledged == NOW + 9
    assert life.sent is not None


def test_a_report_about_an_unknown_command_changes_nothing(history: History) -> None:
    added = record()
    history.add(added)
    history.apply([Outcome("nobody", State.SENT, "x", "mqtt", NOW)])
    assert history.get("u1", added.id) == added


def test_retention_by_age(history: History) -> None:
    old, new = record(created=NOW - 10), record(created=NOW)
    history.add(old)
    history.add(new)
    assert history.retain(NOW) == 1
    assert history.get("u1", old.id) is None
    assert history.get("u1", new.id) == new


def test_retention_by_number_is_for_each_application(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "KEPT", 3)
    mine = [record() for _ in range(5)]
    other = [record(application_uid="u2") for _ in range(3)]
    for each in mine + other:
        history.add(each)
    assert history.retain(0) == 2
    assert list(history.list("u1", device=None, before=None, limit=10)) == mine[:1:-1]
    assert list(history.list("u2", device=None, before=None, limit=10)) == other[::-1]


def test_forgetting_an_application_leaves_the_others(history: History) -> None:
    mine, other = record(), record(application_uid="u2")
    history.add(mine)
    history.add(other)
    assert history.forget("u1") == 1
    assert history.get("u1", mine.id) is None
    assert history.get("u2", other.id) == other
