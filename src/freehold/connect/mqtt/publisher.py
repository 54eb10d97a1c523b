# SPDX-License-Identifier: Apache-2.0
"""The publishing half of a connection: PUBLISH packets of one read become one submission to the log.

Everything that one `recv` brought is normalised, submitted together and acknowledged in one write when the
log says durable. Answers keep the order of the packets [MQTT-4.6.0-2]: a refused publish waits in the same
list as its neighbours.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import structlog

from freehold.connect.interfaces import Gate, Intake, Session
from freehold.connect.mqtt.codec import (
    Properties,
    ProtocolViolation,
    Puback,
    Publish,
    ReasonCode,
    decode_publish,
    encode,
    puback_ok,
)
from freehold.connect.mqtt.dialect import Dialect, Target
from freehold.core.errors import OVERLOADED, FreeholdError
from freehold.events.models import Event
from freehold.log.interfaces import Route
from freehold.registry.interfaces import DeviceSnapshot

_log = structlog.get_logger(__name__)

KNOWN_TOPICS = 128
"""Topics of one connection whose target is remembered."""


class Publisher:
    """Collects the publishes of one connection. `answer` writes, `give_up` closes with an error (3.1.1 only
    knows that answer)."""

    __slots__ = (
        "_answer",
        "_answers",
        "_device",
        "_dialect",
        "_events",
        "_gate",
        "_give_up",
        "_intake",
        "_pending",
        "_routes",
        "_targets",
        "_version",
        "session",
        "unanswered",
    )

    def __init__(
        self,
        session: Session,
        version: int,
        dialect: Dialect,
        gate: Gate,
        intake: Intake,
        answer: Callable[[bytes], None],
        give_up: Callable[[FreeholdError], None],
    ) -> None:
        self.session = session
        self._version, self._dialect = version, dialect
        self._gate, self._intake = gate, intake
        self._answer, self._give_up = answer, give_up
        self._targets: dict[str, tuple[DeviceSnapshot, str]] = {}
        self._routes: list[Route] = []
        self._events: list[Event] = []
        self._answers: list[bytes | int] = []
        self._pending: Publish | None = None
        self.unanswered = 0

    def take(self, flags: int, data: bytes, start: int, stop: int) -> bool:
        """Take the PUBLISH in `data[start:stop]`. False: `await resolve()` first, it goes on from there.

        Raises `DecodeError` for what the protocol forbids.
        """
        packet = decode_publish(flags, data, start, stop, self._version)
        known = self._targets.get(packet.topic)
        if known is not None and not known[0].stale:
            self._accept(packet, *known)
            return True
        if packet.qos == 2:
            raise ProtocolViolation(ReasonCode.QOS_NOT_SUPPORTED, "QoS 2 is not offered (3.3.1.2)")
        if packet.properties.topic_alias is not None:
            raise ProtocolViolation(ReasonCode.TOPIC_ALIAS_INVALID, "topic alias maximum is 0 (3.3.2.3.4)")
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
        try:
            # Also with nothing to store: answers of refused publishes must not overtake earlier ones.
            future = self._intake.submit(routes, events)
        except FreeholdError as refusal:
            self._refuse_all(answers, refusal)
            return
        self.unanswered += len(answers)
        future.add_done_callback(partial(self._durable, answers))

    def renewed(self, session: Session, dialect: Dialect) -> None:
        """Go on after a change in the registry: what was known of topics may not hold any more."""
        self.session, self._dialect = session, dialect
        self._targets.clear()

    # --- inside ----------------------------------------------------------------------------------

    def _accept(self, packet: Publish, device: DeviceSnapshot, channel: str) -> None:
        if packet.qos == 2 or packet.properties.topic_alias is not None:
            raise ProtocolViolation(ReasonCode.QOS_NOT_SUPPORTED, "neither QoS 2 nor topic aliases are offered")
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
        _log.info("publish refused", code=refusal.refusal.code, detail=refusal.detail, topic=packet.topic)
        if not packet.qos:
            return  # QoS 0 has no answer; closing would punish the neighbours in this read (advice A-8)
        if self._version != 5:
            self.flush()
            self._give_up(refusal)
            return
        self._answers.append(_refusing(packet.packet_id, refusal))

    def _refuse_all(self, answers: list[bytes | int], refusal: FreeholdError) -> None:
        if self._version != 5:
            self._give_up(refusal)
            return
        self._answer(b"".join(_refusing(each, refusal) if isinstance(each, int) else each for each in answers))

    def _durable(self, answers: list[bytes | int], future: asyncio.Future[None]) -> None:
        self.unanswered -= len(answers)
        failure = None if future.cancelled() else future.exception()
        if isinstance(failure, FreeholdError):
            self._refuse_all(answers, failure)
        elif failure is not None or future.cancelled():
            self._give_up(OVERLOADED.error())
        else:
            self._answer(b"".join([puback_ok(each) if isinstance(each, int) else each for each in answers]))

    def _device_now(self, target: Target) -> DeviceSnapshot | None:
        device = self.session.device
        if target.device is None or target.device == device.name:
            return device
        return self._gate.on_behalf_cached(self.session, target.device)

    def _remember(self, topic: str, device: DeviceSnapshot, channel: str) -> None:
        if len(self._targets) >= KNOWN_TOPICS:
            self._targets.clear()
        self._targets[topic] = (device, channel)


def _refusing(packet_id: int, refusal: FreeholdError) -> bytes:
    properties = Properties(reason_string=refusal.reason_string()[:512])
    return encode(Puback(packet_id, _puback_reason(refusal.refusal.mqtt), properties), 5)


def _puback_reason(code: int) -> ReasonCode:
    """The reason code as a PUBACK may carry it (table 3.4.2.1); what it may not carry is "unspecified"."""
    allowed = (0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99)
    return ReasonCode(code) if code in allowed else ReasonCode.UNSPECIFIED_ERROR
