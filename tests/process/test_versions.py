# SPDX-License-Identifier: Apache-2.0
"""Versions in a real database: numbers, what runs, what ran before, what is dropped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from freehold.core.database import METADATA, Database
from freehold.core.errors import FreeholdError
from freehold.process.tables import active, versions
from freehold.process.versions import Versions


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database.sqlite(tmp_path / "meta.db")
    METADATA.create_all(database.engine, tables=[versions, active])
    yield database
    database.close()


@pytest.fixture
def stored(database: Database) -> Versions:
    return Versions(database, keep=3)


def add(stored: Versions, application: str = "a", source: str = "s") -> int:
    version = stored.add(application, source=source, packages=["p"], resolved=["p==1"], author="me", note="why")
    return version.number


def running(stored: Versions, application: str = "a") -> int | None:
    found = stored.running(application)
    return None if found is None else found.version.number


def test_a_version_comes_back_as_it_was_put(stored: Versions) -> None:
    added = stored.add("a", source="def main…", packages=("p", "q"), resolved=("p==1",), author="me@x", note="Grüße")
    assert stored.all("a") == [added]
    assert (added.number, added.active, added.packages) == (1, False, ("p", "q"))
    stored.activate("a", 1)
    found = stored.running("a")
    assert found is not None
    assert found.resolved == ("p==1",)
    assert found.version.active


def test_numbers_grow_for_each_application_by_itself(stored: Versions) -> None:
    assert [add(stored), add(stored), add(stored, "b"), add(stored)] == [1, 2, 1, 3]


def test_newest_first(stored: Versions) -> None:
    for _ in range(3):
        add(stored)
    stored.activate("a", 2)
    assert [(version.number, version.active) for version in stored.all("a")] == [(3, False), (2, True), (1, False)]


def test_61_roll_back_in_one_step_and_forth(stored: Versions) -> None:
    add(stored)
    add(stored)
    stored.activate("a", 1)
    stored.activate("a", 2)
    assert stored.roll_back("a").number == 1
    assert running(stored) == 1
    assert stored.roll_back("a").number == 2
    assert running(stored) == 2


def test_activating_what_runs_keeps_the_way_back(stored: Versions) -> None:
    add(stored)
    add(stored)
    for number in (1, 2, 2):
        stored.activate("a", number)
    assert stored.roll_back("a").number == 1


def test_after_switching_off_roll_back_switches_on(stored: Versions) -> None:
    add(stored)
    stored.activate("a", 1)
    stored.deactivate("a")
    stored.deactivate("a")
    assert running(stored) is None
    version = stored.roll_back("a")
    assert (version.number, version.active) == (1, True)


def test_without_a_past_there_is_no_way_back(stored: Versions) -> None:
    for prepare in (lambda: None, lambda: add(stored), lambda: stored.activate("a", 1)):
        prepare()
        with pytest.raises(FreeholdError) as caught:
            stored.roll_back("a")
        assert caught.value.refusal.code == "resource.not-found"


@pytest.mark.parametrize("number", [0, -1, 2, 10**15])
def test_what_is_not_there_cannot_run(stored: Versions, number: int) -> None:
    add(stored)
    add(stored, "b")
    add(stored, "b")
    with pytest.raises(FreeholdError) as caught:
        stored.activate("a", number)
    assert caught.value.refusal.code == "resource.not-found"
    assert running(stored) is None


def test_old_versions_are_dropped_but_never_what_is_needed(stored: Versions) -> None:
    add(stored)
    add(stored)
    stored.activate("a", 1)
    stored.activate("a", 2)
    for _ in range(6):
        add(stored)
    assert [version.number for version in stored.all("a")] == [8, 7, 6, 2, 1]
    assert stored.roll_back("a").number == 1


def test_numbers_are_not_given_again(stored: Versions) -> None:
    for _ in range(10):
        last = add(stored)
    assert last == 10


def test_an_application_that_is_forgotten_begins_anew(stored: Versions) -> None:
    add(stored)
    stored.activate("a", 1)
    add(stored, "b")
    stored.forget("a")
    assert stored.all("a") == []
    assert running(stored) is None
    assert len(stored.all("b")) == 1
    assert add(stored) == 1


def test_two_processes_see_each_other(database: Database, tmp_path: Path) -> None:
    first, second = Versions(database, 3), Versions(Database.sqlite(tmp_path / "meta.db"), 3)
    add(first)
    assert add(second) == 2
    second.activate("a", 2)
    assert running(first) == 2
