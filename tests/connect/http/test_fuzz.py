# SPDX-License-Identifier: Apache-2.0
"""Whatever bytes arrive at the endpoint, in whatever pieces: it lives, it answers in HTTP or closes, it stores
nothing that was not a whole and right request, and a neighbour is served.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
import threading
from collections.abc import Iterator

import h11
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freehold.commands.router import BusRouter
from freehold.connect.gate import DeviceGate
from freehold.connect.http.endpoint import HttpEndpoint
from freehold.connect.intake import LogIntake
from freehold.core.bus import MemoryBus
from freehold.core.settings import Http, Limits
from freehold.events.models import decode, encode
from tests.connect.doubles import DECOY, Directory, MemoryLog, Passwords
from tests.connect.http.peer import request


class Served:
    """The endpoint in a thread of its own, so that hypothesis may block."""

    def __init__(self) -> None:
        self.log = MemoryLog()
        self.trouble: list[dict[str, object]] = []
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()))

    def __enter__(self) -> Served:
        self._thread.start()
        self._started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._loop.set_exception_handler(lambda _, context: self.trouble.append(context))
        directory = Directory()
        directory.add("device1", "foo")
        limits = Limits(auth_failures_per_minute=1_000_000)
        gate = DeviceGate(directory, Passwords(), self.log.route, limits, decoy=DECOY)
        intake = LogIntake(self.log, "here", limits)
        self.endpoint = HttpEndpoint(
            Http(host="127.0.0.1", command_wait_seconds=0), 0, gate, intake, BusRouter(MemoryBus())
        )
        await self.endpoint.start()
        self._started.set()
        await self._stop.wait()
        await self.endpoint.stop()

    def say(self, pieces: list[bytes]) -> bytes:
        """Send the pieces, end our half, and return everything that comes back."""
        with socket.create_connection(("127.0.0.1", self.endpoint.port), timeout=10) as peer:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            answer = b""
            try:
                for piece in pieces:
                    peer.sendall(piece)
                peer.shutdown(socket.SHUT_WR)
                while chunk := peer.recv(65_536):
                    answer += chunk
            except (ConnectionResetError, BrokenPipeError):
                pass  # refused while we were still talking
            return answer


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with Served() as served:
        yield served


def statuses(raw: bytes) -> list[int]:
    """Status codes of a stream of responses; fails where it is not HTTP/1.1."""
    found = []
    while raw:
        client = h11.Connection(h11.CLIENT)
        client.send(h11.Request(method="POST", target="/", headers=[("host", "x"), ("content-length", "0")]))
        client.send(h11.EndOfMessage())
        client.receive_data(raw)
        event = client.next_event()
        if isinstance(event, h11.InformationalResponse):
            found.append(event.status_code)
            raw = raw.partition(b"\r\n\r\n")[2]
            continue
        assert isinstance(event, h11.Response), event
        found.append(event.status_code)
        while isinstance(client.next_event(), h11.Data):
            pass
        raw = client.trailing_data[0]
    return found


GOOD = request()
fragments = st.sampled_from(
    [
        *(GOOD, GOOD[:50], GOOD[50:], b"POST ", b"/v1/x", b" HTTP/1.1", b"\r\n", b"\r\n\r\n", b"\0", b"\xff" * 5),
        *(
            b"Content-Length: 5",
            b"Content-Length: 99999999999",
            b"Transfer-Encoding: chunked",
            b"0\r\n\r\n",
            b"5\r\nhello\r\n",
        ),
        *(
            b"Authorization: Basic x",
            b"Expect: 100-continue",
            b"Connection: close",
            b"Connection: Upgrade",
            b"Upgrade: h2c",
        ),
        *(request(body=b"{oops"), request(password="no"), request("PUT"), request(target="/%FF"), request(user=None)),
        *(request(headers=("Expect: 100-continue",)), request(headers=("Upgrade: h2c", "Connection: Upgrade"))),
    ]
)
pieces = st.lists(fragments | st.binary(max_size=30), min_size=1, max_size=10)
fuzz = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@fuzz
@given(pieces)
def test_any_bytes_get_http_or_the_end_and_a_neighbour_is_served(served: Served, pieces: list[bytes]) -> None:
    answer = served.say(pieces)
    assert all(100 <= status < 600 and status != 500 for status in statuses(answer))
    assert statuses(served.say([GOOD])) == [202]
    assert served.trouble == []
    assert all(decode(encode(event)) == event for event in served.log.events)
    served.log.events.clear()


@fuzz
@given(st.lists(st.integers(0, len(GOOD)), max_size=6), st.integers(1, 4))
def test_however_good_requests_are_cut_each_is_one_event(served: Served, cuts: list[int], number: int) -> None:
    served.log.events.clear()
    raw = GOOD * number
    edges = [0, *sorted(cuts), len(raw)]
    answer = served.say([raw[a:b] for a, b in itertools.pairwise(edges) if a < b])
    assert statuses(answer) == [202] * number
    assert len(served.log.events) == number


@fuzz
@given(st.integers(0, len(GOOD) - 1), st.integers(0, 255))
def test_one_wrong_byte_is_never_a_fault_of_ours(served: Served, position: int, byte: int) -> None:
    raw = GOOD[:position] + bytes([byte]) + GOOD[position + 1 :]
    assert set(statuses(served.say([raw]))) <= {202, 400, 403, 404, 405, 406, 413, 431}
    assert served.trouble == []
