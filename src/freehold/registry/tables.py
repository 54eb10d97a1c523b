# SPDX-License-Identifier: Apache-2.0
"""The registry's tables. Times are microseconds since 1970 UTC; JSON columns hold what the API shows.

A resource is one row; whatever must be found by (look-up keys, labels) or kept apart (secrets) has rows of
its own that go with it. `changes` is the feed by which caches in other processes learn what to ask again.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from freehold.core.database import METADATA


def _resource() -> list[Column[Any]]:
    return [
        Column("uid", String(36), primary_key=True),
        Column("name", String(255), nullable=False),
        Column("created", BigInteger, nullable=False),
        Column("deleted", BigInteger),  # when deletion was asked for; set while finalizers keep the row
        Column("generation", Integer, nullable=False),
        Column("resource_version", String(36), nullable=False),
        Column("finalizers", JSON, nullable=False),
        Column("labels", JSON, nullable=False),
        Column("annotations", JSON, nullable=False),
        Column("spec", JSON, nullable=False),
        Column("status", JSON, nullable=False),
    ]


def _owner(table: str) -> ForeignKey:
    return ForeignKey(f"{table}.uid", ondelete="CASCADE")


applications = Table(
    "applications",
    METADATA,
    *_resource(),
    Column("tenant", ForeignKey("tenants.uid"), nullable=False, index=True),
    UniqueConstraint("name"),
)

devices = Table(
    "devices",
    METADATA,
    *_resource(),
    Column("application", _owner("applications"), nullable=False),
    UniqueConstraint("application", "name"),
)

application_keys = Table(
    "application_keys",
    METADATA,
    Column("key", Text, primary_key=True),  # its name, and the subjects of its trust anchors
    Column("application", _owner("applications"), nullable=False, index=True),
)

device_keys = Table(
    "device_keys",
    METADATA,
    Column("application", _owner("applications"), primary_key=True),
    Column("key", Text, primary_key=True),  # its name, aliases and unique user names
    Column("device", _owner("devices"), nullable=False, index=True),
)

application_labels = Table(
    "application_labels",
    METADATA,
    Column("resource", _owner("applications"), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
    Index("ix_application_labels_key_value", "key", "value"),
)

device_labels = Table(
    "device_labels",
    METADATA,
    Column("resource", _owner("devices"), primary_key=True),
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
    Index("ix_device_labels_key_value", "key", "value"),
)

device_secrets = Table(
    "device_secrets",
    METADATA,
    Column("id", String(36), primary_key=True),  # what the placeholder in the spec names
    Column("device", _owner("devices"), nullable=False, index=True),
    Column("verifier", Text),  # of a password
    Column("sealed", LargeBinary),  # a pre-shared key, opened by the vault
    Column("generated", Boolean, nullable=False),  # made by us on request; the next such one replaces it
)

changes = Table(
    "registry_changes",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("application", String(255), nullable=False),
    Column("device", String(255)),  # NULL: the application itself
    Column("time", BigInteger, nullable=False),
    sqlite_autoincrement=True,  # a reader's position must never be given twice
)
