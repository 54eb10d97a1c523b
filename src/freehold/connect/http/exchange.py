# SPDX-License-Identifier: Apache-2.0
"""One request on its way: who sent it, its event, its place in the log, its answer (drogue.md 1.2).

The straight way (everything known, from memory) runs in one go and ends in the log's queue; `durable` ends
it. Whatever has to wait - an identity that is not in memory, a command - holds the connection's next request
back, so that events of one connection keep their order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from freehold.connect.credentials import present
from freehold.connect.http import responses
from freehold.connect.http.head import Head
from freehold.connect.http.target import Target
from freehold.connect.http.wait import CommandWait
from freehold.connect.interfaces import Presented, Session
from freehold.core.errors import INTERNAL, METHOD_NOT_ALLOWED, FreeholdError
from freehold.registry.interfaces import DeviceSnapshot

if TYPE_CHECKING:
    from freehold.connect.http.connection import HttpConnection

_log = structlog.get_logger(__name__)


class Identity:
    """Whose a head is, and what it asks for: the same head means the same again, while the session is fresh."""

    __slots__ = ("session", "target")

    def __init__(self, target: Target, session: Session) -> None:
        self.target = target
        self.session = session


class Exchange:
    """A request and, once there is one, the bytes of its `response`. `close`: the connection ends with it."""

    __slots__ = ("_body", "_connection", "_device", "_head", "_session", "_target", "close", "response")

    def __init__(self, connection: HttpConnection, head: Head, body: bytes) -> None:
        self._connection = connection
        self._head = head
        self._body = body
        self.response: bytes | None = None
        self.close = not head.keep_alive

    def begin(self) -> None:
        """Go as far as memory allows: to the log's queue, to an answer, or into a task that holds the queue."""
        head, connection = self._head, self._connection
        try:
            identity = head.identity
            if isinstance(identity, Identity) and identity.session.fresh:
                self._target = identity.target
                self._identified(identity.session)
                return
            if head.failure is not None:
                raise head.failure
            if head.interim:
                self._answer(100, responses.CONTINUE)
                return
            target = self._target = connection.services.target(head.target)
            if target.root or head.method != b"POST":
                self._not_a_publish(target)
            else:
                self._authenticate(target)
        except FreeholdError as refusal:
            self._refuse(refusal)
        except Exception:
            self._broken()

    def _not_a_publish(self, target: Target) -> None:
        allowed = ("GET", "HEAD") if target.root else ("POST",)
        if self._head.method.decode("ascii") not in allowed:
            raise METHOD_NOT_ALLOWED.error(allow=", ".join(allowed))
        self._answer(200, responses.render(200, close=self._closing(), http10=self._head.http10))

    # --- who -------------------------------------------------------------------------------------

    def _authenticate(self, target: Target) -> None:
        connection = self._connection
        presented = present(self._head.authorization, target.application, target.device, connection.address)
        session = connection.services.gate.authenticate_cached(presented)
        if session is None:
            connection.hold(self, self._authenticate_slowly(presented))
            return
        self._head.identity = Identity(target, session)
        self._identified(session)

    async def _authenticate_slowly(self, presented: Presented) -> None:
        try:
            session = await self._connection.services.gate.authenticate(presented)
            self._head.identity = Identity(self._target, session)
            await self._find_device(session)
        except FreeholdError as refusal:
            self._refuse(refusal)
        except Exception:
            self._broken()

    def _identified(self, session: Session) -> None:
        device: DeviceSnapshot | None = session.device
        if self._target.on_behalf is not None:
            device = self._connection.services.gate.on_behalf_cached(session, self._target.on_behalf)
        if device is None:
            self._connection.hold(self, self._find_device_slowly(session))
        else:
            self._publish(session, device)

    async def _find_device_slowly(self, session: Session) -> None:
        try:
            await self._find_device(session)
        except FreeholdError as refusal:
            self._refuse(refusal)
        except Exception:
            self._broken()

    async def _find_device(self, session: Session) -> None:
        device = session.device
        if self._target.on_behalf is not None:
            device = await self._connection.services.gate.on_behalf(session, self._target.on_behalf)
        self._publish(session, device)

    # --- what ------------------------------------------------------------------------------------

    def _publish(self, session: Session, device: DeviceSnapshot) -> None:
        target, services = self._target, self._connection.services
        event = services.intake.event(
            session, device, target.channel, self._head.content_type, self._body, target.data_schema
        )
        services.submitter.submit(session.route, event, self._durable)
        if target.wait:
            self._session, self._device = session, device
            self._connection.block(self)
        else:
            self._connection.release(self)

    def _durable(self, failure: FreeholdError | None) -> None:
        if failure is not None:
            self._refuse(failure)
        elif not (self._target.wait and self._wait_for_command()):
            self._accept()

    def _wait_for_command(self) -> bool:
        services = self._connection.services
        seconds = min(self._target.wait, services.settings.command_wait_seconds)
        if not seconds or services.draining or self._connection.gone:
            return False
        wait = CommandWait(self._session, self._device, self._target, services, self._accept, self._command)
        self._connection.wait(wait)
        wait.begin(seconds)
        return True

    # --- answers ---------------------------------------------------------------------------------

    def _accept(self) -> None:
        if self._closing() or self._head.http10:
            self._answer(202, responses.render(202, close=self.close, http10=self._head.http10))
        else:
            self._answer(202, responses.accepted())

    def _command(self, name: str, payload: bytes) -> None:
        close = self._closing()
        self._answer(200, responses.command(name, payload, close=close, http10=self._head.http10))

    def _refuse(self, refusal: FreeholdError) -> None:
        self._connection.services.note(refusal, self._connection.address)
        head = self._head.method == b"HEAD"
        answer = responses.refused(refusal, close=self._closing(), http10=self._head.http10, head=head)
        self._answer(refusal.refusal.status, answer)

    def _broken(self) -> None:
        # A fault of ours must cost this request only: neither the neighbours nor the process.
        _log.exception("request failed")
        self._refuse(INTERNAL.error())

    def _closing(self) -> bool:
        if self._connection.services.draining and self._connection.last(self):
            self.close = True
        return self.close

    def _answer(self, status: int, response: bytes) -> None:
        self.response = response
        self._connection.services.answers[status] += 1
        self._connection.answered(self)
