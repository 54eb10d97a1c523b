# SPDX-License-Identifier: Apache-2.0
"""From rows to what the hot path needs: reads many devices at once, in a thread, and keeps little of each.

A snapshot may stand for each of 100,000 open connections, so equal parts are shared and the credential
sections, which hold placeholders only, are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, select

from freehold.core.database import Database
from freehold.registry.changes import newest
from freehold.registry.credentials import SECTIONS, passwords, psks
from freehold.registry.interfaces import ApplicationSnapshot, DeviceSnapshot
from freehold.registry.keys import keys_of_device
from freehold.registry.secret_rows import secrets_of
from freehold.registry.tables import application_keys, applications, device_keys, devices

_EMPTY: Mapping[str, Any] = MappingProxyType({})
_NOBODY: frozenset[str] = frozenset()


class Wanted(NamedTuple):
    """A question to the directory. `key` None asks for the application itself; `by_name` for real names only."""

    application: str
    key: str | None = None
    by_name: bool = False


@dataclass(frozen=True, slots=True)
class Loaded:
    """Answers to a batch of questions, as of change `position`; what was not found is absent."""

    position: int
    applications: Mapping[str, ApplicationSnapshot]
    """By the key that was asked for."""
    devices: Mapping[Wanted, DeviceSnapshot]


def load(database: Database, batch: Sequence[Wanted]) -> Loaded:
    """Answer a batch in one consistent read: one query for its applications, two for the devices of each."""
    with database.read() as connection:
        position = newest(connection)
        owners = _applications(connection, {wanted.application for wanted in batch})
        found: dict[Wanted, DeviceSnapshot] = {}
        for key, owner in owners.items():
            asked = [wanted for wanted in batch if wanted.application == key and wanted.key is not None]
            if asked:
                found.update(_devices(connection, owner, asked))
    return Loaded(position, owners, found)


def _applications(connection: Connection, keys: Iterable[str]) -> dict[str, ApplicationSnapshot]:
    wanted = (
        select(application_keys.c.key, applications)
        .join_from(application_keys, applications, application_keys.c.application == applications.c.uid)
        .where(application_keys.c.key.in_(sorted(keys)))
    )
    by_uid: dict[str, ApplicationSnapshot] = {}
    found: dict[str, ApplicationSnapshot] = {}
    for row in connection.execute(wanted):
        found[row.key] = by_uid.setdefault(row.uid, _application(row))
    return found


def _devices(
    connection: Connection, owner: ApplicationSnapshot, asked: Sequence[Wanted]
) -> Iterable[tuple[Wanted, DeviceSnapshot]]:
    keys = sorted({wanted.key for wanted in asked if wanted.key is not None})
    wanted_rows = (
        select(device_keys.c.key, devices)
        .join_from(device_keys, devices, device_keys.c.device == devices.c.uid)
        .where(device_keys.c.application == owner.uid, device_keys.c.key.in_(keys))
    )
    rows = {row.key: row for row in connection.execute(wanted_rows)}
    secrets = secrets_of(connection, [row.uid for row in rows.values()])
    by_uid = {row.uid: _device(row, owner, secrets[row.uid]) for row in rows.values()}
    for wanted in asked:
        row = rows.get(wanted.key or "")
        if row is not None and (not wanted.by_name or row.name == wanted.key):
            yield wanted, by_uid[row.uid]


def _application(row: Row[Any]) -> ApplicationSnapshot:
    return ApplicationSnapshot(
        uid=row.uid,
        name=row.name,
        tenant=row.tenant,
        enabled=row.deleted is None and _enabled(row.spec),
        mqtt_dialect=_mqtt_dialect(row.spec),
        spec=MappingProxyType(row.spec) if row.spec else _EMPTY,
    )


def _device(row: Row[Any], owner: ApplicationSnapshot, secrets: Mapping[str, Any]) -> DeviceSnapshot:
    spec = {name: value for name, value in row.spec.items() if name not in SECTIONS}
    others = keys_of_device(row.name, row.spec) - {row.name}
    return DeviceSnapshot(
        uid=row.uid,
        name=row.name,
        application=owner,
        enabled=row.deleted is None and _enabled(row.spec),
        passwords=passwords(row.spec, secrets),
        psks=psks(row.spec, secrets),
        gateways=_gateways(row.spec),
        aliases=frozenset(others) if others else _NOBODY,
        mqtt_dialect=_mqtt_dialect(row.spec),
        spec=MappingProxyType(spec) if spec else _EMPTY,
    )


def _enabled(spec: Mapping[str, Any]) -> bool:
    """Whether `spec.core` leaves it on. One that cannot be understood does not."""
    core = spec.get("core", {})
    return isinstance(core, dict) and core.get("disabled", False) is False


def _mqtt_dialect(spec: Mapping[str, Any]) -> Mapping[str, Any] | None:
    mqtt = spec.get("mqtt")
    dialect = mqtt.get("dialect") if isinstance(mqtt, dict) else None
    return dialect if isinstance(dialect, dict) else None


def _gateways(spec: Mapping[str, Any]) -> frozenset[str]:
    """`spec.gatewaySelector.matchNames`; nobody when it has another form."""
    selector = spec.get("gatewaySelector")
    names = selector.get("matchNames") if isinstance(selector, dict) else None
    return frozenset(name for name in names if isinstance(name, str)) if isinstance(names, list) else _NOBODY
