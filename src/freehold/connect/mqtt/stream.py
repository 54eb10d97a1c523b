# SPDX-License-Identifier: Apache-2.0
"""The transport side of one connection: bytes kept until a packet is whole, flow held back, an orderly end.

What the packets mean is the subclass's. Three rules keep a connection bounded and in order:

* While something must be asked first the stream *holds*: it does not read, one task asks, and what was read
  already goes on from where it stopped.
* A peer that does not read its answers is not read from, so it cannot make us keep what we owe it.
* An end waits for the answers that are on their way, says its farewell, and then closes. Until the peer has
  closed too, what it still sends is read and dropped for a moment: unread bytes would make the kernel reset
  the connection, and the farewell could be lost on its way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, cast

import structlog

if TYPE_CHECKING:
    from freehold.connect.mqtt.endpoint import MqttEndpoint

_log = structlog.get_logger(__name__)

LINGER_SECONDS = 2.0
"""Time for the farewell to arrive on a connection that ends; then it is cut."""
STALLED_SECONDS = 30.0
"""Time that a peer may leave its answers unread, whatever its keep alive."""

Waiting = Callable[[], Coroutine[Any, Any, None]]
"""What must be awaited. Not begun yet, because it never is when the connection goes first."""


class PacketStream(asyncio.Protocol):
    """Made for each accepted socket. Slots only: at 100,000 idle connections every field counts."""

    __slots__ = (
        "_buffer",
        "_endpoint",
        "_farewell",
        "_lingering",
        "_need",
        "_reading",
        "_task",
        "_transport",
        "_writable",
        "address",
        "last_seen",
    )

    def __init__(self, endpoint: MqttEndpoint) -> None:
        self._endpoint = endpoint
        self._transport: asyncio.Transport | None = None
        self._buffer: bytearray | None = None
        self._need = 0
        self._task: asyncio.Task[None] | None = None
        self._reading = True
        self._writable = True
        self._farewell: bytes | None = None
        self._lingering = False
        self.last_seen = 0.0
        self.address = ""

    # --- what the subclass says --------------------------------------------------------------------

    def _process(self, data: bytes) -> None:
        """Handle the packets in `data`, and `_keep` or `_hold` what is left. Never raises."""
        raise NotImplementedError

    def _failed(self, error: Exception) -> None:
        """What was waited for raised `error`."""
        raise NotImplementedError

    def _opened(self) -> bool:
        """Whether there is room for this connection."""
        raise NotImplementedError

    def _leaving(self) -> None:
        """The connection ends now, though the peer may not know yet."""
        raise NotImplementedError

    def _closed(self) -> None:
        """The connection is gone."""
        raise NotImplementedError

    @property
    def _connected(self) -> bool:
        """Whether the peer has said who it is."""
        raise NotImplementedError

    @property
    def _unanswered(self) -> int:
        """Answers that are still on their way."""
        raise NotImplementedError

    @property
    def _full(self) -> bool:
        """Whether so many answers are on their way that no more may be asked of us."""
        raise NotImplementedError

    # --- transport ---------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self.address = peer[0] if isinstance(peer, tuple) else "local"
        self.last_seen = self._endpoint.now()
        if not self._opened():
            self._transport.abort()

    def connection_lost(self, cause: Exception | None) -> None:
        self._transport = self._buffer = None
        if self._farewell is None:
            self._farewell = b""
        if self._task is not None:
            self._task.cancel()  # nobody waits for its outcome any more
        self._closed()

    def data_received(self, data: bytes) -> None:
        if self._farewell is not None:
            return
        if self._connected:
            # Before that the time counts from the open connection, so that CONNECT cannot come in drops for ever.
            self.last_seen = self._endpoint.now()
        buffer = self._buffer
        if buffer is not None:
            buffer += data
            if self._task is None and len(buffer) >= self._need:
                self._buffer = None
                self._process(bytes(buffer))
        elif self._task is not None:
            self._keep(data, 0)
        else:
            self._process(data)

    def pause_writing(self) -> None:
        self._writable = False
        self.last_seen = self._endpoint.now()
        self._update_reading()

    def resume_writing(self) -> None:
        self._writable = True
        self._update_reading()

    def _update_reading(self) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        open_ = self._farewell is None and self._writable and self._task is None and not self._full
        wanted = open_ or self._lingering
        if wanted != self._reading:
            self._reading = wanted
            if wanted:
                transport.resume_reading()
            else:
                transport.pause_reading()

    # --- holding -----------------------------------------------------------------------------------

    def _keep(self, data: bytes, offset: int) -> None:
        """Keep `data[offset:]` until the packet that begins there is complete."""
        self._buffer = bytearray(memoryview(data)[offset:])
        self._need = announced_size(data, offset)

    def _hold(self, work: Waiting, data: bytes, offset: int) -> asyncio.Task[None]:
        """Handle nothing until `work` is done; then go on with `data[offset:]`."""
        if offset < len(data):
            self._keep(data, offset)
        self._task = task = self._endpoint.spawn(self._go_on_after(work))
        self._update_reading()
        return task

    async def _go_on_after(self, work: Waiting) -> None:
        try:
            await work()
        except Exception as error:
            self._failed(error)
        self._task = None
        if self._farewell is None:
            self._update_reading()
            data, self._buffer = bytes(self._buffer or b""), None
            self._process(data)

    # --- writing and ending ------------------------------------------------------------------------

    def _write(self, data: bytes) -> None:
        if self._transport is not None and data:
            self._transport.write(data)

    def _answered(self) -> None:
        """Answers were written: an end may have waited for them, or the reading of more."""
        if self._farewell is not None:
            self._leave_if_answered()
        elif not self._reading:
            self._update_reading()

    def _end_with(self, farewell: bytes) -> None:
        """End the connection once the answers on their way are written, and `farewell` behind them."""
        if self._farewell is None:
            self._farewell = farewell
            self._buffer = None
            self._update_reading()
            self._leave_if_answered()

    def _leave_if_answered(self) -> None:
        transport = self._transport
        if self._unanswered or transport is None or transport.is_closing() or self._lingering:
            return
        assert self._farewell is not None
        self._write(self._farewell)
        self._leaving()
        if not self._farewell or not transport.can_write_eof():
            self._hang_up()
            return
        self._lingering = True
        transport.write_eof()
        self._update_reading()
        self._endpoint.loop.call_later(LINGER_SECONDS, transport.abort)

    def _hang_up(self) -> None:
        """Close at once; what was written may still leave."""
        if self._farewell is None:
            self._farewell = b""
        transport = self._transport
        if transport is not None and not transport.is_closing():
            if transport.get_write_buffer_size():
                self._endpoint.loop.call_later(LINGER_SECONDS, transport.abort)
            transport.close()

    def abort(self) -> None:
        """Cut the connection; nothing more is sent."""
        if self._transport is not None:
            self._transport.abort()


def announced_size(data: bytes, offset: int) -> int:
    """Bytes of the packet that begins at `data[offset]`; while its header is not whole, one more than there are."""
    there = len(data) - offset
    length = shift = 0
    for position in range(1, min(there, 5)):
        byte = data[offset + position]
        length |= (byte & 127) << shift
        if byte < 128:
            return position + 1 + length
        shift += 7
    return there + 1
