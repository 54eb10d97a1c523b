# SPDX-License-Identifier: Apache-2.0
"""Tables of processors: every version that is kept, and which one runs. Keyed by the application's uid.

No foreign key to the registry's tables: an application's end is told to `Service.forget`, which removes the
folder with the packages too.
"""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, Integer, String, Table, Text

from freehold.core.database import METADATA

versions = Table(
    "processor_versions",
    METADATA,
    Column("application", String(36), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("created", BigInteger, nullable=False),
    Column("author", String(255), nullable=False),
    Column("note", String(500), nullable=False),
    Column("source", Text, nullable=False),
    Column("packages", JSON, nullable=False),  # as they were asked for
    Column("resolved", JSON, nullable=False),  # what pip made of it, to install the very same again
)

active = Table(
    "processor_active",
    METADATA,
    Column("application", String(36), primary_key=True),
    Column("number", Integer),  # null: no processor runs
    Column("previous", Integer),  # what `roll_back` activates; null: nothing
)
