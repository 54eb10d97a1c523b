# SPDX-License-Identifier: Apache-2.0
"""Identity on a real database file, with a clock that tests move by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from freehold.core.database import METADATA, Database
from freehold.identity.models import Principal
from freehold.identity.remembered import Remembered
from freehold.identity.service import IdentityService
from freehold.vault.service import Vault

SECOND = 1_000_000
HOUR = 3600 * SECOND


@dataclass
class Clock:
    """Microseconds for the service, seconds for its memory: one time for both."""

    now: int = 1_800_000_000 * SECOND

    def __call__(self) -> int:
        return self.now

    def seconds(self) -> float:
        return self.now / SECOND

    def pass_seconds(self, seconds: float) -> None:
        self.now += int(seconds * SECOND)


@dataclass
class House:
    """An installation with its first owner."""

    database: Database
    clock: Clock = field(default_factory=Clock)

    def identity(self, hours: int = 168) -> IdentityService:
        """Identity as one process has it: with a memory of its own."""
        return IdentityService(
            self.database,
            Vault(bytes(range(32))),
            session_hours=hours,
            clock=self.clock,
            remembered=Remembered(self.clock.seconds),
        )


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    database = Database.sqlite(tmp_path / "meta.db")
    METADATA.create_all(database.engine)
    yield House(database)
    database.close()


@pytest.fixture
def identity(house: House) -> IdentityService:
    service = house.identity()
    service.ensure_first_owner()
    return service


@pytest.fixture
def owner(identity: IdentityService) -> Principal:
    return identity.principal(identity.first_owner())
