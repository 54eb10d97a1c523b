# SPDX-License-Identifier: Apache-2.0
"""A small MQTT device for demo, torture and checks: our codec over a real socket, nothing hidden.

Not a general client: one connection, QoS 0 and 1, an error when the connection ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from freehold.connect.mqtt.codec import (
    Connack,
    Connect,
    FrameReader,
    Packet,
    Puback,
    Publish,
    Suback,
    Subscribe,
    Subscription,
    decode_packet,
    encode,
    publish_bytes,
)


class DeviceError(ConnectionError):
    """The server refused, or the connection ended."""


class MqttDevice:
    """One device. `async with MqttDevice(...) as device:` connects and ends with a DISCONNECT."""

    def __init__(self, host: str, port: int, user: str, password: str, *, version: int = 5) -> None:
        self._host, self._port = host, port
        self._connect = Connect(
            client_id="", version=version, keep_alive=60, user_name=user, password=password.encode()
        )
        self._version = version
        self._answers: dict[int, asyncio.Future[int]] = {}
        self._next_id = 0
        self.on_message: Callable[[str, bytes], None] = lambda topic, payload: None

    async def __aenter__(self) -> MqttDevice:
        await self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def connect(self) -> None:
        """Raises `DeviceError` when the server does not accept."""
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        self._connected: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._receiving = asyncio.create_task(self._receive())
        self._writer.write(encode(self._connect, self._version))
        if (reason := await self._connected) != 0:
            raise DeviceError(f"connection refused with 0x{reason:02x}")

    async def publish(self, topic: str, payload: bytes) -> int:
        """Publish with QoS 1; returns the reason code of the PUBACK (0 and 0x10 mean durable)."""
        packet_id, answer = self._expect()
        self._writer.write(publish_bytes(topic, payload, version=self._version, qos=1, packet_id=packet_id))
        return await answer

    async def subscribe(self, topic_filter: str, qos: int = 1) -> None:
        """Raises `DeviceError` when the subscription is refused."""
        packet_id, answer = self._expect()
        self._writer.write(encode(Subscribe(packet_id, (Subscription(topic_filter, qos),)), self._version))
        if (code := await answer) >= 0x80:
            raise DeviceError(f"subscription refused with 0x{code:02x}")

    async def close(self) -> None:
        self._writer.write(b"\xe0\x00")
        self._receiving.cancel()
        self._writer.close()
        await asyncio.gather(self._receiving, self._writer.wait_closed(), return_exceptions=True)

    def _expect(self) -> tuple[int, asyncio.Future[int]]:
        if self._receiving.done():
            raise DeviceError("the connection ended")
        self._next_id = self._next_id % 65_535 + 1
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._answers[self._next_id] = answer
        return self._next_id, answer

    async def _receive(self) -> None:
        frames = FrameReader()
        try:
            while chunk := await self._reader.read(65_536):
                frames.feed(chunk)
                for frame in frames:
                    self._handle(decode_packet(frame.first_byte, frame.body, self._version))
        finally:
            waiting = [self._connected, *self._answers.values()]
            for future in waiting:
                if not future.done():
                    future.set_exception(DeviceError("the connection ended"))

    def _handle(self, packet: Packet) -> None:
        if isinstance(packet, Connack):
            self._connected.set_result(int(packet.reason_code))
        elif isinstance(packet, Puback):
            self._answered(packet.packet_id, int(packet.reason_code))
        elif isinstance(packet, Suback):
            self._answered(packet.packet_id, int(packet.reason_codes[0]))
        elif isinstance(packet, Publish):
            if packet.qos:
                self._writer.write(encode(Puback(packet.packet_id), self._version))
            self.on_message(packet.topic, packet.payload)

    def _answered(self, packet_id: int, reason: int) -> None:
        answer = self._answers.pop(packet_id, None)
        if answer is not None and not answer.done():
            answer.set_result(reason)
