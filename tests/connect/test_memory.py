# SPDX-License-Identifier: Apache-2.0
"""What the gate remembers: bounded, without secrets as keys, and only as long as it is true."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.connect import memory as memory_module
from freehold.connect.interfaces import Presented, Session
from freehold.connect.memory import REJECTION_SECONDS, SignInMemory
from tests.connect.doubles import Clock, Directory, MemoryLog, presented

directory = Directory()
any_text = st.text(max_size=6)
shown = st.builds(Presented, any_text, any_text, any_text, st.none() | any_text, st.just("address"))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def memory(clock: Clock) -> SignInMemory:
    return SignInMemory(clock)


def session(name: str = "device1") -> Session:
    return Session(directory.add(name, "foo"), presented(name), MemoryLog().route("uid-app1", "k"))


def test_a_session_is_kept_while_it_is_fresh(memory: SignInMemory) -> None:
    kept = session()
    memory.keep(b"d", kept)
    assert memory.session(b"d") is kept
    kept.device.stale = True
    assert memory.session(b"d") is None
    assert len(memory) == 0
    assert memory.session(b"other") is None


def test_a_session_is_not_kept_past_a_change_of_its_application(memory: SignInMemory) -> None:
    kept = session()
    memory.keep(b"d", kept)
    kept.device.application.stale = True
    assert memory.session(b"d") is None
    kept.device.application.stale = False


def test_a_refusal_is_remembered_for_a_minute(memory: SignInMemory, clock: Clock) -> None:
    assert not memory.was_rejected(b"d")
    memory.reject(b"d", memory.generation)
    assert memory.was_rejected(b"d")
    clock.now += REJECTION_SECONDS
    assert not memory.was_rejected(b"d")


def test_a_refusal_is_forgotten_with_the_next_change(memory: SignInMemory) -> None:
    memory.reject(b"d", memory.generation)
    memory.generation += 1
    assert not memory.was_rejected(b"d")


def test_a_refusal_that_a_change_overtook_is_not_remembered(memory: SignInMemory) -> None:
    before = memory.generation
    memory.generation += 1
    memory.reject(b"d", before)
    assert not memory.was_rejected(b"d")


def test_both_tables_are_bounded_and_forget_the_oldest(memory: SignInMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_module, "SESSIONS", 3)
    monkeypatch.setattr(memory_module, "REJECTIONS", 4)
    kept = session()
    for number in range(10):
        memory.keep(b"%d" % number, kept)
        memory.reject(b"%d" % number, 0)
    assert len(memory) == 7
    assert (memory.session(b"6"), memory.session(b"7")) == (None, kept)
    assert not memory.was_rejected(b"5")
    assert memory.was_rejected(b"6")


def test_what_is_refused_again_becomes_the_newest(memory: SignInMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_module, "REJECTIONS", 2)
    for digest in (b"a", b"b", b"a", b"c"):
        memory.reject(digest, 0)
    assert [memory.was_rejected(digest) for digest in (b"a", b"b", b"c")] == [True, False, True]


@given(shown, shown)
def test_no_two_presentations_are_remembered_as_one(one: Presented, other: Presented) -> None:
    memory = SignInMemory(Clock())
    same = one == other
    assert (memory.digest(one) == memory.digest(other)) == same


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (presented("a", "bc"), presented("ab", "c")),
        (presented("a", application="bc"), presented("ca", application="b")),
        (presented("a", "b", "c"), presented("a", "cb", "")),
        (presented("a", "b", ""), presented("a", "b", None)),
        (presented("a", "x\0y"), presented("a\0x", "y")),
        (presented("1 a"), presented("1", "a")),
        (presented("a", "\ud800"), presented("a", "\udc00")),
    ],
)
def test_presentations_that_are_nearly_one(memory: SignInMemory, one: Presented, other: Presented) -> None:
    assert memory.digest(one) != memory.digest(other)


def test_the_secret_is_not_in_the_key_and_each_process_has_its_own(memory: SignInMemory, clock: Clock) -> None:
    digest = memory.digest(presented(password="foo"))
    assert len(digest) == 16
    assert digest == memory.digest(presented(password="foo", address="elsewhere"))
    assert digest != SignInMemory(clock).digest(presented(password="foo"))
