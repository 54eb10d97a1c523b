# SPDX-License-Identifier: Apache-2.0
"""One device's TCP connection: requests in, answers out in the same order, nothing unbounded.

Requests that were read but not begun are at most those of one slice of input; past that the socket is not read.
Timeouts are kept by `look`, once a second.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, cast

from freehold.connect.http.exchange import Exchange
from freehold.connect.http.head import Request, failed
from freehold.connect.http.request import RequestReader
from freehold.connect.http.services import Services
from freehold.connect.http.wait import CommandWait
from freehold.connect.http.watch import State, Watch
from freehold.core.errors import OVERLOADED, REQUEST_TIMEOUT, FreeholdError

if TYPE_CHECKING:
    from freehold.connect.http.endpoint import HttpEndpoint

PIPELINED = 32
"""Requests without an answer at which a connection is not read any more."""
SLICE = 8192
"""Input that is parsed at once; bounds how many requests one read can add."""
HELD_BYTES = 67_108_864
"""Memory for unfinished bodies of all connections. Messages that arrive in one piece need none of it."""


class HttpConnection(asyncio.Protocol):
    """Speaks HTTP/1.1 with one device. `gone` once the socket is."""

    __slots__ = (
        "_advancing",
        "_blocker",
        "_endpoint",
        "_eof",
        "_exchanges",
        "_failed",
        "_held",
        "_lingering",
        "_queue",
        "_reader",
        "_stuck",
        "_task",
        "_transport",
        "_unfed",
        "_wait",
        "_watch",
        "address",
        "gone",
        "services",
    )

    def __init__(self, endpoint: HttpEndpoint, services: Services) -> None:
        self._endpoint = endpoint
        self.services = services
        self.address = ""
        self.gone = False
        self._reader = RequestReader(services.settings.max_body_bytes)
        self._queue: deque[Request] = deque()
        self._exchanges: deque[Exchange] = deque()
        self._blocker: Exchange | None = None
        self._task: asyncio.Task[None] | None = None
        self._wait: CommandWait | None = None
        self._unfed = b""
        self._held = 0
        self._eof = self._failed = self._stuck = self._lingering = self._advancing = False
        self._watch = Watch()

    # --- the socket ------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if isinstance(peer, tuple) else ""
        self._endpoint.opened(self)

    def data_received(self, data: bytes) -> None:
        if self._failed or self.gone:
            return  # answered for good: what comes now is read only so that the answer arrives
        if self._unfed:
            self._unfed += data
        elif len(data) <= SLICE and not self._full():
            self._take(self._reader.feed(data))
        else:
            self._unfed = data
            self._feed()

    def eof_received(self) -> bool:
        self._eof = True
        # A client may close its half and still read; unless nothing of it will ever be answered.
        return self._busy() and not self._lingering

    def pause_writing(self) -> None:
        self._stuck = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._stuck = False
        self._advance()
        self._feed()

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = True
        if self._task is not None:
            self._task.cancel()
        if self._wait is not None:
            self._wait.close()
        self.services.held -= self._held
        self._held = 0
        self._unfed = b""
        self._queue.clear()
        self._exchanges.clear()
        del self._reader  # it and its parser hold each other
        self._endpoint.closed(self)

    # --- requests in -----------------------------------------------------------------------------

    def _feed(self) -> None:
        """Parse what was read, as far as the pipeline has room; reading goes on when all of it is parsed."""
        while self._unfed and not self._full() and not self._failed:
            piece, self._unfed = self._unfed[:SLICE], self._unfed[SLICE:]
            self._take(self._reader.feed(piece))
        if self.gone or self._transport.is_closing():
            return
        if self._unfed and not self._failed:
            self._transport.pause_reading()
        else:
            self._unfed = b""
            self._transport.resume_reading()

    def _full(self) -> bool:
        return self._stuck or len(self._queue) + len(self._exchanges) >= PIPELINED

    def _take(self, requests: list[Request]) -> None:
        held = self._reader.held
        if held != self._held:
            self.services.held += held - self._held
            self._held = held
            if self.services.held > HELD_BYTES:
                requests.append(failed(OVERLOADED.error("too many unfinished bodies")))
        if requests:
            if requests[-1][0].failure is not None:
                self._failed = True
            self._queue.extend(requests)
            self._advance()

    def _advance(self) -> None:
        """Begin what waits, one after the other, until one of them has to be waited for."""
        if self._advancing or self.gone:
            return
        queue = self._queue
        self._advancing = True
        while queue and self._blocker is None and not self._stuck and not self._ending():
            head, body = queue.popleft()
            exchange = Exchange(self, head, body)
            self._exchanges.append(exchange)
            exchange.begin()
        self._advancing = False
        self._flush()

    def _ending(self) -> bool:
        return self.services.draining and bool(self._exchanges)

    def hold(self, exchange: Exchange, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` for `exchange`; the next one begins when it was released or answered."""
        self._blocker = exchange
        self._task = asyncio.get_running_loop().create_task(work)

    def block(self, exchange: Exchange) -> None:
        """`exchange` may wait for a command: the next one begins when it was answered."""
        self._blocker = exchange

    def wait(self, wait: CommandWait) -> None:
        """The exchange that blocks waits for a command from now on."""
        self._wait = wait

    def release(self, exchange: Exchange) -> None:
        """`exchange` has its place in the log's order: the next one may begin."""
        if self._blocker is exchange:
            self._blocker = self._wait = None
            self._go_on()

    # --- answers out -----------------------------------------------------------------------------

    def answered(self, exchange: Exchange) -> None:
        """`exchange` has its response; it is written when all before it are."""
        if self._blocker is exchange:
            self._blocker = self._wait = None
        if not self._advancing:
            self._flush()
            self._go_on()

    def last(self, exchange: Exchange) -> bool:
        """Whether nothing was begun after `exchange`."""
        return self._exchanges[-1] is exchange if self._exchanges else True

    def _flush(self) -> None:
        exchanges = self._exchanges
        if self.gone or not exchanges or (response := exchanges[0].response) is None:
            return
        close = exchanges.popleft().close
        if exchanges and not close:
            ready = [response]
            while exchanges and not close and (response := exchanges[0].response) is not None:
                ready.append(response)
                close = exchanges.popleft().close
            response = b"".join(ready)
        self._transport.write(response)
        if close:
            self._finish()

    def _go_on(self) -> None:
        if self.gone or self._lingering:
            return
        if self._queue:
            self._advance()
        if self._unfed:
            self._feed()
        if self._busy() or self._lingering:
            return
        if self._eof or (self.services.draining and not self._reader.busy):
            self._transport.close()

    def _busy(self) -> bool:
        return bool(self._exchanges or self._queue or self._unfed)

    def _fail(self, error: FreeholdError) -> None:
        self._failed = True
        self._queue.append(failed(error))
        self._advance()

    def _finish(self) -> None:
        """The last answer is written: end, but leave a client that is still sending the time to read it."""
        refused, self._failed, self._lingering = self._failed, True, True
        self._exchanges.clear()
        self._queue.clear()
        self._unfed = b""
        if refused and not self._eof:
            self._transport.write_eof()
            self._transport.resume_reading()
        else:
            self._transport.close()

    # --- once a second ---------------------------------------------------------------------------

    def look(self, now: float) -> None:
        """End what takes too long; let a wait see changes in the registry."""
        if self._wait is not None:
            self._wait.renew_if_stale()
        state = self._state()
        if not self._watch.too_long(state, self._reader.begun, now, self.services.settings):
            return
        if state is State.READING:
            self._endpoint.timed_out += 1
            self._fail(REQUEST_TIMEOUT.error())
        elif state is State.IDLE:
            self._transport.close()
        else:
            self._transport.abort()

    def _state(self) -> State:
        if self._lingering:
            return State.LINGERING
        if self._stuck:
            return State.STUCK
        if self._busy():
            return State.WORKING
        return State.READING if self._reader.busy else State.IDLE

    def drain(self) -> None:
        """Finish what was begun, take nothing more."""
        if self._wait is not None:
            self._wait.give_up()
        if not self._busy() and not self._reader.busy:
            self._transport.close()

    def refuse(self, error: FreeholdError, *, tell: bool) -> None:
        """End a connection that just opened, with a word or without."""
        if tell:
            self._fail(error)
        else:
            self._transport.abort()

    def abort(self) -> None:
        self._transport.abort()
