# SPDX-License-Identifier: Apache-2.0
"""The wait of a device for a command, after its event became durable (`ct`; drogue.md 1.2).

It begins then and not earlier, takes the first command that fits, and ends with it. Without `as` only
commands for the device itself fit, with `as=D` only those for D (advice A-6).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from freehold.commands.interfaces import Command, Filter, Inbox
from freehold.connect.http.services import Services
from freehold.connect.http.target import Target
from freehold.connect.interfaces import Session
from freehold.core.errors import AUTHENTICATION_UNAVAILABLE, FreeholdError
from freehold.registry.interfaces import DeviceSnapshot

_log = structlog.get_logger(__name__)

PROTOCOL = "http"


class CommandWait:
    """One open inbox. Calls either `nothing()` or `got(name, payload)`, once; after `close` neither."""

    def __init__(
        self,
        session: Session,
        device: DeviceSnapshot,
        target: Target,
        services: Services,
        nothing: Callable[[], None],
        got: Callable[[str, bytes], None],
    ) -> None:
        self._session = session
        self._device = device
        self._target = target
        self._services = services
        self._nothing = nothing
        self._got = got
        self._inbox: Inbox | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._renewal: asyncio.Task[None] | None = None

    def begin(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self.give_up)
        application, sender = self._device.application.name, self._session.device.name
        wanted = Filter(application, sender, self._device.name)
        self._inbox = self._services.router.open(wanted, self._deliver, PROTOCOL)

    def give_up(self) -> None:
        """End without a command: the time is over, or the endpoint stops."""
        if self.close():
            self._nothing()

    def close(self) -> bool:
        """End without a word (the device hung up). False when it had ended already."""
        inbox, self._inbox = self._inbox, None
        if inbox is None:
            return False
        inbox.close()
        if self._timer is not None:
            self._timer.cancel()
        if self._renewal is not None:
            self._renewal.cancel()
        return True

    def _deliver(self, command: Command) -> bool:
        # What changed in the registry may be that this device must not get anything any more.
        if not self._fresh() or not self.close():
            return False
        self._got(command.name, command.payload)
        return True

    def _fresh(self) -> bool:
        return self._session.fresh and not self._device.stale

    def renew_if_stale(self) -> None:
        """Called about once a second: after a change in the registry, ask the gate whether this may go on."""
        if not self._fresh() and self._renewal is None and self._inbox is not None:
            self._renewal = asyncio.get_running_loop().create_task(self._renew())

    async def _renew(self) -> None:
        gate = self._services.gate
        try:
            session = await gate.renew(self._session)
            device = session.device
            if self._target.on_behalf is not None:
                device = await gate.on_behalf(session, self._target.on_behalf)
        except FreeholdError as refusal:
            if refusal.refusal is not AUTHENTICATION_UNAVAILABLE:
                self._lost()
            return
        except Exception:
            _log.exception("a waiting device cannot be checked again")
            return
        finally:
            self._renewal = None
        if device.uid != self._device.uid:
            self._lost()
        self._session, self._device = session, device

    def _lost(self) -> None:
        # The event was accepted; that the rest is over is for the next request to hear.
        self._renewal = None
        self.give_up()
