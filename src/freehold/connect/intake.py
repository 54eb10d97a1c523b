# SPDX-License-Identifier: Apache-2.0
"""The door to the log: what passes it is checked, within its quota, and about to be durable.

Every endpoint goes through this one object, so its numbers are the installation's numbers.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from freehold.connect.interfaces import Session
from freehold.connect.limits import Quotas
from freehold.connect.normalise import to_event
from freehold.core.errors import QUOTA_EXCEEDED, FreeholdError
from freehold.core.metrics import MetricSet
from freehold.core.settings import Limits
from freehold.events.models import Event, encode
from freehold.log.interfaces import LogWriter, Route
from freehold.registry.interfaces import DeviceSnapshot


class LogIntake:
    """`Intake` over the event log. `instance` is the installation's name in every event."""

    def __init__(
        self,
        log: LogWriter,
        instance: str,
        limits: Limits,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._instance = instance
        self._per_second = limits.events_per_second
        self._quotas = Quotas(limits.events_per_second, clock=clock)
        self.accepted = 0
        """Events that the log took; those that it then could not make durable are in its own numbers."""
        self.refused: Counter[str] = Counter()
        """Events that were refused here, by error code."""

    def register(self, metrics: MetricSet) -> None:
        metrics.counter("events_accepted", "Events handed to the log", lambda: [({}, self.accepted)])
        metrics.counter("events_refused", "Events refused at the door, by reason", self._refusals)

    def _refusals(self) -> Iterable[tuple[dict[str, str], float]]:
        return [({"code": code}, number) for code, number in self.refused.items()]

    def event(
        self,
        session: Session,
        device: DeviceSnapshot,
        channel: str,
        content_type: str | None,
        payload: bytes,
        dataschema: str | None = None,
    ) -> Event:
        try:
            return to_event(self._instance, session, device, channel, content_type, payload, dataschema)
        except FreeholdError as refusal:
            self.refused[refusal.refusal.code] += 1
            raise

    def submit(self, routes: Sequence[Route], events: Sequence[Event]) -> asyncio.Future[None]:
        try:
            spending = self._within_quota(events) if self._per_second else {}
            future = self._log.submit(routes, [encode(event) for event in events])
        except FreeholdError as refusal:
            self.refused[refusal.refusal.code] += len(events)
            raise
        # Only now: what the log refuses is sent again, and must not cost twice.
        for application, number in spending.items():
            self._quotas.take(application, number)
        self.accepted += len(events)
        return future

    def _within_quota(self, events: Sequence[Event]) -> Mapping[str, int]:
        """Events by application (uid), if each may send: all or, with one quota used up, none."""
        wanted = Counter(event.applicationuid for event in events)
        for application in wanted:
            if not self._quotas.allows(application):
                raise QUOTA_EXCEEDED.error(
                    f"limits.events_per_second: this application may send {self._per_second} events a second"
                )
        return wanted
