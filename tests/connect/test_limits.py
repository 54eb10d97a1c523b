# SPDX-License-Identifier: Apache-2.0
"""Bounds by address and by application, and that the tables behind them are bounded too."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.connect.limits import FailureLimits, Quotas, Seldom, network
from tests.connect.doubles import Clock


def test_guesses_use_up_what_an_address_may_get_wrong() -> None:
    limits = FailureLimits(3, clock=Clock())
    for _ in range(3):
        assert limits.may_try("192.0.2.1")
        limits.guessed("192.0.2.1")
    assert not limits.may_try("192.0.2.1")
    assert not limits.may_repeat("192.0.2.1")
    assert limits.may_try("192.0.2.2")


def test_repeats_only_limit_themselves() -> None:
    limits = FailureLimits(3, clock=Clock())
    limits.guessed("192.0.2.1")
    for _ in range(2):
        assert limits.may_repeat("192.0.2.1")
        limits.repeated("192.0.2.1")
    assert not limits.may_repeat("192.0.2.1")
    assert limits.may_try("192.0.2.1")


def test_after_a_minute_it_starts_again() -> None:
    clock = Clock()
    limits = FailureLimits(1, clock=clock)
    limits.guessed("192.0.2.1")
    clock.now += 59.9
    assert not limits.may_try("192.0.2.1")
    clock.now += 0.1
    assert limits.may_try("192.0.2.1")


def test_many_addresses_make_the_oldest_forgotten_and_nothing_grow() -> None:
    clock = Clock()
    limits = FailureLimits(1, size=10, clock=clock)
    for number in range(25):
        limits.guessed(f"192.0.2.{number}")
    assert len(limits) == 10
    assert limits.may_try("192.0.2.14")
    assert not limits.may_try("192.0.2.15")


@pytest.mark.parametrize(
    ("address", "limited_as"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::ffff", "2001:db8:1:2::"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::"),
        ("::1", "::"),
        ("not:an:address", "not:an:address"),
        ("", ""),
    ],
)
def test_what_is_limited_for_an_address(address: str, limited_as: str) -> None:
    assert network(address) == limited_as


def test_one_customer_of_ipv6_has_one_limit() -> None:
    limits = FailureLimits(1, clock=Clock())
    limits.guessed("2001:db8::1")
    assert not limits.may_try("2001:db8::2")
    assert limits.may_try("2001:db8:0:1::2")


def test_seldom_says_yes_once_a_minute_for_each_key() -> None:
    clock = Clock()
    seldom = Seldom(size=3, clock=clock)
    assert [seldom.first(key) for key in "aabab"] == [True, False, True, False, False]
    clock.now += 60
    assert seldom.first("a")
    for key in "cdefgh":
        assert seldom.first(key)
    assert len(seldom) == 3


def test_quota_refills_with_time_and_holds_a_second() -> None:
    clock = Clock()
    quotas = Quotas(10, clock=clock)
    quotas.take("app", 10)
    assert not quotas.allows("app")
    clock.now += 0.5
    assert quotas.allows("app")
    quotas.take("app", 5)
    assert not quotas.allows("app")
    clock.now += 1000
    quotas.take("app", 10)
    assert not quotas.allows("app")


def test_a_batch_larger_than_the_quota_passes_and_is_paid_for_later() -> None:
    clock = Clock()
    quotas = Quotas(10, clock=clock)
    assert quotas.allows("app")
    quotas.take("app", 35)
    clock.now += 2.5
    assert not quotas.allows("app")
    clock.now += 0.1
    assert quotas.allows("app")


def test_one_application_does_not_use_up_anothers() -> None:
    quotas = Quotas(1, clock=Clock())
    quotas.take("a", 5)
    assert not quotas.allows("a")
    assert quotas.allows("b")


def test_applications_are_forgotten_past_the_bound() -> None:
    quotas = Quotas(1, size=5, clock=Clock())
    for number in range(20):
        quotas.take(str(number), 1)
    assert len(quotas) == 5


@given(st.lists(st.tuples(st.floats(0, 2), st.integers(1, 30)), max_size=60))
def test_the_rate_holds_on_average_whatever_comes(arrivals: list[tuple[float, int]]) -> None:
    clock = Clock()
    quotas = Quotas(10, clock=clock)
    passed = largest = 0
    for pause, batch in arrivals:
        clock.now += pause
        if quotas.allows("app"):
            quotas.take("app", batch)
            passed += batch
            largest = max(largest, batch)
    assert passed <= 10 + 10 * (clock.now - 1000.0) + largest + 1e-6
