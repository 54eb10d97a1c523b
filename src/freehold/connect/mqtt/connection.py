# SPDX-License-Identifier: Apache-2.0
"""One MQTT connection: bytes in, packets handled in order, bytes out.

Everything that can be answered from memory is handled in `data_received` without a task. What needs to ask
(a secret that must be hashed, a device not in the cache) *holds* the connection: reading pauses, one task
asks, and the rest of the bytes goes on from where it stopped. Slots only, and nothing allocated that an
idle connection does not need: at 100,000 of them every field counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, cast

import structlog

from freehold.commands.interfaces import Command, Filter
from freehold.commands.interfaces import Inbox as OpenInbox
from freehold.connect.interfaces import Session
from freehold.connect.mqtt import handshake
from freehold.connect.mqtt.codec import (
    Connect,
    DecodeError,
    Disconnect,
    Pingresp,
    PacketType,
    Properties,
    ProtocolViolation,
    Puback,
    ReasonCode,
    Suback,
    Subscribe,
    Unsuback,
    Unsubscribe,
    UnsupportedVersion,
    Will,
    check_from_client,
    decode_packet,
    encode,
    frame_bounds,
)
from freehold.connect.mqtt.dialect import UnknownDialect, dialect_of
from freehold.connect.mqtt.inbox import Inbox, NotAnInbox
from freehold.connect.mqtt.publisher import Publisher
from freehold.core.errors import (
    ACCESS_REVOKED,
    CREDENTIALS_REJECTED,
    INTERNAL,
    REQUEST_TIMEOUT,
    SUBSCRIPTION_REFUSED,
    FreeholdError,
)
from freehold.core.ids import new_uid

if TYPE_CHECKING:
    from freehold.connect.mqtt.endpoint import MqttEndpoint

_log = structlog.get_logger(__name__)
_PINGRESP = encode(Pingresp(), 4)
_NO_LIMIT = 1 << 28
LINGER_SECONDS = 5.0
"""Time for the last answers to leave a connection that ends; then it is cut."""

Waiting = Coroutine[Any, Any, None]


class MqttConnection(asyncio.Protocol):
    """Made by `MqttEndpoint` for each accepted socket."""

    __slots__ = (
        "_chunks",
        "_closing",
        "_endpoint",
        "_have",
        "_held",
        "_inbox",
        "_largest",
        "_need",
        "_open_inbox",
        "_publisher",
        "_reading",
        "_transport",
        "_version",
        "_writable",
        "address",
        "clean",
        "keep_alive",
        "last_seen",
        "session",
        "will",
    )

    def __init__(self, endpoint: MqttEndpoint) -> None:
        self._endpoint = endpoint
        self._transport: asyncio.Transport | None = None
        self._version = 0
        self._publisher: Publisher | None = None
        self._inbox: Inbox | None = None
        self._open_inbox: OpenInbox | None = None
        self._chunks: list[bytes] | None = None
        self._have = self._need = 0
        self._held = False
        self._reading = True
        self._writable = True
        self._closing: FreeholdError | None = None
        self._largest = _NO_LIMIT
        self.session: Session | None = None
        self.will: Will | None = None
        self.clean = False
        self.keep_alive = 0.0
        self.last_seen = 0.0
        self.address = ""

    # --- transport -------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self.address = peer[0] if isinstance(peer, tuple) else "local"
        self.last_seen = self._endpoint.now()
        if not self._endpoint.opened(self):
            self._transport.abort()

    def connection_lost(self, cause: Exception | None) -> None:
        self._transport = None
        if self._open_inbox is not None:
            self._open_inbox.close()
        self._endpoint.closed(self)

    def data_received(self, data: bytes) -> None:
        self.last_seen = self._endpoint.now()
        if self._chunks is not None:
            self._chunks.append(data)
            self._have += len(data)
            if self._held or self._have < self._need:
                return
            data = b"".join(self._chunks)
            self._chunks = None
        elif self._held:
            self._keep(data, 0)
            return
        self._process(data)

    def pause_writing(self) -> None:
        # A client that does not read its answers must not make us keep them: stop taking more from it.
        self._writable = False
        self._update_reading()

    def resume_writing(self) -> None:
        self._writable = True
        self._update_reading()

    # --- packets ---------------------------------------------------------------------------------

    def _process(self, data: bytes) -> None:
        """Handle the packets in `data`; keeps what is incomplete. Never raises."""
        offset, end = 0, len(data)
        largest = self._endpoint.settings.max_packet_bytes
        try:
            if self.session is not None and not self.session.fresh:
                self._hold(self._renew(), data, 0)
                return
            while offset < end and self._closing is None and self._transport is not None:
                bounds = frame_bounds(data, offset, end, largest)
                if bounds is None:
                    break
                first, (start, stop) = data[offset], bounds
                if first >> 4 == PacketType.PUBLISH and self._publisher is not None:
                    taken = self._publisher.take(first & 15, data, start, stop)
                    work = None if taken else self._publisher.resolve()
                else:
                    work = self._handle(first, data, start, stop)
                offset = stop
                if work is not None:
                    self._hold(work, data, offset)
                    return
            self._flush()
        except DecodeError as error:
            self._flush()
            self._protocol_error(error)
            return
        except Exception:
            # A fault of ours ends this connection, never the endpoint or a neighbour.
            _log.exception("a packet could not be handled", address=self.address)
            self.end(INTERNAL.error())
            return
        if offset < end and self._closing is None:
            self._keep(data, offset)

    def _handle(self, first: int, data: bytes, start: int, stop: int) -> Waiting | None:
        """Handle a packet that is no PUBLISH of a connected device. Returns what must be awaited first."""
        self._flush()
        kind = first >> 4
        if self._version == 0:
            return self._connect(first, data, start, stop)
        packet = decode_packet(first, data, self._version, start, stop)
        check_from_client(packet)
        if kind == PacketType.PINGREQ:
            self._write(_PINGRESP)
        elif isinstance(packet, Subscribe):
            self._subscribe(packet)
        elif isinstance(packet, Unsubscribe):
            self._unsubscribe(packet)
        elif isinstance(packet, Puback):
            self._acknowledged(packet)
        elif isinstance(packet, Disconnect):
            self.clean = packet.reason_code == ReasonCode.NORMAL_DISCONNECTION
            self._hang_up()
        else:
            raise ProtocolViolation(ReasonCode.PROTOCOL_ERROR, f"{packet.type.name} is out of place here (3.1)")
        return None

    def _connect(self, first: int, data: bytes, start: int, stop: int) -> Waiting | None:
        if first >> 4 != PacketType.CONNECT:
            self._endpoint.refused_before_connect += 1
            self._hang_up()  # nothing may be sent before CONNECT was read (3.1.4)
            return None
        packet = decode_packet(first, data, 0, start, stop)
        assert isinstance(packet, Connect)
        self._version = packet.version
        try:
            presented = handshake.presented_by(packet, self.address)
            session = self._endpoint.gate.authenticate_cached(presented)
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
        if self._transport is None:
            return  # gone while its secret was checked
        device = session.device
        try:
            dialect = dialect_of(device.mqtt_dialect, device.application.mqtt_dialect)
        except UnknownDialect as error:
            _log.warning("spec.mqtt cannot be understood", device=device.name, dialect=str(error))
            raise CREDENTIALS_REJECTED.error() from error
        endpoint = self._endpoint
        self.session, self.will = session, packet.will
        self._publisher = Publisher(
            session, self._version, dialect, endpoint.gate, endpoint.intake, self._answer, self.end
        )
        self._largest = packet.properties.maximum_packet_size or _NO_LIMIT
        # One and a half times the keep alive [MQTT-3.1.2-22].
        self.keep_alive = handshake.keep_alive_of(packet, endpoint.settings) * 1.5
        self._write(handshake.accepted(packet, endpoint.settings, new_uid()))
        endpoint.connected(self, session)

    def _refuse_connect(self, refusal: FreeholdError) -> None:
        self._endpoint.count_refused(refusal)
        self._write(handshake.refused(self._version, refusal))
        self._hang_up()

    def _subscribe(self, packet: Subscribe) -> None:
        assert self.session is not None
        inbox = self._inbox or Inbox(self.session.device.name, self._endpoint.settings.inbox)
        codes: list[ReasonCode] = []
        for subscription in packet.subscriptions:
            if packet.properties.subscription_identifiers:
                codes.append(ReasonCode.SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED)
                continue
            try:
                codes.append(ReasonCode(inbox.subscribe(subscription.topic_filter, subscription.qos)))
            except NotAnInbox:
                codes.append(ReasonCode.UNSPECIFIED_ERROR)
        reason = None if all(code < 0x80 for code in codes) else SUBSCRIPTION_REFUSED.error().reason_string()
        properties = Properties(reason_string=reason if self._version == 5 else None)
        # The inbox opens after SUBACK is written: a command must not come before the answer.
        self._write(encode(Suback(packet.packet_id, tuple(codes), properties), self._version))
        if self._inbox is None and not inbox.empty:
            self._inbox = inbox
            device = self.session.device
            self._open_inbox = self._endpoint.router.open(
                Filter(device.application.name, device.name), self._deliver, "mqtt"
            )

    def _unsubscribe(self, packet: Unsubscribe) -> None:
        codes: list[ReasonCode] = []
        for topic_filter in packet.topic_filters:
            existed = self._inbox is not None and self._inbox.unsubscribe(topic_filter)
            codes.append(ReasonCode.SUCCESS if existed else ReasonCode.NO_SUBSCRIPTION_EXISTED)
        if self._inbox is not None and self._inbox.empty and self._open_inbox is not None:
            self._open_inbox.close()
            self._inbox = self._open_inbox = None
        self._write(encode(Unsuback(packet.packet_id, tuple(codes) if self._version == 5 else ()), self._version))

    def _deliver(self, command: Command) -> bool:
        if self._inbox is None or not self._writable or self._closing is not None:
            return False
        return self._inbox.deliver(command, self._version, self._largest, self._write)

    def _acknowledged(self, packet: Puback) -> None:
        command = self._inbox.acknowledge(packet.packet_id) if self._inbox is not None else None
        if command is not None and packet.reason_code < 0x80:
            assert self.session is not None
            self._endpoint.router.acknowledged(command, self.session.device.name, "mqtt")

    # --- holding ---------------------------------------------------------------------------------

    def _keep(self, data: bytes, offset: int) -> None:
        """Keep `data[offset:]` until the packet that begins there is complete."""
        rest = data[offset:] if offset else data
        self._chunks = [rest]
        self._have = len(rest)
        self._need = _announced(rest)

    def _hold(self, work: Waiting, data: bytes, offset: int) -> None:
        self._held = True
        if offset < len(data):
            self._keep(data, offset)
        self._update_reading()
        self._endpoint.spawn(self._go_on_after(work))

    async def _go_on_after(self, work: Waiting) -> None:
        try:
            await work
        except DecodeError as error:
            self._protocol_error(error)
        except Exception:
            _log.exception("a packet could not be handled", address=self.address)
            self.end(INTERNAL.error())
        self._held = False
        if self._transport is None:
            return
        self._update_reading()
        data = b"".join(self._chunks or ())
        self._chunks = None
        self._process(data)

    async def _renew(self) -> None:
        """The registry changed under this connection: still who it was, or not any more."""
        assert self.session is not None
        assert self._publisher is not None
        try:
            session = await self._endpoint.gate.renew(self.session)
            device = session.device
            dialect_of(device.mqtt_dialect, device.application.mqtt_dialect)
        except FreeholdError as refusal:
            self.end(refusal)
        except UnknownDialect:
            self.end(ACCESS_REVOKED.error("spec.mqtt cannot be understood"))
        else:
            self.session = session
            self._publisher.renewed(session, dialect_of(device.mqtt_dialect, device.application.mqtt_dialect))

    def registry_changed(self) -> None:
        """Called by the endpoint when this connection's device or application changed: look at once."""
        if self.session is not None and not self.session.fresh and not self._held and self._transport is not None:
            waiting = b"".join(self._chunks or ())
            self._chunks = None
            self._hold(self._renew(), waiting, 0)

    def _update_reading(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        wanted = self._writable and not self._held and not self._window_full()
        if wanted != self._reading:
            self._reading = wanted
            if wanted:
                self._transport.resume_reading()
            else:
                self._transport.pause_reading()

    def _window_full(self) -> bool:
        return self._publisher is not None and self._publisher.unanswered > self._endpoint.settings.receive_maximum

    # --- writing and ending ----------------------------------------------------------------------

    def _flush(self) -> None:
        if self._publisher is None:
            return
        self._publisher.flush()
        if self._window_full():
            if self._version == 5:
                raise ProtocolViolation(
                    ReasonCode.RECEIVE_MAXIMUM_EXCEEDED, "more unanswered publishes than receive maximum (3.3.4)"
                )
            self._update_reading()  # 3.1.1 has no word for it: TCP holds the sender back

    def _answer(self, data: bytes) -> None:
        """Write answers of the publisher; the last ones may be what an ending connection waited for."""
        self._write(data)
        if self._closing is not None:
            self._end_if_answered()
        elif not self._reading:
            self._update_reading()

    def _write(self, data: bytes) -> None:
        if self._transport is not None and data:
            self._transport.write(data)

    def _protocol_error(self, error: DecodeError) -> None:
        self._endpoint.protocol_errors += 1
        _log.info("protocol error", address=self.address, reason=error.text)
        if isinstance(error, UnsupportedVersion):
            self._write(handshake.unsupported(error))
        elif self._version == 5 and self.session is not None:
            self._write(encode(Disconnect(error.reason_code, Properties(reason_string=error.text)), 5))
        self._hang_up()

    def end(self, error: FreeholdError) -> None:
        """Close because of `error`, after the answers that are on their way; version 5 hears why."""
        if self._closing is None and self._transport is not None:
            self._closing = error
            self._end_if_answered()

    def _end_if_answered(self) -> None:
        if self._publisher is not None and self._publisher.unanswered > 0:
            return
        error = self._closing
        assert error is not None
        if self._version == 5 and self.session is not None:
            properties = handshake.reason_properties(error)
            self._write(encode(Disconnect(handshake.disconnect_reason(error), properties), 5))
        self._hang_up()

    def _hang_up(self) -> None:
        transport = self._transport
        if transport is not None and not transport.is_closing():
            if transport.get_write_buffer_size():
                self._endpoint.loop.call_later(LINGER_SECONDS, transport.abort)
            transport.close()

    def overdue(self, now: float) -> bool:
        """Whether the peer was silent for longer than it may; then it is ended by the caller's sweep."""
        allowed = self.keep_alive if self.session is not None else self._endpoint.settings.connect_timeout_seconds
        waits_for_us = self._held or (self._writable and not self._reading)
        return bool(allowed) and now - self.last_seen > allowed and not waits_for_us

    def time_out(self) -> None:
        """End an overdue connection: keep alive missed [MQTT-3.1.2-22], or CONNECT never came."""
        if self.session is not None:
            self.end(REQUEST_TIMEOUT.error("keep alive missed"))
        else:
            self._endpoint.refused_before_connect += 1
            self._hang_up()


def _announced(data: bytes) -> int:
    """Bytes of the packet that begins `data`, as its header announces; one more than there is while unknown."""
    length = shift = 0
    for position in range(1, min(len(data), 5)):
        byte = data[position]
        length |= (byte & 127) << shift
        if byte < 128:
            return position + 1 + length
        shift += 7
    return len(data) + 1
