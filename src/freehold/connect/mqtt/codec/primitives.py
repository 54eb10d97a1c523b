# SPDX-License-Identifier: Apache-2.0
"""The data representations of section 1.5, both ways.

``Reader`` walks a window of a buffer without copying it and turns every overrun into
``MalformedPacket``. It serves all packets but PUBLISH, whose decoder is written flat for speed:
a method call costs about 0.1 us, which PUBLISH cannot afford and CONNECT does not notice.
The ``*_bytes`` functions are the way back and raise ``EncodeError``.
"""

from typing import Final, NoReturn

from freehold.connect.mqtt.codec.errors import EncodeError, MalformedPacket, ProtocolViolation
from freehold.connect.mqtt.codec.kinds import MAX_FIELD_LENGTH, MAX_REMAINING_LENGTH, Buffer
from freehold.connect.mqtt.codec.reasons import ReasonCode

_CONTINUES: Final = 0x80
_PAYLOAD_BITS: Final = 0x7F


def malformed(text: str) -> NoReturn:
    """Raise ``MalformedPacket`` with the general reason code 0x81."""
    raise MalformedPacket(ReasonCode.MALFORMED_PACKET, text)


def refuse_packet_id() -> NoReturn:
    """Raise ``ProtocolViolation``: the identifier 0 parses, but nobody may use it (2.2.1)."""
    raise ProtocolViolation(ReasonCode.PROTOCOL_ERROR, "packet identifier is 0 [MQTT-2.2.1-3]")


class Reader:
    """A position in ``buffer[pos:end]``. Each method reads one field, named for the error text.

    Raises ``MalformedPacket`` when the field does not fit into the window or is not well formed.
    """

    __slots__ = ("buffer", "end", "pos")

    def __init__(self, buffer: Buffer, start: int, end: int) -> None:
        self.buffer = buffer
        self.pos = start
        self.end = end

    def u8(self, what: str) -> int:
        """One byte."""
        pos = self.pos
        if pos >= self.end:
            malformed(f"packet ends before {what}")
        self.pos = pos + 1
        return self.buffer[pos]

    def u16(self, what: str) -> int:
        """Two byte integer, big-endian (1.5.2)."""
        pos = self.pos
        if pos + 2 > self.end:
            malformed(f"packet ends inside {what}")
        self.pos = pos + 2
        return self.buffer[pos] << 8 | self.buffer[pos + 1]

    def u32(self, what: str) -> int:
        """Four byte integer, big-endian (1.5.3)."""
        return self.u16(what) << 16 | self.u16(what)

    def varint(self, what: str) -> int:
        """Variable byte integer of at most four bytes, the shortest form only (1.5.5)."""
        pos = self.pos
        if pos < self.end and self.buffer[pos] < _CONTINUES:
            self.pos = pos + 1
            return self.buffer[pos]
        value = self.u8(what)
        value &= _PAYLOAD_BITS
        for shift in (7, 14, 21):
            byte = self.u8(what)
            value |= (byte & _PAYLOAD_BITS) << shift
            if byte < _CONTINUES:
                if byte == 0:
                    malformed(f"{what} is not in its shortest form [MQTT-1.5.5-1]")
                return value
        malformed(f"{what} is longer than four bytes (1.5.5)")

    def binary(self, what: str) -> bytes:
        """Binary data with a two byte length (1.5.6)."""
        buffer, start, end = self.buffer, self.pos + 2, self.end
        if start > end:
            malformed(f"packet ends inside {what}")
        stop = start + (buffer[start - 2] << 8 | buffer[start - 1])
        if stop > end:
            malformed(f"{what} is longer than the packet")
        self.pos = stop
        return bytes(buffer[start:stop])

    def string(self, what: str) -> str:
        """UTF-8 encoded string (1.5.4): no surrogates, no overlong forms, no U+0000.

        Control characters and non-characters, which the specification lets a receiver refuse or
        take, are taken: whoever shows or logs the string escapes it. A BOM stays (1.5.4-3).
        """
        raw = self.binary(what)
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            malformed(f"{what} is not well-formed UTF-8 [MQTT-1.5.4-1]")
        if "\0" in text:
            malformed(f"{what} holds U+0000 [MQTT-1.5.4-2]")
        return text

    def packet_id(self) -> int:
        """Packet identifier; 0 is a ``ProtocolViolation`` (2.2.1)."""
        value = self.u16("packet identifier")
        if not value:
            refuse_packet_id()
        return value

    def finish(self, what: str) -> None:
        """Refuse bytes behind the last field."""
        if self.pos != self.end:
            malformed(f"{self.end - self.pos} bytes too many at the end of {what}")


def u16_bytes(value: int, what: str) -> bytes:
    """Two byte integer."""
    if not 0 <= value <= MAX_FIELD_LENGTH:
        raise EncodeError(f"{what} {value} is not in 0 to 65535")
    return value.to_bytes(2, "big")


def packet_id_bytes(packet_id: int) -> bytes:
    """Packet identifier, 1 to 65535."""
    if not 0 < packet_id <= MAX_FIELD_LENGTH:
        raise EncodeError(f"packet identifier {packet_id} is not in 1 to 65535")
    return packet_id.to_bytes(2, "big")


def varint_bytes(value: int) -> bytes:
    """Variable byte integer in its shortest form."""
    if not 0 <= value <= MAX_REMAINING_LENGTH:
        raise EncodeError(f"{value} does not fit a variable byte integer")
    out = bytearray()
    while value >= _CONTINUES:
        out.append(value & _PAYLOAD_BITS | _CONTINUES)
        value >>= 7
    out.append(value)
    return bytes(out)


def binary_bytes(data: bytes, what: str) -> bytes:
    """Binary data behind its length."""
    if len(data) > MAX_FIELD_LENGTH:
        raise EncodeError(f"{what} is longer than 65535 bytes")
    return len(data).to_bytes(2, "big") + data


def string_bytes(text: str, what: str) -> bytes:
    """UTF-8 encoded string behind its length."""
    if "\0" in text:
        raise EncodeError(f"{what} holds U+0000")
    try:
        raw = text.encode()
    except UnicodeEncodeError:
        raise EncodeError(f"{what} holds a lone surrogate") from None
    return binary_bytes(raw, what)


def packet_bytes(first_byte: int, *parts: bytes) -> bytes:
    """A whole packet: first byte, remaining length, body."""
    body = b"".join(parts)
    return bytes((first_byte,)) + varint_bytes(len(body)) + body
