# SPDX-License-Identifier: Apache-2.0
"""The pool: remembers what was right, never what was wrong, and refuses instead of queueing without end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from freehold.core.errors import FreeholdError
from freehold.core.lifecycle import Component
from freehold.registry import passwords
from freehold.registry.passwords import PasswordPool
from freehold.registry.verifiers import Verifiers
from freehold.vault import secret_text
from freehold.vault.service import Vault

VAULT = Vault(bytes(range(32)))
VERIFIERS = Verifiers(VAULT)
FOO = VERIFIERS.of_secret("foo")


@pytest.fixture
async def pool() -> AsyncIterator[PasswordPool]:
    pool = PasswordPool(VERIFIERS, VAULT)
    await pool.start()
    yield pool
    await pool.drain()
    await pool.stop()


class Held(Verifiers):
    """Verifiers whose slow checks wait until they are let go, and are counted."""

    def __init__(self) -> None:
        super().__init__(VAULT)
        self.let_go = threading.Event()
        self.checked = 0

    def check(self, verifier: str, secret: str) -> bool:
        self.let_go.wait()
        self.checked += 1
        return super().check(verifier, secret)


def test_it_is_a_component() -> None:
    assert isinstance(PasswordPool(VERIFIERS, VAULT), Component)


async def test_a_right_password_is_checked_once_and_then_known(pool: PasswordPool) -> None:
    assert pool.verify_cached(FOO, "foo") is None
    assert await pool.verify(FOO, "foo") is True
    assert pool.verify_cached(FOO, "foo") is True
    assert await pool.verify(FOO, "foo") is True


async def test_a_wrong_password_is_never_known(pool: PasswordPool) -> None:
    for _ in range(2):
        assert await pool.verify(FOO, "bar") is False
        assert pool.verify_cached(FOO, "bar") is None


async def test_what_is_known_is_known_for_one_verifier_only(pool: PasswordPool) -> None:
    await pool.verify(FOO, "foo")
    changed = VERIFIERS.of_secret("foo")
    assert pool.verify_cached(changed, "foo") is None
    assert pool.verify_cached(FOO[:-1], FOO[-1] + "foo") is None


async def test_a_generated_secret_never_needs_the_pool(pool: PasswordPool) -> None:
    secret = secret_text.generate(secret_text.DEVICE)
    verifier = VERIFIERS.of_secret(secret)
    assert pool.verify_cached(verifier, secret) is True
    assert pool.verify_cached(verifier, secret_text.generate(secret_text.DEVICE)) is False


async def test_the_dummy_matches_nothing_and_goes_the_slow_way(pool: PasswordPool) -> None:
    assert pool.verify_cached(pool.dummy(), "foo") is None
    assert await pool.verify(pool.dummy(), "foo") is False
    assert pool.verify_cached(pool.dummy(), "foo") is None


async def test_no_secret_is_in_its_memory(pool: PasswordPool) -> None:
    secret = "correct horse battery staple"
    await pool.verify(VERIFIERS.of_secret(secret), secret)
    (key,) = pool._verified
    assert len(key) == 32
    assert secret not in repr(vars(pool))


async def test_its_memory_is_bounded_and_the_oldest_leaves(pool: PasswordPool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "REMEMBERED", 2)
    verifiers = [VERIFIERS.of_secret(secret) for secret in "abc"]
    await pool.verify(verifiers[0], "a")
    await pool.verify(verifiers[1], "b")
    assert pool.verify_cached(verifiers[0], "a")  # used: now the younger one
    await pool.verify(verifiers[2], "c")
    known = [pool.verify_cached(verifier, secret) for verifier, secret in zip(verifiers, "abc", strict=True)]
    assert known == [True, None, True]


async def test_more_than_can_wait_are_refused_and_the_health_page_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "WAITING", 4)
    held = Held()
    pool = PasswordPool(held, VAULT, threads=1)
    waiting = [asyncio.create_task(pool.verify(FOO, f"wrong {i}")) for i in range(4)]
    await asyncio.sleep(0)
    assert pool.health() is not None
    with pytest.raises(FreeholdError) as refused:
        await pool.verify(FOO, "wrong")
    assert refused.value.refusal.code == "device.authentication.unavailable"
    held.let_go.set()
    assert await asyncio.gather(*waiting) == [False] * 4
    assert pool.health() is None
    assert await pool.verify(FOO, "foo") is True
    await pool.stop()


async def test_who_gives_up_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "WAITING", 2)
    held = Held()
    pool = PasswordPool(held, VAULT, threads=1)
    waiting = [asyncio.create_task(pool.verify(FOO, f"wrong {i}")) for i in range(2)]
    await asyncio.sleep(0)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert pool.health() is None
    held.let_go.set()
    assert await pool.verify(FOO, "foo") is True
    assert held.checked <= 2  # the one that ran already, and this one
    await pool.stop()


async def test_the_loop_goes_on_while_passwords_are_checked() -> None:
    held = Held()
    pool = PasswordPool(held, VAULT)
    check = asyncio.create_task(pool.verify(FOO, "foo"))
    for _ in range(100):
        await asyncio.sleep(0)
    assert not check.done()
    held.let_go.set()
    assert await check is True
    await pool.stop()


def test_no_more_than_so_many_slow_hashes_run_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from freehold.registry import verifiers

    running, most, lock = 0, 0, threading.Lock()
    original = verifiers._slow_check

    def counted(verifier: str, secret: str) -> bool:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        try:
            return original(verifier, secret)
        finally:
            with lock:
                running -= 1

    monkeypatch.setattr(verifiers, "_slow_check", counted)
    two = Verifiers(VAULT, slots=2)
    threads = [threading.Thread(target=two.check, args=(FOO, "bar")) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most <= 2
