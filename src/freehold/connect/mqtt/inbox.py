# SPDX-License-Identifier: Apache-2.0
"""A connection's command inbox: what may be subscribed, and under which topic a command arrives.

Contract drogue.md 1.3 with advice A-6: `command/inbox//#` is for the device itself only. A subscription is
granted the QoS that was asked for, at most 1: with QoS 1 the PUBACK makes a command `acknowledged`, with
QoS 0, as Drogue grants always, it ends as `sent`.
"""

from __future__ import annotations

from collections.abc import Callable

from freehold.commands.interfaces import Command
from freehold.connect.mqtt.answers import Limits, words
from freehold.connect.mqtt.codec import (
    NO_PROPERTIES,
    EncodeError,
    Properties,
    ReasonCode,
    Suback,
    Subscribe,
    Unsuback,
    Unsubscribe,
    encode,
    publish_bytes,
)
from freehold.core.errors import SUBSCRIPTION_REFUSED

SUBSCRIPTIONS = 1024
"""Filters of one connection: a gateway may subscribe for each device behind it."""

_PREFIX = "command/inbox/"
_ALL = (f"{_PREFIX}#", f"{_PREFIX}+/#")
_SELF = f"{_PREFIX}/#"
_NAME_BYTES = 255
"""Longest device name; a filter with a longer one can never match."""


def is_inbox(topic_filter: str) -> bool:
    """Whether a device may subscribe to this: everything behind its connection, itself, or one device by name."""
    if topic_filter in _ALL or topic_filter == _SELF:
        return True
    if not topic_filter.startswith(_PREFIX) or not topic_filter.endswith("/#"):
        return False
    device = topic_filter[len(_PREFIX) : -2]
    return bool(device) and not set(device) & set("/+#") and len(device.encode()) <= _NAME_BYTES


class Inbox:
    """Subscriptions of one connection, and the commands that wait for its PUBACK (at most `bound`)."""

    __slots__ = ("_bound", "_device", "_granted", "_next_id", "_unacknowledged")

    def __init__(self, device: str, bound: int) -> None:
        self._device = device
        self._bound = bound
        self._granted: dict[str, int] = {}
        self._unacknowledged: dict[int, Command] = {}
        self._next_id = 0

    @property
    def closed(self) -> bool:
        """Whether nothing is subscribed; what was delivered before may still be acknowledged."""
        return not self._granted

    def subscribe(self, packet: Subscribe, version: int, limits: Limits) -> bytes:
        """Take the subscriptions that may be, and return the SUBACK."""
        identified = bool(packet.properties.subscription_identifiers)
        codes = [
            ReasonCode.SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED
            if identified
            else self._grant(each.topic_filter, each.qos)
            for each in packet.subscriptions
        ]
        if version != 5:
            plain = tuple(code if code < 0x80 else ReasonCode.UNSPECIFIED_ERROR for code in codes)
            return encode(Suback(packet.packet_id, plain), version)
        answer = encode(Suback(packet.packet_id, tuple(codes)), 5)
        if limits.words and any(code >= 0x80 for code in codes):
            explained = words(SUBSCRIPTION_REFUSED.error().reason_string())
            longer = encode(Suback(packet.packet_id, tuple(codes), explained), 5)
            answer = longer if len(longer) <= limits.packet_bytes else answer
        return answer

    def unsubscribe(self, packet: Unsubscribe, version: int) -> bytes:
        """End subscriptions, and return the UNSUBACK."""
        existed = [self._granted.pop(topic_filter, None) is not None for topic_filter in packet.topic_filters]
        codes = [ReasonCode.SUCCESS if each else ReasonCode.NO_SUBSCRIPTION_EXISTED for each in existed]
        return encode(Unsuback(packet.packet_id, tuple(codes) if version == 5 else ()), version)

    def deliver(self, command: Command, version: int, largest: int, write: Callable[[bytes], None]) -> bool:
        """Write `command` if a subscription asks for it and there is room; a command is written once."""
        match = self._match(command.device)
        if match is None or len(self._unacknowledged) >= self._bound:
            return False
        by_name, qos = match
        owner = command.device if by_name or command.device != self._device else ""
        packet_id = self._take_id() if qos else 0
        typed = version == 5 and bool(command.content_type)
        try:
            packet = publish_bytes(
                f"{_PREFIX}{owner}/{command.name}",
                command.payload,
                version=version,
                qos=qos,
                packet_id=packet_id,
                properties=Properties(content_type=command.content_type) if typed else NO_PROPERTIES,
            )
        except EncodeError:
            return False  # a name or type that MQTT cannot say: a wildcard, say
        if len(packet) > largest:
            return False
        if qos:
            self._unacknowledged[packet_id] = command
        write(packet)
        return True

    def acknowledge(self, packet_id: int) -> Command | None:
        """The command that this PUBACK answers, None when it answers none of ours."""
        return self._unacknowledged.pop(packet_id, None)

    def _grant(self, topic_filter: str, qos: int) -> ReasonCode:
        if topic_filter.startswith("$share/"):
            return ReasonCode.SHARED_SUBSCRIPTIONS_NOT_SUPPORTED
        if not is_inbox(topic_filter):
            return ReasonCode.UNSPECIFIED_ERROR
        if len(self._granted) >= SUBSCRIPTIONS and topic_filter not in self._granted:
            return ReasonCode.QUOTA_EXCEEDED
        self._granted[topic_filter] = min(qos, 1)
        return ReasonCode(min(qos, 1))

    def _match(self, device: str) -> tuple[bool, int] | None:
        """(subscribed by name, QoS) of the subscription that takes commands for `device`, the nearest one first."""
        by_name = self._granted.get(f"{_PREFIX}{device}/#")
        if by_name is not None:
            return True, by_name
        wide = [*_ALL, _SELF] if device == self._device else _ALL
        granted = [self._granted[each] for each in wide if each in self._granted]
        return (False, max(granted)) if granted else None

    def _take_id(self) -> int:
        while True:
            self._next_id = self._next_id % 65_535 + 1
            if self._next_id not in self._unacknowledged:
                return self._next_id
