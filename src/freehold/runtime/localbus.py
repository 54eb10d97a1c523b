# SPDX-License-Identifier: Apache-2.0
"""The bus between the roles of one `freehold up`: a hub in the supervisor, a socket pair to each child.

The pair is inherited by descriptor, so there is no name to guess, no port and nobody else on the machine
can join. Frames are `length, topic length, topic, message`. A role that does not read is skipped, not
waited for: past `QUEUE_BYTES` its messages are dropped and counted.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import cast

import structlog

from freehold.core.bus import MemoryBus

_log = structlog.get_logger(__name__)

_HEAD = struct.Struct("!IH")
LARGEST = 8 << 20
"""Largest message; a longer one is a fault of ours and ends the link."""
QUEUE_BYTES = 16 << 20


class Link(asyncio.Protocol):
    """One end of a pair: cuts frames out of the stream and hands them on."""

    def __init__(self, receive: Callable[[Link, str, bytes], None], lost: Callable[[Link], None]) -> None:
        self._receive, self._lost = receive, lost
        self._buffer = bytearray()
        self._transport: asyncio.Transport | None = None
        self.dropped = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not `isinstance`: uvloop's transports are none of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, cause: Exception | None) -> None:
        self._transport = None
        self._lost(self)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        while len(buffer) >= _HEAD.size:
            length, topic_length = _HEAD.unpack_from(buffer)
            if length > LARGEST:
                _log.error("a bus message is too large", bytes=length)
                self.close()
                return
            end = _HEAD.size + topic_length + length
            if len(buffer) < end:
                return
            topic = bytes(buffer[_HEAD.size : _HEAD.size + topic_length]).decode()
            message = bytes(buffer[_HEAD.size + topic_length : end])
            del buffer[:end]
            self._receive(self, topic, message)

    def send(self, topic: str, message: bytes) -> None:
        """Write a message, or drop it when the other side does not read."""
        transport = self._transport
        if transport is None or transport.get_write_buffer_size() > QUEUE_BYTES:
            self.dropped += 1
            return
        name = topic.encode()
        transport.write(_HEAD.pack(len(message), len(name)) + name + message)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class Hub(MemoryBus):
    """The supervisor's half: passes each message on to every other child and to its own handlers."""

    def __init__(self) -> None:
        super().__init__()
        self._links: set[Link] = set()

    async def attach(self, end: socket.socket) -> None:
        """Take a child's pair into service."""
        end.setblocking(False)
        loop = asyncio.get_running_loop()
        _, link = await loop.create_connection(lambda: Link(self._pass_on, self._links.discard), sock=end)
        self._links.add(link)

    def publish(self, topic: str, message: bytes) -> None:
        self._pass_on(None, topic, message)

    def _pass_on(self, sender: Link | None, topic: str, message: bytes) -> None:
        for link in tuple(self._links):
            if link is not sender:
                link.send(topic, message)
        self.deliver(topic, message)

    def close(self) -> None:
        for link in tuple(self._links):
            link.close()


class ChildBus(MemoryBus):
    """A role's half. `lost` is called when the supervisor is gone: then the role must end as well."""

    def __init__(self, end: socket.socket, lost: Callable[[], None]) -> None:
        super().__init__()
        self._end, self._on_lost = end, lost
        self._link: Link | None = None

    async def connect(self) -> None:
        self._end.setblocking(False)
        loop = asyncio.get_running_loop()
        _, self._link = await loop.create_connection(
            lambda: Link(lambda _, topic, message: self.deliver(topic, message), lambda _: self._on_lost()),
            sock=self._end,
        )

    def publish(self, topic: str, message: bytes) -> None:
        self.deliver(topic, message)
        if self._link is not None:
            self._link.send(topic, message)

    def close(self) -> None:
        if self._link is not None:
            self._link.close()
