# SPDX-License-Identifier: Apache-2.0
"""What the pages stand on: the contracts of the other packages, and what only the composition root knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from freehold.commands.service import CommandService
from freehold.console.snippets import Endpoints
from freehold.core.settings import Settings
from freehold.deliver.service import LiveEvents
from freehold.identity.interfaces import Authorizer, Identity
from freehold.process.interfaces import Sandbox
from freehold.process.service import ProcessorService
from freehold.registry.interfaces import Registry
from freehold.store.interfaces import TelemetryReader


@dataclass(frozen=True, slots=True)
class Sample:
    """The platform's counters at one moment. Totals count from the start of the platform.

    `time` is seconds since 1970 UTC; `connections` are devices connected right now.
    """

    time: float
    accepted: int
    stored: int
    refused: int
    connections: int


class Platform(Protocol):
    """What `runtime` knows of the running whole. Nothing here blocks, but for `retry_dead_letter`."""

    def history(self) -> Sequence[Sample]:
        """One sample a second for the last ten minutes, oldest first."""
        ...

    def health(self) -> Mapping[str, str | None]:
        """Component → None, or one sentence that says what is wrong."""
        ...

    def endpoints(self) -> Endpoints:
        """Where devices reach this installation, for lines to copy."""
        ...

    async def retry_dead_letter(self, application: str, event_id: str) -> None:
        """Hand the event to the processor of `application` (uid) again, and wait a few seconds for the outcome.

        When it worked the letter is gone from the store. Raises `resource.not-found`.
        """
        ...


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that `console.app.mount` needs."""

    registry: Registry
    identity: Identity
    authorizer: Authorizer
    processors: ProcessorService
    sandbox: Sandbox
    telemetry: TelemetryReader
    live: LiveEvents
    commands: CommandService
    settings: Settings
    platform: Platform
