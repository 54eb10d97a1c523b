# SPDX-License-Identifier: Apache-2.0
"""The HTTP server for people and tools: uvicorn as a component, inside a role that owns its signals."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from fastapi import FastAPI

from freehold.core.errors import PORT_TAKEN

GRACE_SECONDS = 3


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the role decides when it ends."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class ApiServer:
    """Component `runtime.api`: serves `app` until stopped. `port` is the bound one, so 0 may be asked for."""

    def __init__(self, app: FastAPI, host: str, port: int) -> None:
        self._app, self._host = app, host
        self.port = port
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        return "runtime.api"

    async def start(self) -> None:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((self._host, self.port))
        except OSError as cause:
            listening.close()
            raise PORT_TAKEN.error(f"console and API port {self.port}: {cause.strerror or cause}") from cause
        self.port = listening.getsockname()[1]
        config = uvicorn.Config(
            self._app,
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        self._server = _Server(config)
        self._serving = asyncio.create_task(self._server.serve([listening]))
        while not self._server.started and not self._serving.done():
            await asyncio.sleep(0.005)  # uvicorn tells by a flag only

    async def drain(self) -> None:
        """Take no more requests and wait for those under way."""
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            await self._serving

    async def stop(self) -> None:
        """Nothing is left after `drain`."""

    def health(self) -> str | None:
        return "the API server ended" if self._serving is not None and self._serving.done() else None
