# SPDX-License-Identifier: Apache-2.0
"""A role as a process: `python -m freehold.runtime.child ROLE BUS_FD`, settings on standard input."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import socket
import sys

import msgspec
import structlog

from freehold.core import logs
from freehold.core.lifecycle import ComponentFailed, Lifecycle
from freehold.core.settings import Settings, load
from freehold.runtime import messages, process_metrics
from freehold.runtime.localbus import ChildBus
from freehold.runtime.roles import Role, build

_log = structlog.get_logger(__name__)
_PR_SET_PDEATHSIG = 1
STATUS_SECONDS = 1.0
NICE = 2
"""How far `pipeline` stands back. At 10 it lagged seconds behind on two busy cores."""


def read_settings() -> Settings:
    """The settings that the supervisor wrote to our standard input."""
    return load(flags=msgspec.json.decode(sys.stdin.buffer.read()))


def main() -> int:
    role, descriptor = sys.argv[1], int(sys.argv[2])
    # The terminal sends Ctrl-C to us as well: only the supervisor decides the order of ending.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.umask(0o077)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    settings = read_settings()
    logs.configure(form=settings.log_format, level=settings.log_level, role=role)
    end = socket.socket(fileno=descriptor)
    if role == "pipeline":
        # Accepting comes first: what is behind the log may lag for a moment, devices may not wait.
        os.nice(NICE)
    if role == "api":
        return asyncio.run(_run(role, settings, end))
    import uvloop

    return uvloop.run(_run(role, settings, end))


async def _run(name: str, settings: Settings, end: socket.socket) -> int:
    loop = asyncio.get_running_loop()
    ending = asyncio.Event()
    bus = ChildBus(end, ending.set)
    await bus.connect()
    loop.add_signal_handler(signal.SIGTERM, ending.set)
    role = build(name, settings, bus)
    process_metrics.register(role.metrics, name)
    life = Lifecycle(role.components)
    try:
        await life.start()
    except ComponentFailed as failure:
        _log.error("a component failed to start", component=failure.component, error=str(failure.cause))
        bus.publish(messages.ROLE_FAILED, messages.encode(_failed(name, failure)))
        await asyncio.sleep(0.1)  # the message must leave before we do
        return 1
    bus.publish(messages.ROLE_READY, messages.encode(messages.Ready(name, role.ports())))
    telling = asyncio.create_task(_tell(name, role, life, bus))
    await ending.wait()
    telling.cancel()
    await life.stop()
    bus.close()
    return 0


def _failed(role: str, failure: ComponentFailed) -> messages.Failed:
    return messages.Failed(role, failure.component, str(failure.cause))


async def _tell(name: str, role: Role, life: Lifecycle, bus: ChildBus) -> None:
    """Every second what this role counts and how it feels."""
    while True:
        status = messages.Status(name, role.counters(), life.health(), role.metrics.exposition())
        bus.publish(messages.STATUS, messages.encode(status))
        await asyncio.sleep(STATUS_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
