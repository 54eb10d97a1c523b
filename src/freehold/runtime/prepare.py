# SPDX-License-Identifier: Apache-2.0
"""`python -m freehold.runtime.prepare`: bring the meta database up to date, make the first owner.

Settings on standard input; on standard output one JSON object `{"link": SECRET or null}`: the one-time
sign-in of the owner while nobody has ever signed in. A process of its own, so that the supervisor need not
load what a migration needs.
"""

from __future__ import annotations

import os
import sys

import msgspec
import structlog

from freehold.core import logs
from freehold.identity.interfaces import FIRST_LINK_SECONDS
from freehold.runtime import engines
from freehold.runtime.child import read_settings
from freehold.runtime.migrations import upgrade

_log = structlog.get_logger(__name__)


def main() -> int:
    os.umask(0o077)
    settings = read_settings()
    logs.configure(form=settings.log_format, level=settings.log_level, role="prepare")
    try:
        upgrade(engines.meta_database(settings))
        identity = engines.identity(settings)
        link = None
        if identity.ensure_first_owner():
            link = identity.make_link(identity.first_owner(), FIRST_LINK_SECONDS)
    except Exception:
        _log.exception("the data directory could not be prepared")
        return 1
    sys.stdout.buffer.write(msgspec.json.encode({"link": link}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
