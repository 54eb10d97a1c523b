# SPDX-License-Identifier: Apache-2.0
"""One MQTT connection: packets handled in order, publishes handed to the publisher, commands to the inbox.

Everything that can be answered from memory is handled in `data_received` without a task. What needs to ask
(a secret that must be hashed, a device not in the cache) *holds* the connection (see `stream`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from freehold.commands.interfaces import Command, Filter
from freehold.commands.interfaces import Inbox as OpenInbox
from freehold.connect.interfaces import Session
from freehold.connect.mqtt import answers
from freehold.connect.mqtt.codec import (
    Disconnect,
    PacketType,
    Pingresp,
    ProtocolViolation,
    Puback,
    ReasonCode,
    Subscribe,
    Unsubscribe,
    check_from_client,
    decode_packet,
    encode,
    frame_bounds,
)
from freehold.connect.mqtt.device import DeviceStream
from freehold.connect.mqtt.dialect import Dialect
from freehold.connect.mqtt.inbox import Inbox
from freehold.connect.mqtt.publisher import Publisher
from freehold.connect.mqtt.stream import Waiting
from freehold.core.errors import FreeholdError

if TYPE_CHECKING:
    from freehold.connect.mqtt.endpoint import MqttEndpoint

_PINGRESP = encode(Pingresp(), 4)
_CONNECT = PacketType.CONNECT << 4
_PUBLISH = int(PacketType.PUBLISH)

CONNECT_BYTES = 65_536
"""Largest CONNECT, however large the messages of devices may be: nobody knows yet who sends it."""


class MqttConnection(DeviceStream):
    """Made by `MqttEndpoint` for each accepted socket; also the `Peer` of its publisher."""

    __slots__ = ("_inbox", "_open_inbox", "_publisher")

    def __init__(self, endpoint: MqttEndpoint) -> None:
        super().__init__(endpoint)
        self._publisher: Publisher | None = None
        self._inbox: Inbox | None = None
        self._open_inbox: OpenInbox | None = None

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
                self._hold(self._renew, data, 0)
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
                    work: Waiting | None = self._publisher.resolve
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

    # --- the publisher's peer ----------------------------------------------------------------------

    def answer(self, data: bytes) -> None:
        self._write(data)
        self._answered()

    def refusing(self, packet_id: int, error: FreeholdError) -> bytes | None:
        return answers.refused_publish(packet_id, error, self._limits) if self._version == 5 else None

    def note(self, error: FreeholdError, number: int, topic: str) -> None:
        device = self.session.device.name if self.session is not None else ""
        self._endpoint.numbers.refused_publish(error, number, device, topic)

    # --- what stream and device ask ----------------------------------------------------------------

    def _opened(self) -> bool:
        return self._endpoint.opened(self)

    def _leaving(self) -> None:
        self._endpoint.leaving(self)

    def _closed(self) -> None:
        if self._open_inbox is not None:
            self._open_inbox.close()
        self._endpoint.closed(self)

    def _signed_in(self, session: Session, dialect: Dialect) -> None:
        endpoint = self._endpoint
        self._publisher = Publisher(session, self._version, dialect, endpoint.gate, endpoint.intake, self)

    def _welcomed(self, session: Session) -> None:
        self._endpoint.connected(self, session)

    def _renewed(self, session: Session, dialect: Dialect) -> None:
        assert self._publisher is not None
        self._publisher.renewed(session, dialect)

    def _submit(self) -> None:
        if self._publisher is not None:
            self._publisher.flush()

    @property
    def _unanswered(self) -> int:
        return self._publisher.unanswered if self._publisher is not None else 0

    @property
    def _full(self) -> bool:
        return self._publisher is not None and self._publisher.unanswered > self._endpoint.settings.receive_maximum
