# SPDX-License-Identifier: Apache-2.0
"""Everything that can go wrong between bytes and packets.

::

    CodecError
    ├── DecodeError             the peer's bytes; carries the reason code to answer with
    │   ├── MalformedPacket     cannot be parsed (4.13.1), 0x81
    │   ├── ProtocolViolation   parses, but says what the protocol forbids (4.13.1), 0x82 or nearer
    │   ├── PacketTooLarge      the header announces more than this side takes (3.1.2.11.4), 0x95
    │   └── UnsupportedVersion  a CONNECT of another protocol or level (3.1.2.1), 0x84
    └── EncodeError             our own caller asked for a packet that cannot exist

A decoder raises nothing but ``DecodeError``, whatever the input; an encoder nothing but
``EncodeError``. After any ``DecodeError`` the connection has to be closed (4.8, 4.13): the stream
is not to be trusted any more. Texts name the rule that was broken, in ASCII and bounded, and never
repeat payloads or credentials, so they can go into a v5 reason string or a log line.
"""

from freehold.connect.mqtt.codec.kinds import ProtocolVersion
from freehold.connect.mqtt.codec.reasons import ReasonCode


class CodecError(Exception):
    """Base of the codec's errors; ``text`` says what is wrong in one line."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class DecodeError(CodecError):
    """The peer sent something that this side must refuse; ``reason_code`` is what to answer."""

    def __init__(self, reason_code: ReasonCode, text: str) -> None:
        super().__init__(text)
        self.reason_code = reason_code


class MalformedPacket(DecodeError):
    """Bytes that cannot be parsed according to the specification."""


class ProtocolViolation(DecodeError):
    """A packet that parses but contains what the protocol does not allow."""


class PacketTooLarge(DecodeError):
    """A packet that announces more bytes than this side has said, or wishes, to take."""

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(ReasonCode.PACKET_TOO_LARGE, f"packet of {size} bytes, at most {limit} are taken")
        self.size = size
        self.limit = limit


class UnsupportedVersion(DecodeError):
    """A CONNECT that speaks neither 3.1.1 nor 5.0, such as MQTT 3.1 (``MQIsdp``, level 3)."""

    def __init__(self, protocol_name: str, level: int) -> None:
        shown = ascii(protocol_name[:16])
        super().__init__(
            ReasonCode.UNSUPPORTED_PROTOCOL_VERSION,
            f"protocol {shown} level {level}: MQTT 3.1.1 (level 4) and 5.0 (level 5) are spoken",
        )
        self.protocol_name = protocol_name
        self.level = level

    @property
    def answer_version(self) -> ProtocolVersion:
        """The version to write the refusing CONNACK in: what an older client still understands."""
        newer = self.protocol_name == "MQTT" and self.level > ProtocolVersion.MQTT_5_0
        return ProtocolVersion.MQTT_5_0 if newer else ProtocolVersion.MQTT_3_1_1


class EncodeError(CodecError, ValueError):
    """A packet that MQTT, or the chosen version of it, cannot express."""
