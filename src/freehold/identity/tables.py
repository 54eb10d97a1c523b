# SPDX-License-Identifier: Apache-2.0
"""Tenants, people, and the hashes of everything that signs them in. Times are microseconds since 1970 UTC."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, LargeBinary, String, Table, UniqueConstraint

from freehold.core.database import METADATA

tenants = Table(
    "tenants",
    METADATA,
    Column("uid", String(36), primary_key=True),
    Column("name", String(255), nullable=False, unique=True),
    Column("created", BigInteger, nullable=False),
)

people = Table(
    "people",
    METADATA,
    Column("uid", String(36), primary_key=True),
    Column("tenant", ForeignKey("tenants.uid", ondelete="CASCADE"), nullable=False),
    Column("name", String(255), nullable=False),
    Column("role", String(32), nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("last_sign_in", BigInteger),
    UniqueConstraint("tenant", "name"),
)

sign_in_links = Table(
    "sign_in_links",
    METADATA,
    Column("hash", LargeBinary(32), primary_key=True),
    Column("person", ForeignKey("people.uid", ondelete="CASCADE"), nullable=False, index=True),
    Column("expires", BigInteger, nullable=False),
)

sessions = Table(
    "sessions",
    METADATA,
    Column("hash", LargeBinary(32), primary_key=True),
    Column("person", ForeignKey("people.uid", ondelete="CASCADE"), nullable=False, index=True),
    Column("created", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("last_used", BigInteger, nullable=False),
)

access_tokens = Table(
    "access_tokens",
    METADATA,
    Column("uid", String(36), primary_key=True),
    Column("hash", LargeBinary(32), nullable=False, unique=True),
    Column("person", ForeignKey("people.uid", ondelete="CASCADE"), nullable=False, index=True),
    Column("description", String(255), nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("expires", BigInteger),
    Column("last_used", BigInteger),
)
