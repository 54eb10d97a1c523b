# SPDX-License-Identifier: Apache-2.0
"""Devices in the registry: create, read, replace, delete, generate a password (contract drogue.md 4.1, 4.3).

Passwords are hashed before the write transaction begins, because a slow hash must not hold the one write
lock. A change of the device in between is noticed by its resource version, and the work is done again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from freehold.core.clock import now_us
from freehold.core.database import Database
from freehold.core.errors import NOT_FOUND, OPTIMISTIC_LOCK, REFERENCE_NOT_FOUND, RESOURCE_INVALID, FreeholdError
from freehold.core.ids import new_uid
from freehold.registry import applications
from freehold.registry.changes import record
from freehold.registry.credentials import Secret
from freehold.registry.interfaces import Preconditions, Resource
from freehold.registry.keys import check_aliases, keys_of_device, replace_device_keys, taken_device_keys
from freehold.registry.metadata import Desired, check_device_name, read_device, show_metadata
from freehold.registry.rows import check, label_rows, new_row, page, replace_labels, revise, revision, writing
from freehold.registry.secret_rows import replace_secrets, secret_rows, secrets_of
from freehold.registry.stash import Stashed, Stasher
from freehold.registry.tables import applications as applications_table
from freehold.registry.tables import device_keys, device_labels, device_secrets, devices
from freehold.vault import secret_text

ATTEMPTS = 5
"""How often a change without preconditions is tried against writers that come between."""


@dataclass(frozen=True, slots=True)
class _New:
    uid: str
    desired: Desired
    stashed: Stashed


class Devices:
    """The device half of `interfaces.Registry`; `committed` is called after each change."""

    def __init__(self, database: Database, stasher: Stasher, committed: Callable[[], None]) -> None:
        self._database = database
        self._stasher = stasher
        self._committed = committed

    def listing(self, tenant: str, application: str, *, labels: str, limit: int | None, offset: int) -> list[Resource]:
        with self._database.read() as connection:
            owner = applications.find(connection, tenant, application)
            mine = select(devices).where(devices.c.application == owner.uid)
            wanted = page(mine, devices, device_labels, labels=labels, limit=limit, offset=offset)
            return [_show(row, application) for row in connection.execute(wanted)]

    def get(self, tenant: str, application: str, name: str) -> Resource:
        with self._database.read() as connection:
            _, row = _find(connection, tenant, application, name)
            return _show(row, application)

    def create(self, tenant: str, bodies: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
        made = [self._prepare(body) for body in bodies]
        with writing(self._database, self._committed, lambda: self._taken_by_new(tenant, made)) as connection:
            owners = _owners(connection, tenant, {each.desired.application for each in made})
            _insert(connection, owners, made)
            record(connection, [(each.desired.application, each.desired.name) for each in made])
        return [(each.desired.application, each.desired.name) for each in made]

    def _prepare(self, body: Mapping[str, Any]) -> _New:
        desired = read_device(body)
        check_device_name(desired.name)
        check_aliases(desired.spec)
        if not desired.application:
            raise RESOURCE_INVALID.error("metadata.application: is missing")
        uid = new_uid()
        return _New(uid, desired, self._stasher.stash(uid, desired.spec))

    def update(self, tenant: str, application: str, name: str, body: Mapping[str, Any]) -> None:
        desired = read_device(body)
        if (desired.application, desired.name) != (application, name):
            raise RESOURCE_INVALID.error("metadata: application and name must be those in the path")
        check_aliases(desired.spec)

        def change(row: Any, known: Mapping[str, Secret]) -> tuple[Stashed, dict[str, Any]]:
            check(row, desired.when)
            stashed = self._stasher.stash(row.uid, desired.spec, row.spec, known)
            return stashed, {
                "finalizers": desired.finalizers,
                "labels": desired.labels,
                "annotations": desired.annotations,
                "spec": stashed.spec,
                "status": desired.status,
            }

        self._change(tenant, application, name, change)

    def generate_password(self, tenant: str, application: str, name: str) -> str:
        secret = secret_text.generate(secret_text.DEVICE)

        def change(row: Any, known: Mapping[str, Secret]) -> tuple[Stashed, dict[str, Any]]:
            stashed = self._stasher.with_generated(row.spec, known, secret)
            return stashed, {"spec": stashed.spec}

        self._change(tenant, application, name, change)
        return secret

    def _change(
        self,
        tenant: str,
        application: str,
        name: str,
        change: Callable[[Any, Mapping[str, Secret]], tuple[Stashed, dict[str, Any]]],
    ) -> None:
        """Replace columns by what `change` makes of the row and its secrets, in one piece."""
        for _ in range(ATTEMPTS):
            with self._database.read() as connection:
                owner, seen = _find(connection, tenant, application, name)
                known = secrets_of(connection, [seen.uid])[seen.uid]
            stashed, wanted = change(seen, known)
            keys = keys_of_device(name, stashed.spec)
            explain = _Taken(self._database, owner.uid, keys, seen.uid)
            with writing(self._database, self._committed, explain) as connection:
                owner, row = _find(connection, tenant, application, name)
                if row.resource_version == seen.resource_version:
                    return _write(connection, owner, row, stashed, revision(row, **wanted), keys)
        raise OPTIMISTIC_LOCK.error()

    def delete(self, tenant: str, application: str, name: str, when: Preconditions) -> None:
        with writing(self._database, self._committed, str) as connection:
            owner, row = _find(connection, tenant, application, name)
            if row.deleted is not None:
                raise _absent(name)
            check(row, when)
            if row.finalizers:
                revise(connection, devices, row, {"deleted": now_us(), "resource_version": new_uid()})
                record(connection, [(application, name)])
            else:
                _remove(connection, owner, row)

    def _taken_by_new(self, tenant: str, made: Sequence[_New]) -> str:
        with self._database.read() as connection:
            owners = _owners(connection, tenant, {each.desired.application for each in made})
            for each in made:
                keys = keys_of_device(each.desired.name, each.stashed.spec)
                if taken := taken_device_keys(connection, owners[each.desired.application], sorted(keys)):
                    return f"taken: {', '.join(sorted(taken))}"
        return "two of the new devices share a name, alias or unique user name"


@dataclass(frozen=True, slots=True)
class _Taken:
    """Says which keys another device has."""

    database: Database
    application: str
    keys: set[str]
    but: str

    def __call__(self) -> str:
        with self.database.read() as connection:
            taken = taken_device_keys(connection, self.application, sorted(self.keys), self.but)
        return f"taken: {', '.join(sorted(taken))}"


def _find(connection: Connection, tenant: str, application: str, name: str) -> tuple[Any, Any]:
    """Rows of application and device. Raises `resource.not-found`."""
    owner = applications.find(connection, tenant, application)
    wanted = select(devices).where(devices.c.application == owner.uid, devices.c.name == name)
    row = connection.execute(wanted).first()
    if row is None:
        raise _absent(name)
    return owner, row


def _absent(name: str) -> FreeholdError:
    return NOT_FOUND.error(f"there is no device {name!r} here")


def _owners(connection: Connection, tenant: str, names: set[str]) -> dict[str, str]:
    """Application name → uid. Raises `resource.reference.not-found` for one that can take no new device."""
    c = applications_table.c
    found: dict[str, str] = {}
    for name in names:
        wanted = select(c.uid).where(c.tenant == tenant, c.name == name, c.deleted.is_(None))
        uid = connection.execute(wanted).scalar()
        if uid is None:
            raise REFERENCE_NOT_FOUND.error()
        found[name] = uid
    return found


def _insert(connection: Connection, owners: Mapping[str, str], made: Sequence[_New]) -> None:
    """One statement a table, however many devices: 5,000 in about a second."""
    rows, keys, labels, secrets = [], [], [], []
    for each in made:
        application = owners[each.desired.application]
        row = new_row(each.uid, each.desired, each.stashed.spec, each.desired.status)
        rows.append({"application": application, **row})
        for key in keys_of_device(each.desired.name, each.stashed.spec):
            keys.append({"application": application, "key": key, "device": each.uid})
        labels += label_rows(each.uid, each.desired.labels)
        secrets += secret_rows(each.uid, each.stashed.new)
    for table, values in ((devices, rows), (device_keys, keys), (device_labels, labels), (device_secrets, secrets)):
        if values:
            connection.execute(insert(table), values)


def _write(
    connection: Connection, owner: Any, row: Any, stashed: Stashed, columns: dict[str, Any], keys: set[str]
) -> None:
    """Revise a device and everything that follows from its spec and labels; an unchanged one stays untouched."""
    if row.deleted is not None and not columns.get("finalizers", row.finalizers):
        return _remove(connection, owner, row)
    if not columns:
        return None
    revise(connection, devices, row, columns)
    if "labels" in columns:
        replace_labels(connection, device_labels, row.uid, columns["labels"])
    if "spec" in columns:
        replace_device_keys(connection, owner.uid, row.uid, keys)
        replace_secrets(connection, row.uid, stashed)
    record(connection, [(owner.name, row.name)])
    return None


def _remove(connection: Connection, owner: Any, row: Any) -> None:
    """Delete a device, and its application too if that only waited for this one."""
    connection.execute(delete(devices).where(devices.c.uid == row.uid))
    record(connection, [(owner.name, row.name)])
    if owner.deleted is None:
        return
    finalizers = applications.settle(connection, owner, owner.finalizers)
    if finalizers is None:
        record(connection, [(owner.name, None)])
    elif columns := revision(owner, finalizers=finalizers):
        revise(connection, applications_table, owner, columns)
        record(connection, [(owner.name, None)])


def _show(row: Any, application: str) -> Resource:
    return Resource(show_metadata(row, application), row.spec, row.status)
