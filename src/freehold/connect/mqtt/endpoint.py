# SPDX-License-Identifier: Apache-2.0
"""The MQTT endpoint: listens, knows which device is connected where, and ends what must end.

A device has one connection: a second one takes over at once. Device-to-device topics, retained messages and
persistent sessions are not offered here (contract drogue.md 1.3); the codec and the split into stream,
connection, publisher and inbox are made for them.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Coroutine
from typing import Any

from freehold.commands.interfaces import Router
from freehold.connect.interfaces import Gate, Intake, Session
from freehold.connect.mqtt.announcer import Announcer
from freehold.connect.mqtt.connection import MqttConnection
from freehold.connect.mqtt.numbers import Numbers
from freehold.core.errors import PORT_TAKEN, SHUTTING_DOWN, TAKEN_OVER
from freehold.core.metrics import MetricSet
from freehold.core.settings import Mqtt
from freehold.registry.interfaces import Directory

SWEEP_SECONDS = 1.0
BACKLOG = 4096
"""Connections that may wait to be accepted: a whole fleet comes back at once after a power cut."""
RENEWALS = 256
"""Connections that are looked at together after a change in the registry, a batch of the directory's reads."""
PROBES, PROBE_SECONDS = 4, 60
"""TCP keep-alive: how often a silent peer is asked, and how far apart, before its connection is given up."""
MOST_IDLE_SECONDS = 32_767
"""Linux takes no longer time before the first probe."""

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
        self._changed: dict[MqttConnection, None] = {}
        self._renewing = 0
        self.numbers = Numbers()
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._accepting = False
        self._empty = asyncio.Event()
        directory.on_change(self._registry_changed)

    @property
    def name(self) -> str:
        return "connect.mqtt"

    def register(self, metrics: MetricSet) -> None:
        self.numbers.register(metrics)
        announcer = self._announcer
        metrics.gauge("mqtt_connections_open", "Open connections", lambda: [({}, self.open_connections)])
        metrics.gauge("mqtt_devices_connected", "Devices that are connected", lambda: [({}, self.connected_devices)])
        metrics.gauge("mqtt_announcements_waiting", "Wills and connection events", lambda: [({}, announcer.waiting)])
        metrics.counter("mqtt_announcements_lost", "Those that were given up", lambda: [({}, announcer.dropped)])

    # --- component -------------------------------------------------------------------------------

    async def start(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.now = self.loop.time
        try:
            self._server = await self.loop.create_server(
                lambda: MqttConnection(self), self.settings.host, self.port, backlog=BACKLOG
            )
        except OSError as cause:
            raise PORT_TAKEN.error(f"MQTT port {self.port}: {cause.strerror or cause}") from cause
        for listener in self._server.sockets:
            _probe_silent_peers(listener.fileno(), self.settings.max_keep_alive_seconds)
        self.port = self._server.sockets[0].getsockname()[1]
        self._accepting = True
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
        self._accepting = False
        if self._sweeper is not None:
            self._sweeper.cancel()
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in list(self._tasks):
            task.cancel()
        for connection in list(self._connections):
            connection.abort()

    def health(self) -> str | None:
        return None if self._server is not None else "the MQTT port is not open"

    @property
    def open_connections(self) -> int:
        return len(self._connections)

    @property
    def connected_devices(self) -> int:
        return len(self._devices)

    # --- called by connections -------------------------------------------------------------------

    def opened(self, connection: MqttConnection) -> bool:
        """False: this one is too many, or comes while we stop."""
        self._connections.add(connection)
        if self._accepting and len(self._connections) <= self.settings.max_connections:
            return True
        self.numbers.cut += 1
        return False

    def connected(self, connection: MqttConnection, session: Session) -> None:
        """A device proved who it is; an older connection of the same device ends now."""
        self.numbers.accepted += 1
        key = (session.device.application.name, session.device.name)
        older = self._devices.get(key)
        if older is not None:
            self.numbers.taken_over += 1
            self.leaving(older)
            older.end(TAKEN_OVER.error())
        self._devices[key] = connection
        self._announcer.connection(session, True)

    def leaving(self, connection: MqttConnection) -> None:
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

    def closed(self, connection: MqttConnection) -> None:
        self._connections.discard(connection)
        self._changed.pop(connection, None)
        self.leaving(connection)
        if not self._connections:
            self._empty.set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a connection's held work; at most one a connection, so the set is bounded by them."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # --- inside ----------------------------------------------------------------------------------

    def _registry_changed(self, application: str, device: str | None) -> None:
        """Look at the connections that this concerns, a bounded number at a time. Until its turn comes, a
        connection that has something to say looks by itself before it is heard."""
        if device is not None:
            connection = self._devices.get((application, device))
            if connection is not None:
                self._changed[connection] = None
        else:
            for (name, _), connection in self._devices.items():
                if name == application:
                    self._changed[connection] = None
        for _ in range(min(len(self._changed), RENEWALS) - self._renewing):
            self._renewing += 1
            self.spawn(self._renew())

    async def _renew(self) -> None:
        try:
            while self._changed:
                connection, _ = self._changed.popitem()
                await connection.look_again()
        finally:
            self._renewing -= 1

    def _sweep(self) -> None:
        now = self.now()
        for connection in list(self._connections):
            if connection.overdue(now):
                self.numbers.timed_out += 1
                connection.time_out()
        self._sweeper = self.loop.call_later(SWEEP_SECONDS, self._sweep)


def _probe_silent_peers(listener: int, idle_seconds: int) -> None:
    """Have the kernel ask peers whether they live when they are silent for longer than the longest keep alive.

    3.1.1 may choose to have none; then nothing else tells a quiet device from one that lost its power. On
    Linux the sockets that `listener` accepts inherit this, so it costs a connection nothing.
    """
    if not hasattr(socket, "TCP_KEEPIDLE"):
        return
    with socket.socket(fileno=os.dup(listener)) as borrowed:
        borrowed.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        borrowed.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, min(idle_seconds, MOST_IDLE_SECONDS))
        borrowed.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, PROBE_SECONDS)
        borrowed.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, PROBES)
