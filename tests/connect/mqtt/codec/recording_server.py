# SPDX-License-Identifier: Apache-2.0
"""A server just big enough for real clients to talk to: it reads with our codec, keeps what it
read, and answers every packet as the protocol wants, written with our codec.

It is the codec's witness, not an endpoint: no authentication, no sessions, one message of its own
(``greeting``) to whoever subscribes.
"""

import asyncio
from types import TracebackType

from freehold.connect.mqtt.codec import (
    Connack,
    Connect,
    ConnectReturnCode,
    Disconnect,
    FrameReader,
    Packet,
    Pingreq,
    Pingresp,
    Properties,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    ReasonCode,
    Suback,
    Subscribe,
    Unsuback,
    Unsubscribe,
    check_from_client,
    decode_packet,
    encode,
)


class RecordingServer:
    """``async with RecordingServer(greeting) as server``; then ``server.port``, ``server.packets``."""

    def __init__(self, greeting: Publish, connack: Properties | None = None) -> None:
        self.greeting = greeting
        self.connack = connack or Properties()
        self.packets: list[Packet] = []
        self.stream = bytearray()
        self.failure: Exception | None = None
        self.closed = asyncio.Event()
        self.port = 0

    async def __aenter__(self) -> "RecordingServer":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frames, version = FrameReader(1_000_000), 4
        try:
            while chunk := await reader.read(65_536):
                self.stream += chunk
                frames.feed(chunk)
                for first_byte, body in frames:
                    packet = decode_packet(first_byte, body, version)
                    check_from_client(packet)
                    self.packets.append(packet)
                    version = packet.version if isinstance(packet, Connect) else version
                    for answer in self._answers(packet, version):
                        writer.write(encode(answer, version))
        except Exception as failure:
            # Kept for the test, which waits for `closed` and then asks `failure`.
            self.failure = failure
        finally:
            writer.close()
            self.closed.set()

    def _answers(self, packet: Packet, version: int) -> list[Packet]:
        v5 = version == 5
        match packet:
            case Connect():
                code = ReasonCode.SUCCESS if v5 else ConnectReturnCode.ACCEPTED
                return [Connack(False, code, self.connack if v5 else Properties())]
            case Publish(qos=1):
                return [Puback(packet.packet_id)]
            case Publish(qos=2):
                return [Pubrec(packet.packet_id)]
            case Pubrec():
                return [Pubrel(packet.packet_id)]
            case Pubrel():
                return [Pubcomp(packet.packet_id)]
            case Subscribe():
                granted = tuple(ReasonCode(item.qos) for item in packet.subscriptions)
                return [Suback(packet.packet_id, granted), self.greeting]
            case Unsubscribe():
                codes = (ReasonCode.NO_SUBSCRIPTION_EXISTED,) * len(packet.topic_filters)
                return [Unsuback(packet.packet_id, codes if v5 else ())]
            case Pingreq():
                return [Pingresp()]
            case Publish() | Puback() | Pubcomp() | Disconnect():
                return []
            case _:
                raise AssertionError(f"no client sends {packet!r}")
