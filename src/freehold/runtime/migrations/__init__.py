# SPDX-License-Identifier: Apache-2.0
"""Migrations of the meta database (alembic). Each file in `versions` is one step and is never changed later.

A new step: `python -m freehold.runtime.migrations "what it does"` compares the tables in code with those of
the steps so far and writes a draft to read and mend.
"""

from __future__ import annotations

import importlib
from pathlib import Path

from alembic import command
from alembic.config import Config

from freehold.core.database import Database

DOMAINS = ("commands", "identity", "process", "registry")
"""Packages with a `tables` module."""


def load_tables() -> None:
    """Import every domain's tables, so that `core.database.METADATA` is complete."""
    for domain in DOMAINS:
        importlib.import_module(f"freehold.{domain}.tables")


def configuration(database: Database) -> Config:
    """Alembic's configuration for a database; there is no ini file to keep in step."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["database"] = database
    return config


def upgrade(database: Database) -> None:
    """Bring `database` to the newest step; a new one gets all of them. Durable when it returns."""
    command.upgrade(configuration(database), "head")
