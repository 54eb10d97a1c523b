# SPDX-License-Identifier: Apache-2.0
"""What the MQTT endpoint counts, and the log lines about clients that do wrong: one a minute for each of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial

import structlog

from freehold.connect.limits import Seldom
from freehold.connect.mqtt.codec import DecodeError
from freehold.core.errors import FreeholdError
from freehold.core.metrics import MetricSet

_log = structlog.get_logger(__name__)

LOGGED_TOPIC = 200
"""Characters of a topic that a log line holds."""


@dataclass(slots=True)
class Numbers:
    """Plain integers, so that counting costs the hot path nothing."""

    accepted: int = 0
    taken_over: int = 0
    timed_out: int = 0
    cut: int = 0
    """Connections that ended before a CONNECT: too many, silent, or speaking something else."""
    protocol_errors: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """Refused connects and publishes, by error code."""
    _seldom: Seldom = field(default_factory=Seldom)

    def register(self, metrics: MetricSet) -> None:
        for name, help, attribute in (
            ("mqtt_connections", "Devices that connected", "accepted"),
            ("mqtt_takeovers", "Connections that a newer one replaced", "taken_over"),
            ("mqtt_timeouts", "Connections that were silent for too long", "timed_out"),
            ("mqtt_connections_cut", "Connections that ended before a CONNECT", "cut"),
            ("mqtt_protocol_errors", "Clients that broke the protocol", "protocol_errors"),
        ):
            metrics.counter(name, help, partial(self._samples, attribute))
        metrics.counter("mqtt_refusals", "Refused connects and publishes by reason", self._refusals)

    def _samples(self, attribute: str) -> Iterable[tuple[dict[str, str], float]]:
        return [({}, getattr(self, attribute))]

    def _refusals(self) -> Iterable[tuple[dict[str, str], float]]:
        return [({"code": code}, number) for code, number in self.refused.items()]

    def refused_publish(self, refusal: FreeholdError, number: int, device: str, topic: str) -> None:
        """`number` messages of `device` were refused; `topic` is that of a single one."""
        code = refusal.refusal.code
        self.refused[code] += number
        if self._seldom.first(f"{code} {device}"):
            _log.info("publish refused", code=code, detail=refusal.detail, device=device, topic=topic[:LOGGED_TOPIC])

    def protocol_error(self, error: DecodeError, address: str) -> None:
        self.protocol_errors += 1
        if self._seldom.first(address):
            _log.info("protocol error", address=address, reason=error.text)
