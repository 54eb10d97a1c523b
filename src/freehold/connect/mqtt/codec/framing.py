# SPDX-License-Identifier: Apache-2.0
"""Where packets begin and end in a stream (2.1): bounds without copying, and a reader on top.

``frame_bounds`` is for an endpoint that loops over its own receive buffer; ``FrameReader`` keeps
the buffer itself, for clients and tests. Both refuse a packet that announces too much as soon as
its header is there, before a byte of its body is kept. The remaining length is taken in longer
than shortest form too: at CONNECT the version is not known yet, 3.1.1 does not forbid it, and
small devices reserve its bytes before they know the length.
"""

from collections.abc import Iterator
from typing import NamedTuple

from freehold.connect.mqtt.codec.errors import DecodeError, PacketTooLarge
from freehold.connect.mqtt.codec.kinds import MAX_PACKET_SIZE, Buffer
from freehold.connect.mqtt.codec.primitives import malformed


def frame_bounds(buffer: Buffer, offset: int, end: int, max_size: int = MAX_PACKET_SIZE) -> tuple[int, int] | None:
    """Body bounds ``(start, end)`` of the packet whose first byte is ``buffer[offset]``.

    ``None`` when ``buffer[offset:end]`` does not hold all of it yet; the next packet starts where
    the body ends. ``max_size`` counts the whole packet, header included, as MQTT 5 does (2.1.4).
    Raises ``PacketTooLarge``, or ``MalformedPacket`` for a length of more than four bytes.
    """
    pos = offset + 1
    if pos >= end:
        return None
    length = buffer[pos]
    pos += 1
    if length > 127:
        length &= 127
        shift = 7
        while True:
            if pos >= end:
                return None
            byte = buffer[pos]
            pos += 1
            length |= (byte & 127) << shift
            if byte < 128:
                break
            shift += 7
            if shift > 21:
                malformed("remaining length is longer than four bytes (2.1.4)")
    stop = pos + length
    if stop - offset > max_size:
        raise PacketTooLarge(stop - offset, max_size)
    return None if stop > end else (pos, stop)


class Frame(NamedTuple):
    """One packet, cut out of the stream: its first byte, and the bytes behind the length."""

    first_byte: int
    body: bytes


class FrameReader:
    """Cuts a stream that arrives in chunks into frames.

    ``feed`` a chunk, then iterate until exhausted, then feed the next: so never more than one
    incomplete packet (at most ``max_size`` bytes) and one chunk are held. Frames in front of a bad
    one come out first; from then on every use raises the same error again.
    """

    def __init__(self, max_size: int = MAX_PACKET_SIZE) -> None:
        self._max_size = max_size
        self._buffer = bytearray()
        self._offset = 0
        self._failure: DecodeError | None = None

    @property
    def pending(self) -> int:
        """Bytes held that have not come out as a frame."""
        return len(self._buffer) - self._offset

    def feed(self, chunk: Buffer) -> None:
        """Add received bytes. Raises the earlier ``DecodeError`` if the stream is already bad."""
        if self._failure is not None:
            raise self._failure
        # Dropped here and not per frame: many small frames in one chunk then cost one move.
        del self._buffer[: self._offset]
        self._offset = 0
        self._buffer += chunk

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        if self._failure is not None:
            raise self._failure
        try:
            bounds = frame_bounds(self._buffer, self._offset, len(self._buffer), self._max_size)
        except DecodeError as failure:
            self._failure = failure
            self._buffer.clear()
            self._offset = 0
            raise
        if bounds is None:
            raise StopIteration
        start, stop = bounds
        frame = Frame(self._buffer[self._offset], bytes(memoryview(self._buffer)[start:stop]))
        self._offset = stop
        return frame
