# SPDX-License-Identifier: Apache-2.0
"""Who is at the other end: CONNECT, the session it opens, its life until the end is said in the peer's words.

Between the bytes (`stream`) and what a connected device may do (`connection`). A session is as good as the
registry: after a change there nothing more is handled before the gate has agreed again.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import structlog

from freehold.connect.interfaces import Session
from freehold.connect.mqtt import answers, handshake
from freehold.connect.mqtt.codec import Connect, DecodeError, UnsupportedVersion, Will, decode_packet, peek_version
from freehold.connect.mqtt.dialect import Dialect, UnknownDialect, dialect_of
from freehold.connect.mqtt.stream import STALLED_SECONDS, PacketStream, Waiting
from freehold.core.errors import ACCESS_REVOKED, CREDENTIALS_REJECTED, INTERNAL, REQUEST_TIMEOUT, FreeholdError
from freehold.core.ids import new_uid

if TYPE_CHECKING:
    from freehold.connect.mqtt.endpoint import MqttEndpoint

_log = structlog.get_logger(__name__)


class DeviceStream(PacketStream):
    """A stream that knows, once CONNECT was accepted, whose it is."""

    __slots__ = ("_limits", "_version", "clean", "keep_alive", "session", "will")

    def __init__(self, endpoint: MqttEndpoint) -> None:
        super().__init__(endpoint)
        self._version = 0
        self._limits = answers.NO_LIMITS
        self.session: Session | None = None
        self.will: Will | None = None
        self.clean = False
        self.keep_alive = 0.0

    # --- what the subclass says --------------------------------------------------------------------

    def _signed_in(self, session: Session, dialect: Dialect) -> None:
        """The device may speak from now on; CONNACK follows."""
        raise NotImplementedError

    def _welcomed(self, session: Session) -> None:
        """CONNACK is written."""
        raise NotImplementedError

    def _renewed(self, session: Session, dialect: Dialect) -> None:
        """The registry changed, and the device may go on, as what it is now."""
        raise NotImplementedError

    def _submit(self) -> None:
        """Hand on what was collected: the connection may end now."""
        raise NotImplementedError

    @property
    def _connected(self) -> bool:
        return self.session is not None

    # --- connecting --------------------------------------------------------------------------------

    def _connect(self, first: int, data: bytes, start: int, stop: int) -> Waiting | None:
        """Handle the first packet, a CONNECT. Returns what must be awaited first."""
        self._version = peek_version(data, start, stop) or 0
        packet = decode_packet(first, data, 0, start, stop)
        assert isinstance(packet, Connect)
        handshake.check_offered(packet)
        self._limits = answers.limits_of(packet)
        try:
            session = self._endpoint.gate.authenticate_cached(handshake.presented_by(packet, self.address))
            if session is None:
                return partial(self._authenticate, packet)
            self._accept(packet, session)
        except FreeholdError as refusal:
            self._refuse_connect(refusal)
        return None

    async def _authenticate(self, packet: Connect) -> None:
        try:
            session = await self._endpoint.gate.authenticate(handshake.presented_by(packet, self.address))
            self._accept(packet, session)
        except FreeholdError as refusal:
            self._refuse_connect(refusal)

    def _accept(self, packet: Connect, session: Session) -> None:
        if self._farewell is not None:
            return  # ended while its secret was checked
        device = session.device
        try:
            dialect = dialect_of(device.mqtt_dialect, device.application.mqtt_dialect)
        except UnknownDialect as error:
            _log.warning("spec.mqtt cannot be understood", device=device.name, dialect=str(error))
            raise CREDENTIALS_REJECTED.error() from error
        endpoint = self._endpoint
        welcome = handshake.accepted(packet, endpoint.settings, new_uid())
        if len(welcome) > self._limits.packet_bytes:
            self._cut()  # it may not be sent [MQTT-3.1.2-24], and without it there is no connection
            return
        self.session, self.will = session, packet.will
        self._signed_in(session, dialect)
        # One and a half times the keep alive [MQTT-3.1.2-22].
        self.keep_alive = handshake.keep_alive_of(packet, endpoint.settings) * 1.5
        self.last_seen = endpoint.now()
        self._write(welcome)
        self._welcomed(session)

    def _refuse_connect(self, refusal: FreeholdError) -> None:
        self._endpoint.numbers.refused[refusal.refusal.code] += 1  # who it was, the gate says
        self._end_with(handshake.refused(self._version, refusal, self._limits))

    # --- changes in the registry -------------------------------------------------------------------

    async def look_again(self) -> None:
        """The registry changed: handle nothing more before it is clear that this device may stay."""
        if self.session is None or self.session.fresh or self._task is not None or self._farewell is not None:
            return  # gone, or looked at already, or about to be when what holds it is done
        waiting, self._buffer = bytes(self._buffer or b""), None
        # `wait`, because the task is cancelled when the connection goes, and whoever waits here is not.
        await asyncio.wait([self._hold(self._renew, waiting, 0)])

    async def _renew(self) -> None:
        assert self.session is not None
        try:
            session = await self._endpoint.gate.renew(self.session)
            dialect = dialect_of(session.device.mqtt_dialect, session.device.application.mqtt_dialect)
        except FreeholdError as refusal:
            self.end(refusal)
        except UnknownDialect:
            self.end(ACCESS_REVOKED.error("spec.mqtt cannot be understood"))
        else:
            self.session = session
            self._renewed(session, dialect)

    # --- ending ------------------------------------------------------------------------------------

    def end(self, error: FreeholdError) -> None:
        """Close because of `error`, after the answers that are on their way; version 5 hears why."""
        if self.session is not None:
            self._end_with(answers.disconnect(self._version, error, self._limits))
        elif self._version:
            self._refuse_connect(error)
        else:
            self._end_with(b"")

    def overdue(self, now: float) -> bool:
        """Whether the peer was silent for longer than it may; then it is ended by the caller's sweep."""
        if self._farewell is not None or self._task is not None:
            return False
        if not self._writable:
            allowed = STALLED_SECONDS
        elif self.session is None:
            allowed = self._endpoint.settings.connect_timeout_seconds
        else:
            allowed = self.keep_alive if self._reading else 0.0
        return bool(allowed) and now - self.last_seen > allowed

    def time_out(self) -> None:
        """End an overdue connection: answers unread, keep alive missed [MQTT-3.1.2-22], or CONNECT never came."""
        if not self._writable:
            self.abort()
        elif self.session is None:
            self._cut()
        else:
            self.end(REQUEST_TIMEOUT.error("keep alive missed"))

    def _cut(self) -> None:
        self._endpoint.numbers.cut += 1
        self._hang_up()

    def _failed(self, error: Exception) -> None:
        if not isinstance(error, DecodeError):
            # A fault of ours ends this connection, never the endpoint or a neighbour.
            _log.error("a packet could not be handled", address=self.address, exc_info=error)
            self.end(INTERNAL.error())
            return
        self._submit()  # what came before it was right
        self._endpoint.numbers.protocol_error(error, self.address)
        if self.session is not None:
            self._end_with(answers.protocol_error(self._version, error, self._limits))
        elif isinstance(error, UnsupportedVersion):
            self._end_with(handshake.unsupported(error))
        else:
            self._end_with(handshake.malformed(self._version, error))
