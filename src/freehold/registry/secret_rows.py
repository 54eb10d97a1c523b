# SPDX-License-Identifier: Apache-2.0
"""The rows of `device_secrets`: read with their device, written and collected with its spec."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from freehold.registry.credentials import Secret
from freehold.registry.stash import Stashed
from freehold.registry.tables import device_secrets


def secrets_of(connection: Connection, devices: Sequence[str]) -> dict[str, dict[str, Secret]]:
    """Device uid → secret id → secret."""
    found: dict[str, dict[str, Secret]] = {uid: {} for uid in devices}
    for row in connection.execute(select(device_secrets).where(device_secrets.c.device.in_(devices))):
        found[row.device][row.id] = Secret(row.id, row.verifier, row.sealed, row.generated)
    return found


def replace_secrets(connection: Connection, device: str, stashed: Stashed) -> None:
    """Add what is new, drop what the spec no longer refers to."""
    c = device_secrets.c
    connection.execute(delete(device_secrets).where(c.device == device, c.id.not_in(sorted(stashed.used))))
    if stashed.new:
        connection.execute(insert(device_secrets), secret_rows(device, stashed.new))


def secret_rows(device: str, secrets: Iterable[Secret]) -> list[dict[str, Any]]:
    return [
        {"id": s.id, "device": device, "verifier": s.verifier, "sealed": s.sealed, "generated": s.generated}
        for s in secrets
    ]
