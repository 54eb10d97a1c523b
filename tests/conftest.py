# SPDX-License-Identifier: Apache-2.0
"""What every test may use: a way to say which parts outside Python a test cannot do without.

On a developer's machine a test whose part is absent (a browser, a broker's client, the sandbox) is
skipped; in CI (`CI=true`) it fails, because there a skipped test is a hole that nobody sees.

    @pytest.mark.needs("mosquitto_pub", "curl")
    def test_publish(): ...

    from tests.conftest import needs
    publisher = needs("mosquitto_pub")      # its path
"""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def missing_part(reason: str) -> NoReturn:
    """Skip the running test (or the module being imported), or fail it where CI is true."""
    if os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(f"missing part: {reason}", pytrace=False)
    pytest.skip(f"missing part: {reason}", allow_module_level=True)


def needs(command: str) -> str:
    """Return the path of `command`, looked up as root would, or end the test by `missing_part`."""
    # Debian keeps servers in sbin, which is not on an ordinary user's PATH.
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    found = shutil.which(command, path=path)
    if found is None:
        missing_part(f"the command {command} (see scripts/system-packages)")
    return found


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        for command in mark.args:
            needs(command)
