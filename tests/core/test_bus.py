# SPDX-License-Identifier: Apache-2.0
"""The bus within a process: everybody gets it, and nobody spoils it for the others."""

from __future__ import annotations

import pytest

from freehold.core import bus as topics
from freehold.core.bus import MemoryBus


def test_every_subscriber_gets_every_message_in_order() -> None:
    bus = MemoryBus()
    one: list[bytes] = []
    two: list[bytes] = []
    bus.subscribe("t", one.append)
    bus.subscribe("t", two.append)
    for number in range(10):
        bus.publish("t", b"%d" % number)
    assert one == two == [b"%d" % number for number in range(10)]


def test_topics_are_exact() -> None:
    bus = MemoryBus()
    seen: list[bytes] = []
    bus.subscribe("registry.changed", seen.append)
    for topic in ("registry", "registry.changed.x", "registry.*", "", "Registry.changed"):
        bus.publish(topic, b"no")
    bus.publish("registry.changed", b"yes")
    assert seen == [b"yes"]


def test_a_handler_that_fails_spoils_it_for_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    bus = MemoryBus()
    seen: list[bytes] = []

    def broken(_: bytes) -> None:
        raise RuntimeError("a bug in a handler")

    bus.subscribe("t", broken)
    bus.subscribe("t", seen.append)
    bus.publish("t", b"1")
    bus.publish("t", b"2")
    assert seen == [b"1", b"2"]
    said = capsys.readouterr()
    assert "a bus handler failed" in said.out + said.err
    assert "a bug in a handler" in said.out + said.err


def test_whoever_unsubscribes_hears_no_more() -> None:
    bus = MemoryBus()
    one: list[bytes] = []
    two: list[bytes] = []
    end_one = bus.subscribe("t", one.append)
    bus.subscribe("t", two.append)
    bus.publish("t", b"1")
    end_one()
    end_one()
    bus.publish("t", b"2")
    assert (one, two) == ([b"1"], [b"1", b"2"])


def test_the_same_handler_twice_is_two_subscriptions() -> None:
    bus = MemoryBus()
    seen: list[bytes] = []
    handler = seen.append
    end = bus.subscribe("t", handler)
    bus.subscribe("t", handler)
    bus.publish("t", b"1")
    end()
    end()  # the second call must not end the other subscription
    bus.publish("t", b"2")
    assert seen == [b"1", b"1", b"2"]


def test_subscriptions_may_change_during_a_delivery() -> None:
    bus = MemoryBus()
    seen: list[str] = []

    def once(_: bytes) -> None:
        seen.append("once")
        end()
        bus.subscribe("t", lambda _: seen.append("later"))

    end = bus.subscribe("t", once)
    bus.subscribe("t", lambda _: seen.append("always"))
    bus.publish("t", b"")
    assert seen == ["once", "always"]
    bus.publish("t", b"")
    assert seen == ["once", "always", "always", "later"]


def test_a_message_may_cause_another() -> None:
    bus = MemoryBus()
    seen: list[bytes] = []
    bus.subscribe("a", lambda message: bus.publish("b", message + b"!"))
    bus.subscribe("b", seen.append)
    bus.publish("a", b"hello")
    assert seen == [b"hello!"]


def test_nothing_is_kept_for_topics_without_subscribers() -> None:
    bus = MemoryBus()
    for number in range(1000):
        bus.subscribe(f"t{number}", lambda _: None)()
        bus.publish(f"u{number}", b"")
    assert bus._handlers == {}


def test_every_topic_has_a_name_of_its_own() -> None:
    names = [value for name, value in vars(topics).items() if name.isupper() and isinstance(value, str)]
    assert len(names) >= 6
    assert len(set(names)) == len(names)
