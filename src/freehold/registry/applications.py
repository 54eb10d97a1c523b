# SPDX-License-Identifier: Apache-2.0
"""Applications in the registry: create, read, replace, delete (contract drogue.md 4.1, 4.2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Connection, Text, cast, delete, insert, select, update

from freehold.core.clock import now_us
from freehold.core.database import Database
from freehold.core.errors import NOT_FOUND, RESOURCE_INVALID
from freehold.core.ids import new_uid
from freehold.registry import status as statuses
from freehold.registry.changes import record
from freehold.registry.downstream import seal_password
from freehold.registry.interfaces import ApplicationRef, Preconditions, Resource
from freehold.registry.keys import replace_application_keys
from freehold.registry.metadata import check_application_name, read_application, show_metadata
from freehold.registry.rows import check, new_row, page, replace_labels, revise, revision, writing
from freehold.registry.tables import application_labels, applications, devices
from freehold.registry.trust import evaluate
from freehold.vault.service import Vault

HAS_DEVICES = "has-devices"
"""Finalizer of an application whose deletion waits for devices that have finalizers of their own."""


def find(connection: Connection, tenant: str, name: str) -> Any:
    """The row of an application. Raises `resource.not-found`, for one of another tenant too."""
    wanted = select(applications).where(applications.c.tenant == tenant, applications.c.name == name)
    row = connection.execute(wanted).first()
    if row is None:
        raise NOT_FOUND.error(f"there is no application {name!r} here")
    return row


def settle(connection: Connection, row: Any, finalizers: list[str]) -> list[str] | None:
    """The finalizers that an application being deleted really has; None when there were none and it is gone."""
    left = [finalizer for finalizer in finalizers if finalizer != HAS_DEVICES]
    if connection.execute(select(devices.c.uid).where(devices.c.application == row.uid).limit(1)).first():
        left.append(HAS_DEVICES)
    if left:
        return left
    connection.execute(delete(applications).where(applications.c.uid == row.uid))
    return None


class Applications:
    """The application half of `interfaces.Registry`; `committed` is called after each change."""

    def __init__(self, database: Database, vault: Vault, committed: Callable[[], None]) -> None:
        self._database = database
        self._vault = vault
        self._committed = committed

    def ref(self, name: str) -> ApplicationRef | None:
        c = applications.c
        with self._database.read() as connection:
            row = connection.execute(select(c.uid, c.name, c.tenant).where(c.name == name)).first()
        return None if row is None else ApplicationRef(row.uid, row.name, row.tenant)

    def listing(self, tenant: str, *, labels: str, limit: int | None, offset: int) -> list[Resource]:
        mine = select(applications).where(applications.c.tenant == tenant)
        wanted = page(mine, applications, application_labels, labels=labels, limit=limit, offset=offset)
        with self._database.read() as connection:
            return [_show(row) for row in connection.execute(wanted)]

    def get(self, tenant: str, name: str) -> Resource:
        with self._database.read() as connection:
            return _show(find(connection, tenant, name))

    def create(self, tenant: str, body: Mapping[str, Any]) -> str:
        desired = read_application(body)
        check_application_name(desired.name)
        anchors = evaluate(desired.spec)
        uid = new_uid()
        spec = seal_password(self._vault, uid, desired.spec, {})
        row = new_row(uid, desired, spec, statuses.stored(desired.status, anchors.status))
        with writing(self._database, self._committed, _taken) as connection:
            connection.execute(insert(applications).values(tenant=tenant, **row))
            replace_application_keys(connection, uid, {desired.name} | anchors.subjects)
            replace_labels(connection, application_labels, uid, desired.labels)
            record(connection, [(desired.name, None)])
        return desired.name

    def update(self, tenant: str, name: str, body: Mapping[str, Any]) -> None:
        desired = read_application(body)
        if desired.name != name:
            raise RESOURCE_INVALID.error("metadata.name: must be the name in the path")
        anchors = evaluate(desired.spec)
        with writing(self._database, self._committed, _taken) as connection:
            row = find(connection, tenant, name)
            check(row, desired.when)
            finalizers: list[str] | None = desired.finalizers
            if row.deleted is not None:
                finalizers = settle(connection, row, desired.finalizers)
            if finalizers is None:
                record(connection, [(name, None)])
                return
            columns = revision(
                row,
                finalizers=finalizers,
                labels=desired.labels,
                annotations=desired.annotations,
                spec=seal_password(self._vault, row.uid, desired.spec, row.spec),
                status=statuses.stored(desired.status, anchors.status),
            )
            if columns:
                revise(connection, applications, row, columns)
                replace_application_keys(connection, row.uid, {name} | anchors.subjects)
                replace_labels(connection, application_labels, row.uid, desired.labels)
                record(connection, [(name, None)])

    def delete(self, tenant: str, name: str, when: Preconditions) -> None:
        with writing(self._database, self._committed, _taken) as connection:
            row = find(connection, tenant, name)
            if row.deleted is not None:
                raise NOT_FOUND.error(f"application {name!r} is being deleted already")
            check(row, when)
            _delete_devices(connection, row.uid)
            finalizers = settle(connection, row, row.finalizers)
            if finalizers is not None:
                marked = {"deleted": now_us(), "finalizers": finalizers, "resource_version": new_uid()}
                revise(connection, applications, row, marked)
            record(connection, [(name, None)])


def _delete_devices(connection: Connection, application: str) -> None:
    """Delete the devices without finalizers, mark the others."""
    c = devices.c
    connection.execute(delete(devices).where(c.application == application, cast(c.finalizers, Text) == "[]"))
    held = connection.execute(select(c.uid).where(c.application == application, c.deleted.is_(None))).scalars().all()
    for uid in held:
        marked = {"deleted": now_us(), "resource_version": new_uid()}
        connection.execute(update(devices).where(c.uid == uid).values(marked))


def _show(row: Any) -> Resource:
    return Resource(show_metadata(row), row.spec, statuses.shown(row.status, row.created))


def _taken() -> str:
    # It may be another tenant's: which one of the two it was, and whose, is not said.
    return "the name, or the subject of a trust anchor, is taken"
