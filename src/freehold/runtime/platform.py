# SPDX-License-Identifier: Apache-2.0
"""What the `api` role knows of the others: their counters, health and metrics, as they tell it every second."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from freehold.console.services import Sample
from freehold.console.snippets import Endpoints
from freehold.core.bus import Bus
from freehold.core.errors import NOT_FOUND
from freehold.core.metrics import merge
from freehold.core.settings import Settings
from freehold.runtime import messages
from freehold.store.interfaces import TelemetryReader

OTHERS = ("endpoint", "pipeline")
HISTORY = 600
SILENT_SECONDS = 5.0
"""A role that says nothing for so long is not well."""
RETRY_SECONDS = 5.0


class Sampling:
    """Component `runtime.status`: keeps a board's history growing, a sample a second."""

    name = "runtime.status"

    def __init__(self, board: StatusBoard) -> None:
        self._board = board
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._board.sample())

    async def drain(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def stop(self) -> None:
        """Nothing is left after `drain`."""

    def health(self) -> str | None:
        ended = self._task is not None and self._task.done()
        return "the overview's figures stand still" if ended else None


class StatusBoard:
    """The console's `Platform`."""

    def __init__(
        self,
        settings: Settings,
        bus: Bus,
        telemetry: TelemetryReader,
        own: Callable[[], messages.Status],
    ) -> None:
        self._settings, self._bus, self._telemetry = settings, bus, telemetry
        self._own = own
        self._heard: dict[str, tuple[float, messages.Status]] = {}
        self._history: deque[Sample] = deque(maxlen=HISTORY)
        bus.subscribe(messages.STATUS, self._on_status)

    async def sample(self) -> None:
        """Note the counters once a second, until cancelled."""
        while True:
            self._history.append(
                Sample(
                    time.time(),
                    accepted=int(self._counter("accepted")),
                    stored=int(self._counter("stored")),
                    refused=int(self._counter("refused")),
                    connections=int(self._counter("connections")),
                )
            )
            await asyncio.sleep(1)

    def health(self) -> Mapping[str, str | None]:
        now = time.monotonic()
        health: dict[str, str | None] = {}
        for role in OTHERS:
            heard = self._heard.get(role)
            if heard is None or now - heard[0] > SILENT_SECONDS:
                health[role] = "this role does not answer; it is being started again"
            else:
                health.update(heard[1].health)
        health.update(self._own().health)
        return health

    def history(self) -> Sequence[Sample]:
        return list(self._history)

    def endpoints(self) -> Endpoints:
        settings = self._settings
        host = settings.http.host if settings.http.host not in ("0.0.0.0", "::", "") else "localhost"
        return Endpoints(host, settings.port(settings.http.port), settings.port(settings.mqtt.port))

    async def retry_dead_letter(self, application: str, event_id: str) -> None:
        if await self._telemetry.dead_letter(application, event_id) is None:
            raise NOT_FOUND.error()
        self._bus.publish(messages.RETRY, messages.encode(messages.Retry(application, event_id)))
        # The pipeline answers by removing the letter: wait for it a little, so that the page shows the result.
        deadline = time.monotonic() + RETRY_SECONDS
        while time.monotonic() < deadline:
            await asyncio.sleep(0.1)
            if await self._telemetry.dead_letter(application, event_id) is None:
                return

    def exposition(self) -> bytes:
        """Everybody's metrics as one Prometheus page."""
        pages = [status.exposition for _, status in self._heard.values() if status.exposition]
        return merge([*pages, self._own().exposition])

    def _on_status(self, message: bytes) -> None:
        status = messages.decode_status(message)
        self._heard[status.role] = (time.monotonic(), status)

    def _counter(self, name: str) -> float:
        return sum(status.counters.get(name, 0) for _, status in self._heard.values())
