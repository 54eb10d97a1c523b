# SPDX-License-Identifier: Apache-2.0
"""The load generator: many device connections in one process that does next to nothing per message.

Packets are made once and sent again as slices of one buffer; answers are counted by their bytes. So it needs
less than a microsecond a message, and its own CPU share is part of every result: while that is well below
100 % the generator is not what is measured. `main` reads a `Job` from standard input and prints a `Result`.
"""

from __future__ import annotations

import asyncio
import base64
import resource
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal, cast

import msgspec

from freehold.connect.mqtt.codec import Connect, encode, publish_bytes


class Job(msgspec.Struct, frozen=True):
    """What to send. `users` are (user, password), one a connection. `rate` messages a second in all, 0 is as
    fast as answers come; `window` unanswered messages a connection."""

    kind: Literal["mqtt", "http"]
    port: int
    users: list[tuple[str, str]]
    window: int
    seconds: float
    payload: bytes
    topic: str = "telemetry"
    version: int = 4
    rate: float = 0.0
    host: str = "127.0.0.1"
    latencies: bool = False
    publish: bool = True
    """False: connect only, and hold the connections."""


class Result(msgspec.Struct):
    """What came of it. Latencies are milliseconds, of single messages in flight."""

    connected: int
    connect_seconds: float
    acknowledged: int
    refused: int
    lost_connections: int
    seconds: float
    cpu_share: float
    p50_ms: float | None = None
    p99_ms: float | None = None

    @property
    def per_second(self) -> float:
        return self.acknowledged / self.seconds if self.seconds else 0.0


class Run:
    """State that the connections of a job share."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.sending = False
        self.acknowledged = self.refused = self.connected = self.lost = 0
        self.latencies: list[float] = []
        self.all_connected = asyncio.Event()

    def came_up(self) -> None:
        self.connected += 1
        self.settled()

    def settled(self) -> None:
        """A connection stands or failed: is that all of them?"""
        if self.connected + self.lost >= len(self.job.users):
            self.all_connected.set()


class Device(asyncio.Protocol, ABC):
    """One connection with at most `window` messages in flight; slots go round in the order of the answers."""

    size = 0

    def __init__(self, run: Run, user: str, password: str) -> None:
        self._run, self._user, self._password = run, user, password
        self._transport: asyncio.Transport | None = None
        self._slot = 0
        self._flying = 0
        self._sent_at = 0.0
        self._rest = b""
        self._up = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not `isinstance`: uvloop's transports are none of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)
        self.prepare()

    def connection_lost(self, cause: Exception | None) -> None:
        self._transport = None
        self._run.lost += 1
        self._run.settled()

    @abstractmethod
    def prepare(self) -> None:
        """Fill the ring, and say whatever comes before the first message."""

    def up(self) -> None:
        self._up = True
        self._run.came_up()

    def ring_of(self, packets: Sequence[bytes]) -> None:
        """Packets of equal size, twice: any run of up to `window` of them is one slice."""
        self.size = len(packets[0])
        self._ring = b"".join(packets) * 2
        self._slots = len(packets)

    def send(self, count: int) -> None:
        """Send up to `count` messages, as the window allows."""
        count = min(count, self._slots - self._flying)
        if count <= 0 or self._transport is None:
            return
        start = self._slot * self.size
        self._transport.write(self._ring[start : start + count * self.size])
        self._slot = (self._slot + count) % self._slots
        self._flying += count
        if self._run.job.latencies:
            self._sent_at = time.perf_counter()

    def answered(self, good: int, bad: int) -> None:
        run = self._run
        run.acknowledged += good
        run.refused += bad
        self._flying -= good + bad
        if run.job.latencies and good:
            run.latencies.append(time.perf_counter() - self._sent_at)
        if run.sending and not run.job.rate:
            self.send(good + bad)


class MqttLoad(Device):
    """QoS 1 publishes; answers are four bytes each unless one is refused."""

    def prepare(self) -> None:
        job = self._run.job
        connect = Connect(
            client_id="",
            version=job.version,
            keep_alive=600,
            user_name=self._user or None,
            password=self._password.encode() if self._user else None,
        )
        assert self._transport is not None
        self._transport.write(encode(connect, job.version))
        self.ring_of(
            [
                publish_bytes(job.topic, job.payload, version=job.version, qos=1, packet_id=number + 1)
                for number in range(job.window)
            ]
        )

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
            self._rest = b""
        if not self._up:
            if len(data) < 2 or len(data) < data[1] + 2:
                self._rest = data
                return
            if data[0] != 0x20 or data[3] != 0:
                if self._transport is not None:
                    self._transport.abort()
                return
            data = data[data[1] + 2 :]
            self.up()
        count = len(data) // 4
        if count * 4 == len(data) and data[0::4] == b"\x40" * count and data[1::4] == b"\x02" * count:
            if count:
                self.answered(count, 0)
            return
        self.answered(*self._count(data))

    def _count(self, data: bytes) -> tuple[int, int]:
        good = bad = at = 0
        while len(data) - at >= 2 and len(data) - at >= data[at + 1] + 2:
            if data[at] == 0x40:
                refused = data[at + 1] > 2 and data[at + 4] >= 0x80
                bad += refused
                good += not refused
            at += data[at + 1] + 2
        self._rest = data[at:]
        return good, bad


class HttpLoad(Device):
    """Keep-alive posts with Basic authentication, `window` of them pipelined."""

    def prepare(self) -> None:
        job = self._run.job
        token = base64.b64encode(f"{self._user}:{self._password}".encode()).decode()
        head = (
            f"POST /v1/{job.topic} HTTP/1.1\r\nHost: {job.host}\r\nAuthorization: Basic {token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(job.payload)}\r\n\r\n"
        )
        self.ring_of([head.encode() + job.payload] * job.window)
        self.up()

    def data_received(self, data: bytes) -> None:
        good = data.count(b"HTTP/1.1 202")
        self.answered(good, data.count(b"HTTP/1.1 ") - good)


async def run_job(job: Job) -> Result:
    """Connect all, send for `seconds`, count what is answered (also within a second after)."""
    loop = asyncio.get_running_loop()
    run = Run(job)
    made = MqttLoad if job.kind == "mqtt" else HttpLoad
    began = time.perf_counter()
    devices: list[Device] = []
    for start in range(0, len(job.users), 500):
        pairs = await asyncio.gather(
            *(
                loop.create_connection(lambda u=user, p=password: made(run, u, p), job.host, job.port)  # type: ignore[misc]
                for user, password in job.users[start : start + 500]
            )
        )
        devices += [device for _, device in pairs]
    async with asyncio.timeout(300):
        await run.all_connected.wait()
    connect_seconds = time.perf_counter() - began
    used, began = _cpu(), time.perf_counter()
    if job.publish:
        run.sending = True
        if job.rate:
            await _paced(run, devices)
        else:
            for device in devices:
                device.send(job.window)
            await asyncio.sleep(job.seconds)
    else:
        await asyncio.sleep(job.seconds)
    counted, refused, seconds = run.acknowledged, run.refused, time.perf_counter() - began
    share = (_cpu() - used) / seconds
    run.sending = False
    if job.rate:
        await asyncio.sleep(1.0)
        counted, refused = run.acknowledged, run.refused
    result = Result(run.connected - run.lost, connect_seconds, counted, refused, run.lost, seconds, share)
    if run.latencies:
        run.latencies.sort()
        result.p50_ms = run.latencies[len(run.latencies) // 2] * 1000
        result.p99_ms = run.latencies[int(len(run.latencies) * 0.99)] * 1000
    return result


async def _paced(run: Run, devices: Sequence[Device]) -> None:
    """Offer `rate` messages a second, evenly over time and connections, whatever is answered."""
    began = time.perf_counter()
    sent, turn = 0, 0
    while (elapsed := time.perf_counter() - began) < run.job.seconds:
        due = int(elapsed * run.job.rate) - sent
        sent += due
        each, more = divmod(due, len(devices))
        for index, device in enumerate(devices):
            device.send(each + (1 if (index - turn) % len(devices) < more else 0))
        turn = (turn + more) % len(devices)
        await asyncio.sleep(0.005)


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    import uvloop

    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(run_job(job))))


if __name__ == "__main__":
    main()
