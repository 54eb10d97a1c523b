# SPDX-License-Identifier: Apache-2.0
"""The publishing half of a connection: PUBLISH packets of one read become one submission to the log.

Everything that one `recv` brought is normalised, submitted together and acknowledged in one write when the
log says durable. Answers keep the order of the packets [MQTT-4.6.0-2]: a refused publish waits in the same
list as its neighbours, and a refused list behind those that are still on their way to the disk.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Protocol

from freehold.connect.interfaces import Gate, Intake, Session
from freehold.connect.mqtt.codec import (
    NO_PROPERTIES,
    Properties,
    ProtocolViolation,
    Publish,
    ReasonCode,
    decode_publish,
    puback_ok,
)
from freehold.connect.mqtt.dialect import Dialect, Target
from freehold.core.errors import OVERLOADED, FreeholdError
from freehold.events.models import Event
from freehold.log.interfaces import Route
from freehold.registry.interfaces import DeviceSnapshot

KNOWN_TOPICS = 128
"""Topics of one connection whose target is remembered."""
KNOWN_TOPIC_LENGTH = 256
"""Longer ones are looked at each time, so that the table stays small."""


class Peer(Protocol):
    """The connection, as its publisher sees it."""

    def answer(self, data: bytes) -> None:
        """Write answers; empty when there was nothing to say."""
        ...

    def refusing(self, packet_id: int, error: FreeholdError) -> bytes | None:
        """The PUBACK that refuses; None where the protocol has none (3.1.1), so that the connection must end."""
        ...

    def end(self, error: FreeholdError) -> None: ...

    def note(self, error: FreeholdError, number: int, topic: str) -> None:
        """Count and log that `number` messages were refused; `topic` is that of a single one."""
        ...


class Publisher:
    """Collects the publishes of one connection."""

    __slots__ = (
        "_answers",
        "_dialect",
        "_events",
        "_gate",
        "_intake",
        "_last",
        "_peer",
        "_pending",
        "_routes",
        "_targets",
        "_version",
        "session",
        "unanswered",
    )

    def __init__(
        self, session: Session, version: int, dialect: Dialect, gate: Gate, intake: Intake, peer: Peer
    ) -> None:
        self.session = session
        self._version, self._dialect = version, dialect
        self._gate, self._intake = gate, intake
        self._peer = peer
        self._targets: dict[str, tuple[DeviceSnapshot, str]] = {}
        self._routes: list[Route] = []
        self._events: list[Event] = []
        self._answers: list[bytes | int] = []
        self._pending: Publish | None = None
        self._last: asyncio.Future[None] | None = None
        self.unanswered = 0

    def take(self, flags: int, data: bytes, start: int, stop: int) -> bool:
        """Take the PUBLISH in `data[start:stop]`. False: `await resolve()` first, it goes on from there.

        Raises `DecodeError` for what the protocol forbids.
        """
        packet = decode_publish(flags, data, start, stop, self._version)
        if packet.qos == 2:
            raise ProtocolViolation(ReasonCode.QOS_NOT_SUPPORTED, "QoS 2 is not offered (3.2.2.3.4)")
        if packet.properties is not NO_PROPERTIES:
            _check(packet.properties)
        known = self._targets.get(packet.topic)
        if known is not None and not known[0].stale:
            self._accept(packet, *known)
            return True
        try:
            target = self._dialect(packet.topic)
        except FreeholdError as refusal:
            self._refuse(packet, refusal)
            return True
        device = self._device_now(target)
        if device is None:
            self._pending = packet
            return False
        self._remember(packet.topic, device, target.channel)
        self._accept(packet, device, target.channel)
        return True

    async def resolve(self) -> None:
        """Ask the gate for the device that the held publish speaks for, then take it."""
        packet, self._pending = self._pending, None
        assert packet is not None
        target = self._dialect(packet.topic)
        assert target.device is not None
        try:
            device = await self._gate.on_behalf(self.session, target.device)
        except FreeholdError as refusal:
            self._refuse(packet, refusal)
        else:
            self._remember(packet.topic, device, target.channel)
            self._accept(packet, device, target.channel)

    def flush(self) -> None:
        """Submit what was collected. Answers follow when it is durable, in order."""
        if not self._answers and not self._events:
            return
        routes, events, answers = self._routes, self._events, self._answers
        self._routes, self._events, self._answers = [], [], []
        failure, future = None, self._last
        if events:
            try:
                future = self._last = self._intake.submit(routes, events)
            except FreeholdError as refusal:
                failure = refusal
                self._peer.note(refusal, len(events), "")
        self.unanswered += len(answers)
        if future is None:
            self._settle(answers, failure)
        else:
            # What was refused at once is said behind what is still on its way: futures call back in order.
            future.add_done_callback(partial(self._durable, answers, failure))

    def renewed(self, session: Session, dialect: Dialect) -> None:
        """Go on after a change in the registry: what was known of topics may not hold any more."""
        self.session, self._dialect = session, dialect
        self._targets.clear()

    # --- inside ----------------------------------------------------------------------------------

    def _accept(self, packet: Publish, device: DeviceSnapshot, channel: str) -> None:
        try:
            event = self._intake.event(self.session, device, channel, packet.properties.content_type, packet.payload)
        except FreeholdError as refusal:
            self._refuse(packet, refusal)
            return
        self._routes.append(self.session.route)
        self._events.append(event)
        if packet.qos:
            # The plain number means success: the four bytes are made when they are sent, or never.
            self._answers.append(packet.packet_id)

    def _refuse(self, packet: Publish, refusal: FreeholdError) -> None:
        self._peer.note(refusal, 1, packet.topic)
        if not packet.qos:
            return  # QoS 0 has no answer; closing would punish the neighbours in this read (advice A-8)
        answer = self._peer.refusing(packet.packet_id, refusal)
        if answer is None:
            self.flush()
            self._peer.end(refusal)
        else:
            self._answers.append(answer)

    def _durable(self, answers: list[bytes | int], failure: FreeholdError | None, future: asyncio.Future[None]) -> None:
        if future is self._last:
            self._last = None  # an idle connection keeps nothing of what it did
        if failure is None and (future.cancelled() or future.exception() is not None):
            cause = None if future.cancelled() else future.exception()
            failure = cause if isinstance(cause, FreeholdError) else OVERLOADED.error()
            self._peer.note(failure, len(answers), "")
        self._settle(answers, failure)

    def _settle(self, answers: list[bytes | int], failure: FreeholdError | None) -> None:
        self.unanswered -= len(answers)
        if failure is None:
            self._peer.answer(b"".join([puback_ok(each) if isinstance(each, int) else each for each in answers]))
            return
        said = [self._peer.refusing(each, failure) if isinstance(each, int) else each for each in answers]
        if None in said:
            self._peer.end(failure)
        self._peer.answer(b"".join([each for each in said if each is not None]))

    def _device_now(self, target: Target) -> DeviceSnapshot | None:
        device = self.session.device
        if target.device is None or target.device == device.name:
            return device
        return self._gate.on_behalf_cached(self.session, target.device)

    def _remember(self, topic: str, device: DeviceSnapshot, channel: str) -> None:
        if len(topic) > KNOWN_TOPIC_LENGTH:
            return
        if len(self._targets) >= KNOWN_TOPICS:
            self._targets.clear()
        self._targets[topic] = (device, channel)


def _check(properties: Properties) -> None:
    """What a device may not put into a PUBLISH. (The codec knows both directions.)"""
    if properties.topic_alias is not None:
        raise ProtocolViolation(ReasonCode.TOPIC_ALIAS_INVALID, "topic alias maximum is 0 (3.3.2.3.4)")
    if properties.subscription_identifiers:
        raise ProtocolViolation(ReasonCode.PROTOCOL_ERROR, "subscription identifier from a client [MQTT-3.3.4-6]")
