# SPDX-License-Identifier: Apache-2.0
"""The MQTT endpoint: listens, knows which device is connected where, and ends what must end.

A device has one connection: a second one takes over at once. Device-to-device topics, retained messages and
persistent sessions are not offered here (contract drogue.md 1.3); the codec and the split into connection,
publisher and inbox are made for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import structlog

from freehold.commands.interfaces import Router
from freehold.connect.interfaces import Gate, Intake, Session
from freehold.connect.mqtt.announcer import Announcer
from freehold.connect.mqtt.connection import MqttConnection
from freehold.core.errors import PORT_TAKEN, SHUTTING_DOWN, TAKEN_OVER, FreeholdError
from freehold.core.metrics import MetricSet
from freehold.core.settings import Mqtt
from freehold.registry.interfaces import Directory

_log = structlog.get_logger(__name__)

SWEEP_SECONDS = 1.0
BACKLOG = 4096
"""Connections that may wait to be accepted: a whole fleet comes back at once after a power cut."""

DeviceKey = tuple[str, str]
"""(application name, device name)"""


class MqttEndpoint:
    """Component `connect.mqtt`. `port` is the bound one, so 0 may be asked for."""

    def __init__(
        self, settings: Mqtt, port: int, gate: Gate, intake: Intake, router: Router, directory: Directory
    ) -> None:
        self.settings = settings
        self.gate, self.intake, self.router = gate, intake, router
        self.port = port
        self._announcer = Announcer(intake)
        self._connections: set[MqttConnection] = set()
        self._devices: dict[DeviceKey, MqttConnection] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._accepting = False
        self._empty = asyncio.Event()
        self.accepted = self.taken_over = self.timed_out = 0
        self.refused_before_connect = self.protocol_errors = 0
        self.refused: dict[str, int] = {}
        directory.on_change(self._registry_changed)

    @property
    def name(self) -> str:
        return "connect.mqtt"

    async def start(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.now = self.loop.time
        self._accepting = True
        try:
            self._server = await self.loop.create_server(
                lambda: MqttConnection(self), self.settings.host, self.port, backlog=BACKLOG
            )
        except OSError as cause:
            raise PORT_TAKEN.error(f"MQTT port {self.port}: {cause.strerror or cause}") from cause
        self.port = self._server.sockets[0].getsockname()[1]
        self._sweeper = self.loop.call_later(SWEEP_SECONDS, self._sweep)

    async def drain(self) -> None:
        """Take no more connections, tell those that are open, wait until they are gone (the caller bounds it)."""
        self._accepting = False
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.end(SHUTTING_DOWN.error())
        if self._connections:
            self._empty.clear()
            await self._empty.wait()
        self._announcer.close()

    async def stop(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
        for task in self._tasks:
            task.cancel()

    def health(self) -> str | None:
        return None if self._server is not None else "the MQTT port is not open"

    def register(self, metrics: MetricSet) -> None:
        metrics.gauge("mqtt_connections", "Open connections", lambda: [({}, self.open_connections)])
        metrics.gauge("mqtt_devices", "Devices connected", lambda: [({}, self.connected_devices)])
        metrics.counter("mqtt_accepted", "Devices that connected", lambda: [({}, self.accepted)])
        metrics.counter("mqtt_refused", "Devices refused at CONNECT, by reason", self._refusals)
        metrics.counter("mqtt_taken_over", "Connections ended by a newer one", lambda: [({}, self.taken_over)])
        metrics.counter("mqtt_timed_out", "Connections that fell silent", lambda: [({}, self.timed_out)])
        metrics.counter(
            "mqtt_protocol_errors", "Connections that broke the protocol", lambda: [({}, self.protocol_errors)]
        )

    def _refusals(self) -> list[tuple[dict[str, str], float]]:
        return [({"code": code}, number) for code, number in self.refused.items()]

    @property
    def open_connections(self) -> int:
        return len(self._connections)

    @property
    def connected_devices(self) -> int:
        return len(self._devices)

    # --- called by connections -------------------------------------------------------------------

    def opened(self, connection: MqttConnection) -> bool:
        """False: this one is too many, or comes while we stop."""
        if not self._accepting or len(self._connections) >= self.settings.max_connections:
            self.refused_before_connect += 1
            return False
        self._connections.add(connection)
        return True

    def connected(self, connection: MqttConnection, session: Session) -> None:
        """A device proved who it is; an older connection of the same device ends now."""
        self.accepted += 1
        key = (session.device.application.name, session.device.name)
        older = self._devices.get(key)
        if older is not None:
            self.taken_over += 1
            self._disconnected(older)
            older.end(TAKEN_OVER.error())
        self._devices[key] = connection
        self._announcer.connection(session, True)

    def closed(self, connection: MqttConnection) -> None:
        self._connections.discard(connection)
        self._disconnected(connection)
        if not self._connections:
            self._empty.set()

    def count_refused(self, refusal: FreeholdError) -> None:
        code = refusal.refusal.code
        self.refused[code] = self.refused.get(code, 0) + 1

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a connection's held work; at most one a connection, so the set is bounded by them."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- inside ----------------------------------------------------------------------------------

    def _disconnected(self, connection: MqttConnection) -> None:
        """Will and `connected: false`, once: at takeover already, so that they precede the new connection's."""
        session = connection.session
        if session is None:
            return
        key = (session.device.application.name, session.device.name)
        if self._devices.get(key) is not connection:
            return
        del self._devices[key]
        if connection.will is not None and not connection.clean:
            self._announcer.will(session, connection.will)
        self._announcer.connection(session, False)

    def _registry_changed(self, application: str, device: str | None) -> None:
        if device is not None:
            connection = self._devices.get((application, device))
            if connection is not None:
                connection.registry_changed()
            return
        for (name, _), connection in list(self._devices.items()):
            if name == application:
                connection.registry_changed()

    def _sweep(self) -> None:
        now = self.now()
        for connection in list(self._connections):
            if connection.overdue(now):
                self.timed_out += 1
                connection.time_out()
        self._sweeper = self.loop.call_later(SWEEP_SECONDS, self._sweep)
