# SPDX-License-Identifier: Apache-2.0
"""The Event: what every device message becomes, and the only thing that travels behind the door.

A `msgspec` struct with the payload as raw bytes: encoded once when it is accepted, decoded where somebody
looks inside. `source` and `partitionkey` follow from other fields and are not stored.

Evolution (Warehouse's rule): the log holds this struct as an array, so fields are never reordered, renamed
in meaning or removed; new ones go to the end with a default.
"""

from __future__ import annotations

import msgspec

from freehold.core.clock import to_rfc3339

DEVICE_EVENT = "io.drogue.event.v1"
CONNECTION_EVENT = "io.drogue.connection.v1"
REGISTRY_EVENT = "io.drogue.registry.v1"


class Event(msgspec.Struct, frozen=True, array_like=True, omit_defaults=True):
    """One CloudEvents 1.0 message with Freehold's extensions (contract drogue.md 2.1).

    `time` is microseconds since 1970 UTC, when the platform received it. `device` is who measured, `sender`
    who transmitted. `data` is the payload as it is stored (JSON is compact UTF-8). `extensions` holds what
    only some events carry (`lorawanport`, ...); names and values are text.
    """

    id: str
    time: int
    application: str
    applicationuid: str
    device: str
    deviceuid: str
    sender: str
    senderuid: str
    subject: str
    datacontenttype: str
    data: bytes
    instance: str
    type: str = DEVICE_EVENT
    dataschema: str | None = None
    extensions: dict[str, str] = {}

    @property
    def source(self) -> str:
        """`drogue://<app>/<device>`, the device escaped byte by byte, the application not."""
        return f"drogue://{self.application}/{escape(self.device)}"

    @property
    def partitionkey(self) -> str:
        """Order is kept per transmitting device: `<app>/<sender>`, both escaped."""
        return partition_key(self.application, self.sender)

    @property
    def time_text(self) -> str:
        return to_rfc3339(self.time)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Event)

encode = _encoder.encode
"""Event → the bytes that the log keeps."""


def decode(value: bytes | memoryview) -> Event:
    """The bytes that the log keeps → Event. Raises `msgspec.DecodeError` for anything else."""
    return _decoder.decode(value)


def escape(text: str) -> str:
    """Percent-encode every byte but ASCII letters and digits (contract drogue.md 2.1: `my-dev` → `my%2Ddev`)."""
    if text.isascii() and text.isalnum():
        return text
    return "".join(chr(byte) if _plain(byte) else f"%{byte:02X}" for byte in text.encode("utf-8", "surrogatepass"))


def _plain(byte: int) -> bool:
    return 48 <= byte <= 57 or 65 <= byte <= 90 or 97 <= byte <= 122


def partition_key(application: str, sender: str) -> str:
    """Key by which an event's partition is chosen (contract drogue.md 2.1)."""
    return f"{escape(application)}/{escape(sender)}"
