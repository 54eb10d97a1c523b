# SPDX-License-Identifier: Apache-2.0
"""The memory of sign-in look-ups: short, bounded, and never older than a revocation."""

from __future__ import annotations

from freehold.identity.models import Principal, Via
from freehold.identity.remembered import SECONDS, Remembered
from tests.identity.conftest import Clock

SOMEBODY = Principal("tenant", "person", "name", Via.TOKEN, frozenset())


def test_it_remembers_for_a_few_seconds() -> None:
    clock = Clock()
    memory = Remembered(clock.seconds)
    memory.put(b"key", SOMEBODY, memory.epoch)
    clock.pass_seconds(SECONDS - 0.01)
    assert memory.get(b"key") is SOMEBODY
    clock.pass_seconds(0.01)
    assert memory.get(b"key") is None


def test_what_it_never_heard_of_is_none() -> None:
    assert Remembered().get(b"key") is None


def test_it_forgets_at_once() -> None:
    memory = Remembered()
    memory.put(b"key", SOMEBODY, memory.epoch)
    memory.forget()
    assert memory.get(b"key") is None


def test_a_query_that_a_revocation_overtook_is_not_remembered() -> None:
    memory = Remembered()
    before_the_query = memory.epoch
    memory.forget()
    memory.put(b"key", SOMEBODY, before_the_query)
    assert memory.get(b"key") is None


def test_it_is_bounded_and_the_oldest_leaves() -> None:
    memory = Remembered(size=3)
    for key in (b"a", b"b", b"c", b"d"):
        memory.put(key, SOMEBODY, memory.epoch)
    assert [memory.get(key) is not None for key in (b"a", b"b", b"c", b"d")] == [False, True, True, True]
