# SPDX-License-Identifier: Apache-2.0
"""Dialects: how a publish topic becomes (device, channel). Pure (contract drogue.md 1.3).

`drogue/v1` takes `channel` and `channel/device`; `plainTopic` takes any topic as the channel, or with
`devicePrefix` the first level as the device. A device's `spec.mqtt.dialect` wins over its application's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from freehold.core.errors import CHANNEL_INVALID


class Target(NamedTuple):
    """`device` None means the publishing device itself."""

    device: str | None
    channel: str


Dialect = Callable[[str], Target]
"""Topic → target. Raises `event.channel.invalid`."""


class UnknownDialect(ValueError):
    """`spec.mqtt.dialect` cannot be understood; such a device may not connect until it is mended."""


def dialect_of(*specs: Mapping[str, Any] | None) -> Dialect:
    """The dialect of the first of `specs` that is there (device before application), else `drogue/v1`."""
    spec = next((spec for spec in specs if spec is not None), None)
    if spec is None:
        return drogue_v1
    match dict(spec):
        case {"type": "drogue/v1"}:
            return drogue_v1
        case {"type": "plainTopic", "devicePrefix": True}:
            return device_prefix
        case {"type": "plainTopic", **rest} if rest.get("devicePrefix", False) is False:
            return plain_topic
    raise UnknownDialect(str(spec)[:200])


def drogue_v1(topic: str) -> Target:
    """`channel` for the device itself, `channel/device` for another."""
    channel, slash, device = topic.partition("/")
    if not channel or (slash and not device) or "/" in device:
        raise CHANNEL_INVALID.error()
    return Target(device if slash else None, channel)


def plain_topic(topic: str) -> Target:
    """The whole topic is the channel, slashes and all."""
    if not topic:
        raise CHANNEL_INVALID.error()
    return Target(None, topic)


def device_prefix(topic: str) -> Target:
    """`device/rest…` for that device, `/rest…` for the device itself."""
    device, slash, channel = topic.partition("/")
    if not slash or not channel:
        raise CHANNEL_INVALID.error("the topic needs a device level before the channel")
    return Target(device or None, channel)
