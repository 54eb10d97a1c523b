# SPDX-License-Identifier: Apache-2.0
"""What supervisor and roles say to each other over the bus, beside the domains' own messages."""

from __future__ import annotations

import msgspec

ROLE_READY = "runtime.ready"
ROLE_FAILED = "runtime.failed"
STATUS = "runtime.status"
RETRY = "runtime.retry-dead-letter"


class Ready(msgspec.Struct, frozen=True):
    """A role does its work. `ports` are those that it opened, by endpoint."""

    role: str
    ports: dict[str, int] = {}


class Failed(msgspec.Struct, frozen=True):
    """A role cannot start: which component, why, and what to do about it."""

    role: str
    component: str
    reason: str


class Status(msgspec.Struct, frozen=True):
    """What a role tells of itself every second: counters by name, health by component, its metrics page."""

    role: str
    counters: dict[str, float]
    health: dict[str, str | None]
    exposition: bytes = b""


class Retry(msgspec.Struct, frozen=True):
    """Run a dead letter again through the application's processor."""

    application: str
    event_id: str


encode = msgspec.msgpack.encode
decode_ready = msgspec.msgpack.Decoder(Ready).decode
decode_failed = msgspec.msgpack.Decoder(Failed).decode
decode_status = msgspec.msgpack.Decoder(Status).decode
decode_retry = msgspec.msgpack.Decoder(Retry).decode
