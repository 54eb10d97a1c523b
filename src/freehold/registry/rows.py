# SPDX-License-Identifier: Apache-2.0
"""What applications and devices have in common as rows: made, revised, found by label, written safely."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Select, Table, delete, insert, update
from sqlalchemy.exc import IntegrityError

from freehold.core.clock import now_us
from freehold.core.database import Database
from freehold.core.errors import CONFLICT, OPTIMISTIC_LOCK
from freehold.core.ids import new_uid
from freehold.registry.interfaces import Preconditions
from freehold.registry.metadata import Desired, same_json
from freehold.registry.selectors import condition, parse


@contextmanager
def writing(database: Database, committed: Callable[[], None], explain: Callable[[], str]) -> Iterator[Connection]:
    """A transaction; `committed` is called after it. A key that is taken raises `resource.conflict` with what
    `explain` says, which is called after the rollback."""
    try:
        with database.write() as connection:
            yield connection
    except IntegrityError:
        # Not `from`: the text of the cause repeats the parameters of the statement.
        raise CONFLICT.error(explain()) from None
    committed()


def new_row(uid: str, desired: Desired, spec: dict[str, Any], status: dict[str, Any]) -> dict[str, Any]:
    """The columns that every new resource has."""
    return {
        "uid": uid,
        "name": desired.name,
        "created": now_us(),
        "deleted": None,
        "generation": 0,
        "resource_version": new_uid(),
        "finalizers": desired.finalizers,
        "labels": desired.labels,
        "annotations": desired.annotations,
        "spec": spec,
        "status": status,
    }


def check(row: Any, when: Preconditions) -> None:
    """Raises `resource.changed-meanwhile` unless `row` is the one that the client saw."""
    if when.uid not in {"", row.uid} or when.resource_version not in {"", row.resource_version}:
        raise OPTIMISTIC_LOCK.error()


def revision(row: Any, **wanted: Any) -> dict[str, Any]:
    """The columns to write so that `row` has `wanted`; empty when it has already.

    Every change gives a new resource version, one of the spec the next generation.
    """
    changed = {name: value for name, value in wanted.items() if not same_json(getattr(row, name), value)}
    if changed:
        changed["resource_version"] = new_uid()
    if "spec" in changed:
        changed["generation"] = row.generation + 1
    return changed


def revise(connection: Connection, table: Table, row: Any, columns: dict[str, Any]) -> None:
    """Write `columns` to `row`, unless somebody else did meanwhile (`resource.changed-meanwhile`)."""
    unchanged = (table.c.uid == row.uid, table.c.resource_version == row.resource_version)
    if connection.execute(update(table).where(*unchanged).values(columns)).rowcount != 1:
        raise OPTIMISTIC_LOCK.error()


def replace_labels(connection: Connection, table: Table, resource: str, labels: dict[str, str]) -> None:
    connection.execute(delete(table).where(table.c.resource == resource))
    if labels:
        connection.execute(insert(table), label_rows(resource, labels))


def label_rows(resource: str, labels: dict[str, str]) -> list[dict[str, str]]:
    return [{"resource": resource, "key": key, "value": value} for key, value in labels.items()]


def page(
    wanted: Select[Any], table: Table, labels_table: Table, *, labels: str, limit: int | None, offset: int
) -> Select[Any]:
    """`wanted` narrowed to a selector, sorted by name, from `offset` on. Raises `request.invalid`."""
    matching = wanted.where(*condition(parse(labels), labels_table, table.c.uid))
    return matching.order_by(table.c.name).limit(limit).offset(offset)
