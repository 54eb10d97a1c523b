# SPDX-License-Identifier: Apache-2.0
"""The supervisor: prepares the data directory, starts the roles, watches over them, ends them in order.

It runs nothing of the platform itself, so that a fault in any role is a restart and never the end. Roles
are separate processes: `endpoint` first and alone with the devices' sockets, `pipeline` behind the log,
`api` for people. They die with it (a closed bus, and on Linux the parent-death signal), so no orphan ever
keeps a port.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import structlog

from freehold import __version__
from freehold.core.datadir import DataDir
from freehold.core.settings import Settings, as_flat
from freehold.runtime import messages
from freehold.runtime.localbus import Hub

_log = structlog.get_logger(__name__)

ROLES = ("endpoint", "pipeline", "api")
START_SECONDS = 60.0
STOP_SECONDS = 15.0
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
STEADY_SECONDS = 60.0
"""A role that ran this long starts again without a pause."""


class StartFailed(RuntimeError):
    """A role could not start; says which component and why."""


@dataclass
class Role:
    """A child and what is known of it."""

    name: str
    process: asyncio.subprocess.Process | None = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    failure: messages.Failed | None = None
    ports: dict[str, int] = field(default_factory=dict)
    pause: float = FIRST_PAUSE
    restarts: int = 0


class Supervisor:
    """`start`, then `wait` until asked to end, then `stop`. Progress goes to `say`, one line a step."""

    def __init__(
        self, settings: Settings, *, roles: Sequence[str] = ROLES, say: Callable[[str], None] | None = None
    ) -> None:
        self.settings = settings
        self.hub = Hub()
        self.link: str | None = None
        """One-time sign-in code of the first owner; only on the very first start."""
        self._roles = {name: Role(name) for name in ROLES if name in roles}
        self._data = DataDir(settings.data)
        self._say = say or (lambda _: None)
        self._ending = asyncio.Event()
        self._watchers: list[asyncio.Task[None]] = []
        self.hub.subscribe(messages.ROLE_READY, self._on_ready)
        self.hub.subscribe(messages.ROLE_FAILED, self._on_failed)

    @property
    def ports(self) -> dict[str, int]:
        """Endpoint → the port that it opened."""
        return {name: port for role in self._roles.values() for name, port in role.ports.items()}

    async def start(self) -> None:
        """Everything is up on return. Raises `StartFailed`, `FreeholdError(data-directory.unusable)`."""
        self._data.open(__version__)
        self._data.lock()
        self._say(f"data directory {self._data.root}")
        await self._prepare()
        self._say("databases are up to date")
        try:
            await asyncio.gather(*(self._spawn(role) for role in self._roles.values()))
            await self._all_ready()
        except BaseException:
            await self.stop()
            raise
        self._watchers = [asyncio.create_task(self._watch(role)) for role in self._roles.values()]

    async def wait(self) -> None:
        """Return when `end` was called."""
        await self._ending.wait()

    def end(self) -> None:
        self._ending.set()

    async def stop(self) -> None:
        """End the roles in order: first those that take, then those that work off. Never raises."""
        self._ending.set()
        for watcher in self._watchers:
            watcher.cancel()
        for name in ROLES:
            role = self._roles.get(name)
            if role is not None and role.process is not None:
                await _end_process(role.process, name)
        self.hub.close()
        self._data.unlock()

    # --- inside ----------------------------------------------------------------------------------

    async def _prepare(self) -> None:
        """Migrate the meta database in a process of its own: the supervisor stays small."""
        process = await asyncio.create_subprocess_exec(
            *_command("freehold.runtime.prepare"), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate(encode_settings(self.settings))
        if process.returncode != 0:
            raise StartFailed("the data directory could not be prepared; the log above says why")
        self.link = msgspec.json.decode(out, type=dict[str, str | None]).get("link")

    async def _spawn(self, role: Role) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            role.ready.clear()
            role.failure = None
            role.process = await asyncio.create_subprocess_exec(
                *_command("freehold.runtime.child", role.name, str(theirs.fileno())),
                stdin=asyncio.subprocess.PIPE,
                pass_fds=(theirs.fileno(),),
            )
        await self.hub.attach(ours)
        assert role.process.stdin is not None
        role.process.stdin.write(encode_settings(self.settings))
        role.process.stdin.close()

    async def _all_ready(self) -> None:
        async with asyncio.timeout(START_SECONDS):
            for role in self._roles.values():
                await self._ready_or_gone(role)
                shown = ", ".join(f"{name} {port}" for name, port in sorted(role.ports.items()))
                self._say(f"{role.name} is ready" + (f" ({shown})" if shown else ""))

    async def _ready_or_gone(self, role: Role) -> None:
        assert role.process is not None
        gone = asyncio.create_task(role.process.wait())
        ready = asyncio.create_task(role.ready.wait())
        await asyncio.wait((gone, ready), return_when=asyncio.FIRST_COMPLETED)
        if role.failure is not None:
            raise StartFailed(f"{role.failure.component}: {role.failure.reason}")
        if not role.ready.is_set():
            raise StartFailed(f"the role {role.name} ended with status {role.process.returncode}")
        gone.cancel()

    async def _watch(self, role: Role) -> None:
        """Start a role again when it ends by itself, with growing pauses."""
        loop = asyncio.get_running_loop()
        while not self._ending.is_set():
            assert role.process is not None
            since = loop.time()
            status = await role.process.wait()
            if self._ending.is_set():
                return
            if loop.time() - since > STEADY_SECONDS:
                role.pause = FIRST_PAUSE
            role.restarts += 1
            _log.error("a role ended by itself and is started again", role=role.name, status=status, pause=role.pause)
            await asyncio.sleep(role.pause)
            role.pause = min(role.pause * 2, LONGEST_PAUSE)
            await self._spawn(role)

    def _on_ready(self, message: bytes) -> None:
        ready = messages.decode_ready(message)
        role = self._roles[ready.role]
        role.ports = ready.ports
        role.ready.set()

    def _on_failed(self, message: bytes) -> None:
        failed = messages.decode_failed(message)
        self._roles[failed.role].failure = failed


def encode_settings(settings: Settings) -> bytes:
    """Settings as they go to a child on its standard input."""
    return msgspec.json.encode({name: str(v) if isinstance(v, Path) else v for name, v in as_flat(settings).items()})


def _command(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", module, *arguments]


async def _end_process(process: asyncio.subprocess.Process, name: str) -> None:
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        _log.error("a role did not end in time and is killed", role=name)
        process.kill()
        await process.wait()


def heed_signals(supervisor: Supervisor) -> None:
    """Let SIGINT and SIGTERM ask `supervisor` to end; a second one ends at once.

    Call it before `start`: somebody may press Ctrl-C as soon as there is something to read.
    """
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, _on_signal, supervisor)


def _on_signal(supervisor: Supervisor) -> None:
    if supervisor._ending.is_set():
        os._exit(130)
    supervisor.end()
