# SPDX-License-Identifier: Apache-2.0
"""Dialects, by the table of contract drogue.md 1.3 and for whatever a topic may hold."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.connect.mqtt.dialect import (
    Target,
    UnknownDialect,
    device_prefix,
    dialect_of,
    drogue_v1,
    plain_topic,
)
from freehold.core.errors import CHANNEL_INVALID, FreeholdError

PLAIN = {"type": "plainTopic"}
PREFIXED = {"type": "plainTopic", "devicePrefix": True}
topics = st.text(alphabet="ab/ä \x07", max_size=12)


@pytest.mark.parametrize(
    ("spec", "topic", "device", "channel"),
    [
        (None, "channel", None, "channel"),
        (None, "channel/device", "device", "channel"),
        ({"type": "drogue/v1"}, "channel/dev ice", "dev ice", "channel"),
        (PLAIN, "channel", None, "channel"),
        (PLAIN, "a/b/c", None, "a/b/c"),
        (PLAIN, "/a/b", None, "/a/b"),
        (PLAIN, "a//", None, "a//"),
        ({**PLAIN, "devicePrefix": False}, "a/b", None, "a/b"),
        (PREFIXED, "device/channel", "device", "channel"),
        (PREFIXED, "device/a/b", "device", "a/b"),
        (PREFIXED, "/channel", None, "channel"),
        (PREFIXED, "//channel", None, "/channel"),
    ],
)
def test_targets(spec: dict[str, Any] | None, topic: str, device: str | None, channel: str) -> None:
    assert dialect_of(spec)(topic) == Target(device, channel)


@pytest.mark.parametrize(
    ("spec", "topic"),
    [
        (None, ""),
        (None, "/"),
        (None, "/device"),
        (None, "channel/"),
        (None, "a/b/c"),
        (PLAIN, ""),
        (PREFIXED, ""),
        (PREFIXED, "channel"),
        (PREFIXED, "device/"),
        (PREFIXED, "/"),
    ],
)
def test_topics_that_mean_nothing(spec: dict[str, Any] | None, topic: str) -> None:
    with pytest.raises(FreeholdError) as caught:
        dialect_of(spec)(topic)
    assert caught.value.refusal is CHANNEL_INVALID


def test_the_first_that_is_there_wins() -> None:
    assert dialect_of(None, None) is drogue_v1
    assert dialect_of(None, PLAIN) is plain_topic
    assert dialect_of(PREFIXED, PLAIN) is device_prefix
    assert dialect_of({"type": "drogue/v1"}, PLAIN) is drogue_v1


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"type": "drogue/v2"},
        {"type": None},
        {"type": "plainTopic", "devicePrefix": "yes"},
        {"type": "plainTopic", "devicePrefix": 1.5},
        {"type": ["plainTopic"]},
        {"devicePrefix": True},
    ],
)
def test_specs_that_cannot_be_understood(spec: dict[str, Any]) -> None:
    with pytest.raises(UnknownDialect):
        dialect_of(spec, PLAIN)


@given(topics, st.sampled_from([None, PLAIN, PREFIXED]))
def test_a_topic_is_a_target_or_refused(topic: str, spec: dict[str, Any] | None) -> None:
    try:
        device, channel = dialect_of(spec)(topic)
    except FreeholdError:
        return
    assert channel
    assert device is None or device
    back = {None: f"{channel}/{device}" if device else channel, "plain": channel}
    if spec is None:
        assert back[None] == topic
    elif spec is PLAIN:
        assert back["plain"] == topic
    else:
        assert f"{device or ''}/{channel}" == topic
