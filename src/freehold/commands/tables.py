# SPDX-License-Identifier: Apache-2.0
"""The life of commands in the meta database. Payloads are not kept: a command is a moment, not a message store.

Times are microseconds since 1970 UTC. `id` is a UUIDv7, so its order is the order of acceptance.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, String, Table

from freehold.core.database import METADATA

commands = Table(
    "commands",
    METADATA,
    Column("id", String(36), primary_key=True),
    Column("application_uid", String(36), nullable=False),
    Column("application", String(253), nullable=False),
    Column("device", String(255), nullable=False),
    Column("name", String(255), nullable=False),
    Column("content_type", String(255), nullable=False),
    Column("size", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("sent", BigInteger),
    Column("sender", String(255)),
    Column("protocol", String(16)),
    Column("acknowledged", BigInteger),
    Index("ix_commands_application_uid_id", "application_uid", "id"),
    Index("ix_commands_state_expires", "state", "expires"),
)
