# SPDX-License-Identifier: Apache-2.0
"""Sending commands and knowing what became of them. Runs where the management API runs.

A command is recorded, then it goes over the bus to the endpoints, whose reports come back the same way and
move its state. The bus may lose a message when a role restarts: then the command expires, which is what the
one who sent it has to be ready for anyway (drogue.md 5).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import msgspec
import structlog

from freehold.commands.history import History
from freehold.commands.interfaces import Command, Outcome, State
from freehold.commands.models import Record
from freehold.core.bus import COMMAND_DELIVER, COMMAND_OUTCOME, Bus
from freehold.core.clock import now_us
from freehold.core.database import Database
from freehold.core.errors import COMMAND_REFUSED, NOT_FOUND, REQUEST_INVALID
from freehold.core.ids import uuid7
from freehold.core.metrics import MetricSet
from freehold.core.settings import Commands
from freehold.events.content import normalise
from freehold.registry.interfaces import DeviceSnapshot

_log = structlog.get_logger(__name__)

DeviceByName = Callable[[str, str], Awaitable[DeviceSnapshot | None]]
"""`Directory.device_by_name`: (application name, device name) → the device, by its real name only."""

NAME_LENGTH = 255
OUTCOMES = 10_000
"""Reports that may wait to be written; more are dropped and counted."""
BATCH = 500
TICK_SECONDS = 1.0
RETAIN_EVERY = 600
"""Ticks between two looks at what is too old."""
GRACE_US = 1_000_000
"""Time that a report may need over the bus before a command is written off."""
_DAY_US = 86_400_000_000
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Outcome).decode


class CommandService:
    """Component `commands.service`."""

    def __init__(
        self,
        database: Database,
        bus: Bus,
        device_by_name: DeviceByName,
        settings: Commands,
        *,
        clock: Callable[[], int] = now_us,
    ) -> None:
        self._history = History(database)
        self._bus = bus
        self._device_by_name = device_by_name
        self._settings = settings
        self._clock = clock
        self._outcomes: asyncio.Queue[Outcome] = asyncio.Queue(OUTCOMES)
        self._tasks: list[asyncio.Task[None]] = []
        self._unsubscribe: Callable[[], None] | None = None
        self._problem: str | None = None
        self.accepted = self.expired = self.dropped_reports = 0

    @property
    def name(self) -> str:
        return "commands.service"

    def register(self, metrics: MetricSet) -> None:
        metrics.counter("commands_accepted", "Commands accepted for delivery", lambda: [({}, self.accepted)])
        metrics.counter("commands_expired", "Commands that nobody took in time", lambda: [({}, self.expired)])
        metrics.counter("command_reports_dropped", "Reports past the bound", lambda: [({}, self.dropped_reports)])

    async def start(self) -> None:
        self._unsubscribe = self._bus.subscribe(COMMAND_OUTCOME, self._reported)
        self._tasks = [asyncio.create_task(self._write_outcomes()), asyncio.create_task(self._keep_time())]

    async def drain(self) -> None:
        """Write the reports that have arrived."""
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
            await self._outcomes.join()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    def health(self) -> str | None:
        return self._problem

    # --- sending and asking ----------------------------------------------------------------------

    async def send(
        self,
        application_uid: str,
        application: str,
        device: str,
        name: str,
        content_type: str | None,
        payload: bytes,
    ) -> Record:
        """Accept a command and hand it to the endpoints; says nothing about delivery (drogue.md 3.5).

        Raises `request.invalid` for the name, `command.refused` for a device that is unknown or disabled,
        `event.payload.not-json` and `event.attribute.invalid` for the payload.
        """
        check_name(name)
        datacontenttype, data = normalise(content_type, payload)
        snapshot = await self._device_by_name(application, device)
        if snapshot is None or snapshot.application.uid != application_uid:
            raise COMMAND_REFUSED.error("there is no such device")
        if not (snapshot.enabled and snapshot.application.enabled):
            raise COMMAND_REFUSED.error("the device or its application is disabled")
        now = self._clock()
        expires = now + int(self._settings.timeout_seconds * 1_000_000)
        record = Record(
            uuid7(),
            application_uid,
            application,
            snapshot.name,
            name,
            datacontenttype,
            len(data),
            State.ACCEPTED,
            now,
            expires,
        )
        await asyncio.to_thread(self._history.add, record)
        # Only now: a report must find the command that it is about.
        gateways = tuple(sorted(snapshot.gateways))
        command = Command(record.id, application, snapshot.name, name, data, datacontenttype, expires, gateways)
        self._bus.publish(COMMAND_DELIVER, _encode(command))
        self.accepted += 1
        return record

    async def get(self, application_uid: str, command_id: str) -> Record:
        """Raises `resource.not-found`, also for a command of another application."""
        record = await asyncio.to_thread(self._history.get, application_uid, command_id)
        if record is None:
            raise NOT_FOUND.error()
        return record

    async def list(
        self, application_uid: str, *, device: str | None = None, before: str | None = None, limit: int = 100
    ) -> Sequence[Record]:
        """The application's commands, newest first; `before` is the last id of the page before."""
        return await asyncio.to_thread(
            lambda: self._history.list(application_uid, device=device, before=before, limit=limit)
        )

    async def forget(self, application_uid: str) -> int:
        """Remove the history of a deleted application; returns how many commands went."""
        return await asyncio.to_thread(self._history.forget, application_uid)

    # --- what becomes of them --------------------------------------------------------------------

    def _reported(self, message: bytes) -> None:
        try:
            self._outcomes.put_nowait(_decode(message))
        except msgspec.DecodeError as cause:
            _log.error("a report on the bus cannot be read", error=str(cause))
        except asyncio.QueueFull:
            self.dropped_reports += 1

    async def _write_outcomes(self) -> None:
        while True:
            batch = [await self._outcomes.get()]
            while len(batch) < BATCH and not self._outcomes.empty():
                batch.append(self._outcomes.get_nowait())
            try:
                await asyncio.to_thread(self._history.apply, batch)
                self._problem = None
            except Exception as cause:
                self._failed("reports of commands cannot be written", cause)
            finally:
                for _ in batch:
                    self._outcomes.task_done()

    async def _keep_time(self) -> None:
        tick = 0
        while True:
            try:
                await self.expire_and_retain(retain=tick % RETAIN_EVERY == 0)
            except Exception as cause:
                self._failed("the life of commands cannot be kept", cause)
            tick += 1
            await asyncio.sleep(TICK_SECONDS)

    async def expire_and_retain(self, *, retain: bool) -> None:
        """Write off overdue commands and, with `retain`, remove old ones. Runs by itself once a second."""
        now = self._clock()
        self.expired += await asyncio.to_thread(self._history.expire, now - GRACE_US)
        if retain:
            await asyncio.to_thread(self._history.retain, now - int(self._settings.keep_days * _DAY_US))

    def _failed(self, what: str, cause: Exception) -> None:
        # The loops must live on: the database may be back with the next turn, and health says it is not.
        self._problem = f"{what}: {cause}"
        _log.error(what, error=repr(cause))


def check_name(name: str) -> None:
    """Raise `request.invalid` unless every protocol can carry `name`: as an HTTP header, as levels of a topic."""
    if not 0 < len(name) <= NAME_LENGTH or not name.isprintable() or "+" in name or "#" in name:
        raise REQUEST_INVALID.error(
            f"a command's name has 1 to {NAME_LENGTH} printable characters, and neither + nor #"
        )
