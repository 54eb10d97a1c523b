# SPDX-License-Identifier: Apache-2.0
"""A client that does exactly what it is told, also what no client library would do.

wire = await Wire.open(house.mqtt.port)
connack = await wire.connect(5, "device1@app1", "foo")
wire.send(Publish("telemetry", b"1", 1, packet_id=1))
assert await wire.receive() == Puback(1)
assert await wire.rest() == []          # what comes until the other side closes
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from freehold.connect.mqtt.codec import (
    Connack,
    Connect,
    FrameReader,
    Packet,
    Publish,
    check_from_server,
    decode_packet,
    encode,
)
from tests.contract.house import PATIENCE, House


class Wire:
    """One TCP connection. What comes is decoded, and checked to be what a server may send."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, version: int) -> None:
        self.version = version
        self._reader, self._writer = reader, writer
        self._frames = FrameReader()

    @classmethod
    async def open(cls, port: int, version: int = 5, *, receive_buffer: int = 0) -> Wire:
        """`receive_buffer` makes the kernel keep no more than about that many bytes that are not read."""
        connected = socket.socket()
        connected.setblocking(False)
        if receive_buffer:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        await asyncio.get_running_loop().sock_connect(connected, ("127.0.0.1", port))
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        limit = receive_buffer or 1 << 16
        reader, writer = await asyncio.open_connection(sock=connected, limit=limit)
        return cls(reader, writer, version)

    async def connect(self, user: str | None, password: str | bytes | None, **fields: Any) -> Connack:
        """Send CONNECT in this wire's version, and return what answers it."""
        self.send(self.connect_packet(user, password, **fields))
        answer = await self.receive()
        assert isinstance(answer, Connack)
        return answer

    def connect_packet(self, user: str | None, password: str | bytes | None, **fields: Any) -> Connect:
        secret = password.encode() if isinstance(password, str) else password
        return Connect(fields.pop("client_id", ""), self.version, user_name=user, password=secret, **fields)

    def send(self, *packets: Packet) -> None:
        """All in one write, so usually in one segment."""
        self.send_bytes(b"".join(encode(packet, self.version) for packet in packets))

    def send_bytes(self, data: bytes) -> None:
        if not self._writer.transport.is_closing():  # the other side may be quicker
            self._writer.write(data)

    async def flush(self) -> None:
        """Return when the kernel took what was sent."""
        await self._writer.drain()

    async def receive(self) -> Packet:
        """The next packet. Raises `EOFError` when there is none any more."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for frame in self._frames:
                    packet = decode_packet(frame.first_byte, frame.body, self.version)
                    check_from_server(packet, self.version)
                    return packet
                data = await self._read()
                if not data:
                    assert not self._frames.pending, "the connection ended inside a packet"
                    raise EOFError
                self._frames.feed(data)

    async def receive_many(self, number: int) -> list[Packet]:
        return [await self.receive() for _ in range(number)]

    async def rest(self) -> list[Packet]:
        """Everything that still comes, once the other side has closed."""
        packets: list[Packet] = []
        try:
            while True:
                packets.append(await self.receive())
        except EOFError:
            return packets

    async def silent(self) -> bool:
        """Whether nothing came that was not asked for. (The answer to PINGREQ comes after all that was before.)"""
        self.send_bytes(b"\xc0\x00")
        return encode(await self.receive(), self.version) == b"\xd0\x00"

    async def close(self) -> None:
        """Close without DISCONNECT."""
        self._writer.close()
        with suppress(ConnectionError):  # the other side was quicker
            await self._writer.wait_closed()

    def reset(self) -> None:
        """Vanish: the other side gets RST instead of an orderly end."""
        raw = self._writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    async def _read(self) -> bytes:
        try:
            return await self._reader.read(1 << 16)
        except ConnectionError:
            return b""


@asynccontextmanager
async def connected(house: House, device: str, secret: str, version: int = 5, **fields: Any) -> AsyncIterator[Wire]:
    """A wire on which `device` of `app1` is connected; closed without DISCONNECT at the end."""
    wire = await Wire.open(house.mqtt.port, version)
    connack = await wire.connect(f"{device}@app1", secret, **fields)
    assert connack.reason_code == 0
    try:
        yield wire
    finally:
        await wire.close()


def telemetry(packet_id: int, payload: bytes = b"1", topic: str = "telemetry", **fields: Any) -> Publish:
    """A PUBLISH, with QoS 1 unless `packet_id` is 0."""
    return Publish(topic, payload, 1 if packet_id else 0, packet_id=packet_id, **fields)


async def until(condition: Any, what: str) -> None:
    """Wait until `condition()` is true; fail with `what` when patience ends."""
    try:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(f"never came true: {what}") from None
