# SPDX-License-Identifier: Apache-2.0
"""`python -m freehold.runtime.migrations MESSAGE`: draft the next step from the tables in code."""

import sys
import tempfile
from pathlib import Path

from alembic import command

from freehold.core.database import Database
from freehold.runtime.migrations import configuration, upgrade

with tempfile.TemporaryDirectory() as folder:
    database = Database.sqlite(Path(folder) / "meta.db")
    upgrade(database)
    command.revision(configuration(database), message=sys.argv[1], autogenerate=True)
