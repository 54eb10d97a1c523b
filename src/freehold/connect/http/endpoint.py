# SPDX-License-Identifier: Apache-2.0
"""The HTTP endpoint as a component: listens, looks at its connections once a second, ends them in order."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from freehold.commands.interfaces import Router
from freehold.connect.http.connection import HttpConnection
from freehold.connect.http.services import Services
from freehold.connect.interfaces import Gate, Intake
from freehold.core.errors import PORT_TAKEN, TOO_MANY_CONNECTIONS
from freehold.core.metrics import MetricSet
from freehold.core.settings import Http

BACKLOG = 4096
"""Connections that may wait to be accepted: a whole fleet comes back at once after a power cut."""
SWEEP_SECONDS = 1.0
REFUSING = 256
"""Connections past the bound that are told why; still more just end."""


class HttpEndpoint:
    """Component `connect.http`. `port` is the bound one, so 0 may be asked for."""

    def __init__(self, settings: Http, port: int, gate: Gate, intake: Intake, router: Router) -> None:
        self.port = port
        self._settings = settings
        self._services = Services(settings, gate, intake, router)
        self._connections: set[HttpConnection] = set()
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()
        self.connections = self.refused_connections = self.timed_out = 0
        # A bound that is looked at once a second must not be much shorter than that.
        shortest = min(settings.header_timeout_seconds, settings.idle_timeout_seconds)
        self._interval = min(SWEEP_SECONDS, shortest / 4)

    @property
    def name(self) -> str:
        return "connect.http"

    def register(self, metrics: MetricSet) -> None:
        metrics.counter("http_responses", "Answers to devices by HTTP status", self._answers)
        metrics.counter("http_refusals", "Refused requests of devices by reason", self._refusals)
        metrics.counter("http_connections", "Connections of devices", lambda: [({}, self.connections)])
        metrics.counter(
            "http_connections_refused", "Connections past the bound", lambda: [({}, self.refused_connections)]
        )
        metrics.counter("http_timeouts", "Requests that did not arrive in time", lambda: [({}, self.timed_out)])
        metrics.gauge("http_connections_open", "Open connections", lambda: [({}, self.open_connections)])

    def _answers(self) -> Iterable[tuple[dict[str, str], float]]:
        return [({"status": str(status)}, number) for status, number in self._services.answers.items()]

    def _refusals(self) -> Iterable[tuple[dict[str, str], float]]:
        return [({"code": code}, number) for code, number in self._services.refusals.items()]

    @property
    def open_connections(self) -> int:
        return len(self._connections)

    @property
    def held_bytes(self) -> int:
        """Memory that unfinished bodies take."""
        return self._services.held

    async def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            self._server = await self._loop.create_server(
                lambda: HttpConnection(self, self._services), self._settings.host, self.port, backlog=BACKLOG
            )
        except OSError as cause:
            raise PORT_TAKEN.error(f"device HTTP port {self.port}: {cause.strerror or cause}") from cause
        self.port = self._server.sockets[0].getsockname()[1]
        self._services.draining = False
        self._sweeper = self._loop.call_later(self._interval, self._sweep)

    async def drain(self) -> None:
        """Take no more connections; what was begun is answered with `Connection: close` (the caller bounds it)."""
        self._services.draining = True
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.drain()
        if self._connections:
            self._empty.clear()
            await self._empty.wait()

    async def stop(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
        if self._server is not None:
            self._server.close()
            self._server = None
        for connection in list(self._connections):
            connection.abort()

    def health(self) -> str | None:
        return None if self._server is not None else "the device HTTP port is not open"

    # --- called by connections -------------------------------------------------------------------

    def opened(self, connection: HttpConnection) -> None:
        self._connections.add(connection)
        self.connections += 1
        excess = len(self._connections) - self._settings.max_connections
        if excess > 0:
            self.refused_connections += 1
            connection.refuse(TOO_MANY_CONNECTIONS.error(), tell=excess <= REFUSING)

    def closed(self, connection: HttpConnection) -> None:
        self._connections.discard(connection)
        if not self._connections:
            self._empty.set()

    def _sweep(self) -> None:
        now = self._loop.time()
        for connection in list(self._connections):
            connection.look(now)
        self._sweeper = self._loop.call_later(self._interval, self._sweep)
