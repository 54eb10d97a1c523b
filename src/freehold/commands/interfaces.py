# SPDX-License-Identifier: Apache-2.0
"""Commands: the message that travels over the bus, its life, and the inbox that endpoints offer.

accepted → sent → acknowledged (where the protocol can say so), or expired when nobody took it in time.
Commands are never kept for later: replaying a stale one may be wrong (contract drogue.md 5).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import msgspec


class State(StrEnum):
    ACCEPTED = "accepted"
    SENT = "sent"
    ACKNOWLEDGED = "acknowledged"
    EXPIRED = "expired"


class Command(msgspec.Struct, frozen=True, array_like=True):
    """A command on its way to `device`, directly or through one of `gateways`. Names, not uids.

    `expires` is microseconds since 1970 UTC. Evolution: append fields with defaults only.
    """

    id: str
    application: str
    device: str
    name: str
    payload: bytes
    content_type: str
    expires: int
    gateways: tuple[str, ...] = ()


class Outcome(msgspec.Struct, frozen=True, array_like=True):
    """What an endpoint reports: `state`, and through whom (`sender`, `protocol`)."""

    id: str
    state: State
    sender: str
    protocol: str
    time: int


@dataclass(frozen=True, slots=True)
class Filter:
    """Which commands an inbox takes: of application `application`, for connection of device `sender`.

    `device` None: for the sender itself and every device behind it; else only that device's.
    """

    application: str
    sender: str
    device: str | None = None


class Inbox(Protocol):
    """An open inbox; `close` ends it. Closing twice does no harm."""

    def close(self) -> None: ...


Deliver = Callable[[Command], bool]
"""Takes a command in the event loop; False when it cannot (queue full, connection gone)."""


class Router(Protocol):
    """Brings commands from the bus to the inboxes of this process."""

    def open(self, filter: Filter, deliver: Deliver, protocol: str) -> Inbox:
        """Offer an inbox. `deliver` returning True is reported as `sent`."""
        ...

    def acknowledged(self, command: Command, sender: str, protocol: str) -> None:
        """The device confirmed this command (MQTT PUBACK)."""
        ...
