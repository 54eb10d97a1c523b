# SPDX-License-Identifier: Apache-2.0
"""A connection's command inbox: what may be subscribed, and under which topic a command arrives.

Contract drogue.md 1.3 with advice A-6: `command/inbox//#` is for the device itself only. A subscription is
granted the QoS that was asked for, at most 1: with QoS 1 the PUBACK makes a command `acknowledged`, with
QoS 0, as Drogue grants always, it ends as `sent`.
"""

from __future__ import annotations

from collections.abc import Callable

from freehold.commands.interfaces import Command
from freehold.connect.mqtt.codec import NO_PROPERTIES, Properties, publish_bytes

_ALL = frozenset({"command/inbox/#", "command/inbox/+/#"})
_SELF = "command/inbox//#"
_PREFIX = "command/inbox/"


class NotAnInbox(ValueError):
    """The filter is none of the forms that a device may subscribe to."""


def inbox_scope(topic_filter: str) -> str:
    """What a filter asks for: "*" everything behind this connection, "" the device itself, else a device's name.

    Raises `NotAnInbox`.
    """
    if topic_filter in _ALL:
        return "*"
    if topic_filter == _SELF:
        return ""
    if topic_filter.startswith(_PREFIX) and topic_filter.endswith("/#"):
        device = topic_filter[len(_PREFIX) : -2]
        if device and not set(device) & set("/+#"):
            return device
    raise NotAnInbox(topic_filter)


class Inbox:
    """Subscriptions of one connection, and the commands that wait for its PUBACK."""

    __slots__ = ("_bound", "_device", "_next_id", "_scopes", "_unacknowledged")

    def __init__(self, device: str, bound: int) -> None:
        self._device = device
        self._bound = bound
        self._scopes: dict[str, tuple[str, int]] = {}
        self._unacknowledged: dict[int, Command] = {}
        self._next_id = 0

    def subscribe(self, topic_filter: str, qos: int) -> int:
        """Returns the granted QoS. Raises `NotAnInbox`."""
        granted = min(qos, 1)
        self._scopes[topic_filter] = (inbox_scope(topic_filter), granted)
        return granted

    def unsubscribe(self, topic_filter: str) -> bool:
        """Whether there was such a subscription."""
        return self._scopes.pop(topic_filter, None) is not None

    @property
    def empty(self) -> bool:
        return not self._scopes

    def deliver(self, command: Command, version: int, largest: int, write: Callable[[bytes], None]) -> bool:
        """Write `command` if a subscription asks for it and there is room; a command is written once."""
        match = self._match(command.device)
        if match is None or len(self._unacknowledged) >= self._bound:
            return False
        by_name, qos = match
        owner = command.device if by_name or command.device != self._device else ""
        packet_id = self._take_id() if qos else 0
        packet = publish_bytes(
            f"{_PREFIX}{owner}/{command.name}",
            command.payload,
            version=version,
            qos=qos,
            packet_id=packet_id,
            properties=_properties(command) if version == 5 else NO_PROPERTIES,
        )
        if len(packet) > largest:
            return False
        if qos:
            self._unacknowledged[packet_id] = command
        write(packet)
        return True

    def acknowledge(self, packet_id: int) -> Command | None:
        """The command that this PUBACK answers, None when it answers none of ours."""
        return self._unacknowledged.pop(packet_id, None)

    def _match(self, device: str) -> tuple[bool, int] | None:
        """(subscribed by name, QoS) of the subscription that takes commands for `device`, the nearest one first."""
        best: tuple[bool, int] | None = None
        for scope, qos in self._scopes.values():
            if scope == device:
                return True, qos
            if scope == "*" or (scope == "" and device == self._device):
                best = (False, max(qos, best[1] if best else 0))
        return best

    def _take_id(self) -> int:
        while True:
            self._next_id = self._next_id % 65_535 + 1
            if self._next_id not in self._unacknowledged:
                return self._next_id


def _properties(command: Command) -> Properties:
    return Properties(content_type=command.content_type) if command.content_type else NO_PROPERTIES
