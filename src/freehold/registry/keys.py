# SPDX-License-Identifier: Apache-2.0
"""Look-up keys: every text under which an application or a device is found (contract drogue.md 0).

The primary keys of the two tables keep them apart: a key that is taken makes the write fail, whoever tries.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from freehold.core.errors import RESOURCE_INVALID
from freehold.registry.credentials import unique_usernames
from freehold.registry.tables import application_keys, device_keys

LONGEST = 1024
"""Bytes of a key. Subjects of certificates are long; what is longer than this is nobody's."""
MOST_ALIASES = 1000

_CHUNK = 500


def aliases(spec: Mapping[str, Any]) -> set[str]:
    """`spec.alias`, if it has the form that counts: a list of texts."""
    value = spec.get("alias", [])
    if not isinstance(value, list):
        return set()
    return {alias for alias in value if isinstance(alias, str)}


def check_aliases(spec: Mapping[str, Any]) -> None:
    """Raises `resource.invalid` for aliases that no look-up could be asked for, or too many."""
    found = aliases(spec)
    if len(found) > MOST_ALIASES or not all(map(may_be_key, found)):
        raise RESOURCE_INVALID.error(f"spec.alias: at most {MOST_ALIASES} texts of 1 to {LONGEST} bytes, without NUL")


def may_be_key(text: str) -> bool:
    """Whether anything can have `text` as its key. Ask before a database: it may be hostile."""
    try:
        return 0 < len(text.encode()) <= LONGEST and "\0" not in text
    except UnicodeEncodeError:  # half of a surrogate pair
        return False


def keys_of_device(name: str, spec: Mapping[str, Any]) -> set[str]:
    return {name} | aliases(spec) | unique_usernames(spec)


def replace_device_keys(connection: Connection, application: str, device: str, keys: set[str]) -> None:
    connection.execute(delete(device_keys).where(device_keys.c.device == device))
    connection.execute(
        insert(device_keys), [{"application": application, "key": key, "device": device} for key in sorted(keys)]
    )


def replace_application_keys(connection: Connection, application: str, keys: set[str]) -> None:
    connection.execute(delete(application_keys).where(application_keys.c.application == application))
    connection.execute(insert(application_keys), [{"key": key, "application": application} for key in sorted(keys)])


def taken_device_keys(connection: Connection, application: str, keys: Sequence[str], but: str = "") -> list[str]:
    """Which of `keys` other devices of the application (uid) have; to name them when a write has failed."""
    c = device_keys.c
    taken: list[str] = []
    for some in _chunks(keys):
        wanted = select(c.key).where(c.application == application, c.key.in_(some), c.device != but)
        taken += connection.execute(wanted).scalars()
    return taken


def _chunks(keys: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(keys)
    while some := list(islice(rest, _CHUNK)):
        yield some
