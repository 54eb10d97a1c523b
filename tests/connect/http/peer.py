# SPDX-License-Identifier: Apache-2.0
"""A device on a real socket that says exactly what a test tells it to, byte for byte."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import struct
from dataclasses import dataclass
from typing import Any

SECONDS = 10.0
"""How long a test waits for what must come; never how long something takes."""


def basic(user: str = "device1@app1", password: str = "foo") -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def request(
    method: str = "POST",
    target: str = "/v1/telemetry",
    body: bytes = b'{"temp":42}',
    user: str | None = "device1@app1",
    password: str = "foo",
    content_type: str | None = "application/json",
    headers: tuple[str, ...] = (),
) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: test"]
    if user is not None:
        lines.append(f"Authorization: {basic(user, password)}")
    if content_type is not None:
        lines.append(f"Content-Type: {content_type}")
    lines += [*headers, f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str | None:
        return self.headers.get("freehold-error")


class Peer:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    async def open(cls, port: int) -> Peer:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def send(self, raw: bytes) -> None:
        self.writer.write(raw)
        await self.writer.drain()

    async def answer(self, method: str = "POST") -> Answer:
        """The next response."""
        async with asyncio.timeout(SECONDS):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            status_line, *lines = head.strip().split("\r\n")
            version, status, _ = status_line.split(" ", 2)
            assert version == "HTTP/1.1"
            headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
            size = 0 if method == "HEAD" else int(headers.get("content-length", 0))
            return Answer(int(status), headers, await self.reader.readexactly(size))

    async def ask(self, raw: bytes, method: str = "POST") -> Answer:
        await self.send(raw)
        return await self.answer(method)

    async def rest(self) -> bytes:
        """Everything up to the end of the connection."""
        async with asyncio.timeout(SECONDS):
            try:
                return await self.reader.read()
            except ConnectionResetError:
                return b""

    async def silent(self, seconds: float = 0.15) -> bool:
        """Whether nothing comes for a while."""
        try:
            async with asyncio.timeout(seconds):
                return await self.reader.read(1) is None
        except TimeoutError:
            return True

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        """Vanish as a device does that loses power: no orderly end."""
        linger = struct.pack("ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()
