# SPDX-License-Identifier: Apache-2.0
"""One MQTT connection: packets handled in order, publishes handed to the publisher, commands to the inbox.

Everything that can be answered from memory is handled in `data_received` without a task. What needs to ask
(a secret that must be hashed, a device not in the cache) *holds* the connection (see `stream`).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from freehold.commands.interfaces import Command, Filter
from freehold.commands.interfaces import Inbox as OpenInbox
from freehold.connect.interfaces import Session
from freehold.connect.mqtt import answers, handshake
from freehold.connect.mqtt.codec import (
    Connect,
    DecodeError,
    Disconnect,
    PacketType,
    Pingresp,
    ProtocolViolation,
    Puback,
    ReasonCode,
    Subscribe,
    Unsubscribe,
    UnsupportedVersion,
    Will,
    check_from_client,
    decode_packet,
    encode,
    frame_bounds,
    peek_version,
)
from freehold.connect.mqtt.dialect import UnknownDialect, dialect_of
from freehold.connect.mqtt.inbox import Inbox
from freehold.connect.mqtt.publisher import Publisher
from freehold.connect.mqtt.stream import STALLED_SECONDS, PacketStream, Waiting
from freehold.core.errors import ACCESS_REVOKED, CREDENTIALS_REJECTED, INTERNAL, REQUEST_TIMEOUT, FreeholdError
from freehold.core.ids import new_uid

if TYPE_CHECKING:
    from freehold.connect.mqtt.endpoint import MqttEndpoint

_log = structlog.get_logger(__name__)
_PINGRESP = encode(Pingresp(), 4)
_CONNECT = PacketType.CONNECT << 4
_PUBLISH = int(PacketType.PUBLISH)

CONNECT_BYTES = 65_536
"""Largest CONNECT, however large the messages of devices may be: nobody knows yet who sends it."""


class MqttConnection(PacketStream):
    """Made by `MqttEndpoint` for each accepted socket; also the `Peer` of its publisher."""

    __slots__ = (
        "_inbox",
        "_limits",
        "_open_inbox",
        "_publisher",
        "_version",
        "clean",
        "keep_alive",
        "session",
        "will",
    )

    def __init__(self, endpoint: MqttEndpoint) -> None:
        super().__init__(endpoint)
        self._version = 0
        self._limits = answers.NO_LIMITS
        self._publisher: Publisher | None = None
        self._inbox: Inbox | None = None
        self._open_inbox: OpenInbox | None = None
        self.session: Session | None = None
        self.will: Will | None = None
        self.clean = False
        self.keep_alive = 0.0

    @property
    def _connected(self) -> bool:
        return self.session is not None

    @property
    def _unanswered(self) -> int:
        return self._publisher.unanswered if self._publisher is not None else 0

    @property
    def _full(self) -> bool:
        return self._publisher is not None and self._publisher.unanswered > self._endpoint.settings.receive_maximum

    def _opened(self) -> bool:
        return self._endpoint.opened(self)

    def _leaving(self) -> None:
        self._endpoint.leaving(self)

    def _closed(self) -> None:
        if self._open_inbox is not None:
            self._open_inbox.close()
        self._endpoint.closed(self)

    # --- packets -----------------------------------------------------------------------------------

    def _process(self, data: bytes) -> None:
        offset, end = 0, len(data)
        try:
            if self.session is None:
                largest = min(self._endpoint.settings.max_packet_bytes, CONNECT_BYTES)
                if end and data[0] != _CONNECT:
                    self._cut()  # nothing may be sent before CONNECT was read (3.1.4)
                    return
            elif self.session.fresh:
                largest = self._endpoint.settings.max_packet_bytes
            else:
                self._hold(self._renew(), data, 0)
                return
            while offset < end and self._farewell is None:
                bounds = frame_bounds(data, offset, end, largest)
                if bounds is None:
                    break
                first, (start, stop) = data[offset], bounds
                if first >> 4 == _PUBLISH and self._publisher is not None:
                    offset = stop
                    if self._publisher.take(first & 15, data, start, stop):
                        continue
                    self._flush()
                    work: Waiting | None = self._publisher.resolve()
                else:
                    work = self._handle(first, data, start, stop)
                    largest, offset = self._endpoint.settings.max_packet_bytes, stop
                if work is not None:
                    self._hold(work, data, offset)
                    return
            self._flush()
        except Exception as error:
            self._failed(error)
            return
        if offset < end and self._farewell is None:
            self._keep(data, offset)

    def _handle(self, first: int, data: bytes, start: int, stop: int) -> Waiting | None:
        """Handle a packet that is no PUBLISH of a connected device. Returns what must be awaited first."""
        self._flush()
        if self.session is None:
            return self._connect(first, data, start, stop)
        packet = decode_packet(first, data, self._version, start, stop)
        check_from_client(packet)
        if first >> 4 == PacketType.PINGREQ:
            self._write(_PINGRESP)
        elif isinstance(packet, Subscribe):
            self._subscribe(packet, self.session)
        elif isinstance(packet, Unsubscribe):
            self._unsubscribe(packet)
        elif isinstance(packet, Puback):
            self._acknowledged(packet, self.session)
        elif isinstance(packet, Disconnect):
            self.clean = packet.reason_code == ReasonCode.NORMAL_DISCONNECTION
            self._leaving()
            self._hang_up()
        else:
            raise ProtocolViolation(ReasonCode.PROTOCOL_ERROR, f"{packet.type.name} is out of place here (3.1)")
        return None

    # --- connecting --------------------------------------------------------------------------------

    def _connect(self, first: int, data: bytes, start: int, stop: int) -> Waiting | None:
        self._version = peek_version(data, start, stop) or 0
        packet = decode_packet(first, data, 0, start, stop)
        assert isinstance(packet, Connect)
        handshake.check_offered(packet)
        self._limits = answers.limits_of(packet)
        try:
            session = self._endpoint.gate.authenticate_cached(handshake.presented_by(packet, self.address))
            if session is None:
                return self._authenticate(packet)
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
        self._publisher = Publisher(session, self._version, dialect, endpoint.gate, endpoint.intake, self)
        # One and a half times the keep alive [MQTT-3.1.2-22].
        self.keep_alive = handshake.keep_alive_of(packet, endpoint.settings) * 1.5
        self.last_seen = endpoint.now()
        self._write(welcome)
        endpoint.connected(self, session)

    def _refuse_connect(self, refusal: FreeholdError) -> None:
        self._endpoint.count_refused(refusal)
        self._end_with(handshake.refused(self._version, refusal, self._limits))

    # --- commands ----------------------------------------------------------------------------------

    def _subscribe(self, packet: Subscribe, session: Session) -> None:
        inbox = self._inbox
        if inbox is None:
            inbox = Inbox(session.device.name, min(self._endpoint.settings.inbox, self._limits.receives))
        # The inbox opens after SUBACK is written: a command must not come before the answer.
        self._write(inbox.subscribe(packet, self._version, self._limits))
        if self._open_inbox is None and not inbox.closed:
            self._inbox = inbox
            mine = Filter(session.device.application.name, session.device.name)
            self._open_inbox = self._endpoint.router.open(mine, self._deliver, "mqtt")

    def _unsubscribe(self, packet: Unsubscribe) -> None:
        inbox = self._inbox or Inbox("", 1)
        self._write(inbox.unsubscribe(packet, self._version))
        if inbox.closed and self._open_inbox is not None:
            self._open_inbox.close()
            self._open_inbox = None

    def _deliver(self, command: Command) -> bool:
        if self._inbox is None or not self._writable or self._farewell is not None:
            return False
        return self._inbox.deliver(command, self._version, self._limits.packet_bytes, self._write)

    def _acknowledged(self, packet: Puback, session: Session) -> None:
        command = self._inbox.acknowledge(packet.packet_id) if self._inbox is not None else None
        if command is not None and packet.reason_code < 0x80:
            self._endpoint.router.acknowledged(command, session.device.name, "mqtt")

    # --- changes in the registry -------------------------------------------------------------------

    async def look_again(self) -> None:
        """The registry changed: handle nothing more before it is clear that this device may stay."""
        if self.session is None or self.session.fresh or self._task is not None or self._farewell is not None:
            return  # gone, or looked at already, or about to be when what holds it is done
        waiting, self._buffer = bytes(self._buffer or b""), None
        # `wait`, because the task is cancelled when the connection goes, and whoever waits here is not.
        await asyncio.wait([self._hold(self._renew(), waiting, 0)])

    async def _renew(self) -> None:
        session = self.session
        assert session is not None
        assert self._publisher is not None
        try:
            session = await self._endpoint.gate.renew(session)
            dialect = dialect_of(session.device.mqtt_dialect, session.device.application.mqtt_dialect)
        except FreeholdError as refusal:
            self.end(refusal)
        except UnknownDialect:
            self.end(ACCESS_REVOKED.error("spec.mqtt cannot be understood"))
        else:
            self.session = session
            self._publisher.renewed(session, dialect)

    # --- the publisher's peer ----------------------------------------------------------------------

    def answer(self, data: bytes) -> None:
        self._write(data)
        self._answered()

    def refusing(self, packet_id: int, error: FreeholdError) -> bytes | None:
        return answers.refused_publish(packet_id, error, self._limits) if self._version == 5 else None

    def note(self, error: FreeholdError, number: int, topic: str) -> None:
        device = self.session.device.name if self.session is not None else ""
        self._endpoint.note(error, number, device, topic)

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
        self._endpoint.refused_before_connect += 1
        self._hang_up()

    def _flush(self) -> None:
        if self._publisher is None:
            return
        self._publisher.flush()
        if self._full:
            if self._version == 5:
                raise ProtocolViolation(
                    ReasonCode.RECEIVE_MAXIMUM_EXCEEDED, "more unanswered publishes than receive maximum (3.3.4)"
                )
            self._update_reading()  # 3.1.1 has no word for it: TCP holds the sender back

    def _failed(self, error: Exception) -> None:
        if not isinstance(error, DecodeError):
            # A fault of ours ends this connection, never the endpoint or a neighbour.
            _log.error("a packet could not be handled", address=self.address, exc_info=error)
            self.end(INTERNAL.error())
            return
        if self._publisher is not None:
            self._publisher.flush()  # what came before it was right
        self._endpoint.protocol_error(error, self.address)
        if self.session is not None:
            self._end_with(answers.protocol_error(self._version, error, self._limits))
        elif isinstance(error, UnsupportedVersion):
            self._end_with(handshake.unsupported(error))
        else:
            self._end_with(handshake.malformed(self._version, error))
