# SPDX-License-Identifier: Apache-2.0
"""From the bus to the inboxes of this process (drogue.md 3.5).

A command goes to every inbox that fits: the device's own connections, and those of gateways that may speak
for it. Nothing is kept: whoever is not connected now does not get it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import msgspec
import structlog

from freehold.commands.interfaces import Command, Deliver, Filter, Outcome, State
from freehold.core.bus import COMMAND_DELIVER, COMMAND_OUTCOME, Bus
from freehold.core.clock import now_us
from freehold.core.metrics import MetricSet

_log = structlog.get_logger(__name__)

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Command).decode

Sender = tuple[str, str]
"""(application name, name of the connected device)"""


@dataclass(eq=False, slots=True)
class _Inbox:
    filter: Filter
    deliver: Deliver
    protocol: str
    router: BusRouter
    open: bool = True

    def close(self) -> None:
        if self.open:
            self.open = False
            self.router._closed(self)


class BusRouter:
    """`Router` over the bus: component `commands.router` of every process with endpoints."""

    def __init__(self, bus: Bus, *, clock: Callable[[], int] = now_us) -> None:
        self._bus = bus
        self._clock = clock
        self._inboxes: dict[Sender, list[_Inbox]] = {}
        self._unsubscribe: Callable[[], None] | None = None
        self.seen = self.delivered = self.acknowledgements = self.late = 0

    @property
    def name(self) -> str:
        return "commands.router"

    def register(self, metrics: MetricSet) -> None:
        metrics.counter("commands_delivered", "Commands handed to a connection", lambda: [({}, self.delivered)])
        metrics.counter("commands_acknowledged", "Commands confirmed", lambda: [({}, self.acknowledgements)])
        metrics.counter("commands_late", "Commands that arrived here too late", lambda: [({}, self.late)])

    async def start(self) -> None:
        self._unsubscribe = self._bus.subscribe(COMMAND_DELIVER, self._arrived)

    async def drain(self) -> None:
        """Take no more commands; inboxes end with their connections."""
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None

    async def stop(self) -> None:
        await self.drain()

    def health(self) -> str | None:
        return None

    # --- the endpoints' side ---------------------------------------------------------------------

    def open(self, filter: Filter, deliver: Deliver, protocol: str) -> _Inbox:
        inbox = _Inbox(filter, deliver, protocol, self)
        self._inboxes.setdefault((filter.application, filter.sender), []).append(inbox)
        return inbox

    def acknowledged(self, command: Command, sender: str, protocol: str) -> None:
        self.acknowledgements += 1
        self._report(command, State.ACKNOWLEDGED, sender, protocol)

    def _closed(self, inbox: _Inbox) -> None:
        sender = (inbox.filter.application, inbox.filter.sender)
        inboxes = self._inboxes[sender]
        inboxes.remove(inbox)
        if not inboxes:
            del self._inboxes[sender]

    # --- the bus's side --------------------------------------------------------------------------

    def _arrived(self, message: bytes) -> None:
        try:
            command = _decode(message)
        except msgspec.DecodeError as cause:
            _log.error("a command on the bus cannot be read", error=str(cause))
            return
        self.seen += 1
        if command.expires < self._clock():
            self.late += 1
            return
        for inbox in list(self._matching(command)):
            # Taking the command may have closed others, this one included.
            if inbox.open and self._deliver(inbox, command):
                self.delivered += 1
                self._report(command, State.SENT, inbox.filter.sender, inbox.protocol)

    def _matching(self, command: Command) -> Iterable[_Inbox]:
        # Each once, also where a device is named as its own gateway.
        for sender in dict.fromkeys((command.device, *command.gateways)):
            for inbox in self._inboxes.get((command.application, sender), ()):
                if inbox.filter.device in (None, command.device):
                    yield inbox

    def _deliver(self, inbox: _Inbox, command: Command) -> bool:
        try:
            return inbox.deliver(command)
        except Exception:
            # One broken connection must not keep the next from its command.
            _log.exception("an inbox failed", protocol=inbox.protocol, device=inbox.filter.sender)
            return False

    def _report(self, command: Command, state: State, sender: str, protocol: str) -> None:
        self._bus.publish(COMMAND_OUTCOME, _encode(Outcome(command.id, state, sender, protocol, self._clock())))
