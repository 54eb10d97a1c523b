# SPDX-License-Identifier: Apache-2.0
"""What an endpoint knows: its wire, the gate, the door to the log. Nothing else.

An endpoint presents what it was shown (`Presented`), gets a `Session` or a refusal, hands payloads to
`Session.accept` (normalise) and gives the result to `Intake.submit`; it acknowledges when that resolves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from freehold.events.models import Event
from freehold.log.interfaces import Route
from freehold.registry.interfaces import DeviceSnapshot


@dataclass(frozen=True, slots=True)
class Presented:
    """What a device showed of itself, already sorted by the endpoint (decision table, drogue.md 1.1).

    `key` is the device's name, alias or unique user name. `username` is set for username+password
    credentials, None for password-only ones. `address` is the peer's, for limits.
    """

    application: str
    key: str
    password: str
    username: str | None
    address: str


@dataclass(slots=True)
class Session:
    """A device that proved who it is. Valid until `device.stale`; then `Gate.renew` gives a new one or refuses."""

    device: DeviceSnapshot
    presented: Presented
    route: Route
    """Partition of everything that this device sends."""

    @property
    def fresh(self) -> bool:
        return not (self.device.stale or self.device.application.stale)


class Gate(Protocol):
    """Who is this and may it? All refusals are `FreeholdError`; why is in the log, never in the answer."""

    def authenticate_cached(self, presented: Presented) -> Session | None:
        """The session if everything needed is in memory, else None: then await `authenticate`."""
        ...

    async def authenticate(self, presented: Presented) -> Session:
        """Raises `device.credentials.rejected`, `device.attempts.limited`, `device.authentication.unavailable`."""
        ...

    async def renew(self, session: Session) -> Session:
        """A fresh session after a change in the registry. Raises `device.access.revoked`."""
        ...

    def on_behalf_cached(self, session: Session, device: str) -> DeviceSnapshot | None:
        """The device `device` that `session` may speak for, if that is known without I/O, else None."""
        ...

    async def on_behalf(self, session: Session, device: str) -> DeviceSnapshot:
        """Raises `device.not-permitted` for an unknown device and for one that does not list this gateway."""
        ...


class Intake(Protocol):
    """The door to the log: quota, bound, durability."""

    def event(
        self,
        session: Session,
        device: DeviceSnapshot,
        channel: str,
        content_type: str | None,
        payload: bytes,
        dataschema: str | None = None,
    ) -> Event:
        """Normalise (contract drogue.md 2.1, 2.3).

        Raises `event.payload.not-json`, `event.channel.invalid`, `event.attribute.invalid`.
        """
        ...

    def submit(self, routes: Sequence[Route], events: Sequence[Event]) -> asyncio.Future[None]:
        """Resolves when durable, in the order of submission; takes all of the events or none.

        Raises `platform.overloaded`, `quota.exceeded` or `platform.stopping` at once; the future fails with
        `log.unavailable`.
        """
        ...
