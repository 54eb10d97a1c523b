# SPDX-License-Identifier: Apache-2.0
"""Topic rules, with paho's matcher and a naive recursive one as second opinions."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import topic_matches_sub

from freehold.connect.mqtt.topics import (
    InvalidTopic,
    SharedFilter,
    matches,
    parse_shared,
    validate_topic_filter,
    validate_topic_name,
)
from tests.connect.mqtt.codec.strategies import unhurried

# (filter, topic, matches): the standard's own examples of 4.7.1.2, 4.7.1.3 and 4.7.2 come first.
MATCHES = [
    ("sport/tennis/player1/#", "sport/tennis/player1", True),
    ("sport/tennis/player1/#", "sport/tennis/player1/ranking", True),
    ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", True),
    ("sport/#", "sport", True),
    ("#", "anything/at/all", True),
    ("sport/tennis/+", "sport/tennis/player1", True),
    ("sport/tennis/+", "sport/tennis/player1/ranking", False),
    ("sport/+", "sport", False),
    ("sport/+", "sport/", True),
    ("+/+", "/finance", True),
    ("/+", "/finance", True),
    ("+", "/finance", False),
    ("#", "$SYS/monitor", False),
    ("+/monitor/Clients", "$SYS/monitor/Clients", False),
    ("$SYS/#", "$SYS/monitor", True),
    ("$SYS/monitor/+", "$SYS/monitor/Clients", True),
    ("+/tennis/#", "sport/tennis", True),
    ("a/b", "a/b", True),
    ("a/b", "a/b/c", False),
    ("a/b/c", "a/b", False),
    ("ACCOUNTS", "Accounts", False),
    ("a//b", "a//b", True),
    ("a/+/b", "a//b", True),
    ("a/#", "ab", False),
    ("/#", "/", True),
    ("/", "/", True),
    ("a", "/a", False),
    ("a", "a/", False),
    ("+/#", "a", True),
    ("+/+/#", "a", False),
    ("a/$x/#", "a/$x/y", True),
    ("a/+", "a/$x", True),
    # Drogue's command inbox (drogue.md 1.3)
    ("command/inbox/#", "command/inbox//reset", True),
    ("command/inbox/+/#", "command/inbox//reset", True),
    ("command/inbox//#", "command/inbox//reset", True),
    ("command/inbox//#", "command/inbox/device2/reset", False),
    ("command/inbox/device2/#", "command/inbox/device2/set/led", True),
]


@pytest.mark.parametrize(("topic_filter", "topic", "expected"), MATCHES)
def test_matches(topic_filter: str, topic: str, expected: bool) -> None:
    validate_topic_filter(topic_filter)
    validate_topic_name(topic)
    assert matches(topic_filter, topic) is expected


levels = st.sampled_from(["", "a", "b", "$x", "é", "$SYS"])
topics = st.lists(levels, min_size=1, max_size=5).map("/".join).filter(bool)


@st.composite
def filters(draw: st.DrawFn) -> str:
    body = draw(st.lists(levels | st.just("+"), max_size=5))
    tail = draw(st.sampled_from([[], ["#"]]))
    return "/".join(body + tail) or "#"


def naive(wanted: list[str], found: list[str]) -> bool:
    """4.7.1 read aloud, by recursion."""
    if wanted == ["#"]:
        return True
    if not wanted or not found:
        return not wanted and not found
    return wanted[0] in ("+", found[0]) and naive(wanted[1:], found[1:])


@unhurried
@given(topic_filter=filters(), topic=topics)
def test_matches_agrees_with_two_others(topic_filter: str, topic: str) -> None:
    validate_topic_filter(topic_filter)
    ours = matches(topic_filter, topic)
    hidden = topic.startswith("$") and topic_filter[0] in "+#"
    assert ours == (naive(topic_filter.split("/"), topic.split("/")) and not hidden)
    assert ours == topic_matches_sub(topic_filter, topic)


def test_a_deep_topic_is_no_recursion() -> None:
    deep = "/".join("a" * 30_000)
    assert matches(deep, deep)
    assert matches("a/#", deep)
    assert not matches("/".join("+" * 30_001), deep)


@pytest.mark.parametrize("topic", ["a", "/", "//", "a/b c/é", "$SYS/x", "$share/g/a", " ", "x" * 65_535])
def test_good_topic_names(topic: str) -> None:
    validate_topic_name(topic)


@pytest.mark.parametrize("topic", ["", "+", "#", "a/+", "a#", "a\0b", "\ud800", "x" * 65_536, "é" * 32_768])
def test_bad_topic_names(topic: str) -> None:
    with pytest.raises(InvalidTopic):
        validate_topic_name(topic)


@pytest.mark.parametrize(
    "topic_filter", ["a", "#", "+", "+/+", "a/+/b/#", "/#", "+//#", "$SYS/#", "$share/g/#", "$share/g//", "$shared/x"]
)
def test_good_filters(topic_filter: str) -> None:
    validate_topic_filter(topic_filter)


@pytest.mark.parametrize(
    "topic_filter",
    [
        "",
        "sport/tennis#",
        "sport/tennis/#/ranking",
        "#/a",
        "##",
        "sport+",
        "+a/b",
        "++",
        "a/+#",
        "a\0",
        "\udfff",
        "$share/",
        "$share//a",
        "$share/g",
        "$share/g/",
        "$share/+/a",
        "$share/#/a",
        "$share/g+/a",
        "$share/g/a#",
        "$share/g/#/a",
    ],
)
def test_bad_filters(topic_filter: str) -> None:
    with pytest.raises(InvalidTopic):
        validate_topic_filter(topic_filter)


def test_bounds_are_parameters() -> None:
    validate_topic_filter("a/b/c", max_levels=3, max_bytes=5)
    validate_topic_name("a/b/c", max_levels=3, max_bytes=5)
    for check in (validate_topic_filter, validate_topic_name):
        with pytest.raises(InvalidTopic, match="levels"):
            check("a/b/c", max_levels=2)
        with pytest.raises(InvalidTopic, match="bytes"):
            check("é/é", max_bytes=4)
    with pytest.raises(InvalidTopic, match="levels"):
        validate_topic_filter("/" * 128)


@pytest.mark.parametrize(
    ("topic_filter", "expected"),
    [
        ("$share/consumers/sport/+", SharedFilter("consumers", "sport/+")),
        ("$share/g//a", SharedFilter("g", "/a")),
        ("$share/g//", SharedFilter("g", "/")),
        ("$share", SharedFilter(None, "$share")),
        ("$shared/g/a", SharedFilter(None, "$shared/g/a")),
        ("a/$share/g/b", SharedFilter(None, "a/$share/g/b")),
        ("#", SharedFilter(None, "#")),
    ],
)
def test_shared_filters(topic_filter: str, expected: SharedFilter) -> None:
    assert parse_shared(topic_filter) == expected


@unhurried
@given(group=st.text("ab c$", min_size=1), inner=filters())
def test_a_shared_filter_is_put_together_again(group: str, inner: str) -> None:
    shared = f"$share/{group}/{inner}"
    validate_topic_filter(shared)
    assert parse_shared(shared) == SharedFilter(group, inner)


@unhurried
@given(st.text(max_size=12) | st.text("a/+#$", max_size=12))
def test_arbitrary_strings_are_valid_or_refused(text: str) -> None:
    """Nothing but the one error; a valid name is a valid filter, and matches itself."""
    try:
        validate_topic_name(text)
    except InvalidTopic:
        return
    if not text.startswith("$share/"):
        validate_topic_filter(text)
        assert matches(text, text)
