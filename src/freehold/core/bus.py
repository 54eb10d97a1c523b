# SPDX-License-Identifier: Apache-2.0
"""The small bus between roles: command delivery, change hints, metric snapshots. Never events.

Fire and forget by contract: a message may be lost when a role restarts, so whatever must not be lost lives
in the log or the meta database and the bus only says "look there". Engines: `MemoryBus` within a process,
`freehold.runtime.localbus` between the roles of one `freehold up`; NATS or Kafka past one machine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import structlog

Handler = Callable[[bytes], None]

# Topics. One name, one meaning, one encoding; the payloads are msgspec structs of the package that owns them.
REGISTRY_CHANGED = "registry.changed"
COMMAND_DELIVER = "commands.deliver"
COMMAND_OUTCOME = "commands.outcome"
PROCESSOR_CHANGED = "process.changed"
METRICS = "metrics.snapshot"
HEALTH = "health.snapshot"

_log = structlog.get_logger(__name__)


class Bus(Protocol):
    """Publish and subscribe by exact topic. Both are called in the event loop and never block."""

    def publish(self, topic: str, message: bytes) -> None:
        """Hand `message` to every subscriber in every role, this one included. May drop when a role is stuck."""
        ...

    def subscribe(self, topic: str, handler: Handler) -> Callable[[], None]:
        """Call `handler` in the event loop for each message; returns a function that ends the subscription."""
        ...


class MemoryBus:
    """The bus within one process; also the local half of every other engine."""

    def __init__(self) -> None:
        self._handlers: dict[str, list[Handler]] = {}

    def publish(self, topic: str, message: bytes) -> None:
        self.deliver(topic, message)

    def deliver(self, topic: str, message: bytes) -> None:
        """Call this process's handlers. One that raises is logged and never keeps the next from its message."""
        for handler in tuple(self._handlers.get(topic, ())):
            try:
                handler(message)
            except Exception:
                _log.exception("a bus handler failed", topic=topic)

    def subscribe(self, topic: str, handler: Handler) -> Callable[[], None]:
        self._handlers.setdefault(topic, []).append(handler)
        ended = False

        def unsubscribe() -> None:
            nonlocal ended
            if ended:
                return  # a second call must not end somebody else's subscription of the same handler
            ended = True
            handlers = self._handlers[topic]
            handlers.remove(handler)
            if not handlers:
                del self._handlers[topic]

        return unsubscribe
