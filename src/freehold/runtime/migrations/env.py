# SPDX-License-Identifier: Apache-2.0
"""Run by alembic for each command; works on the database that `configuration` was given."""

from alembic import context

from freehold.core.database import METADATA
from freehold.runtime.migrations import load_tables

load_tables()
database = context.config.attributes["database"]
with database.engine.connect().execution_options(freehold_write=True) as connection:
    # Batch mode: SQLite cannot alter most of a table, so alembic makes a new one and moves the rows.
    context.configure(connection=connection, target_metadata=METADATA, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
