# SPDX-License-Identifier: Apache-2.0
"""How pip is called for the packages of processors, and what its complaints mean. Pure functions.

Wheels only: a source distribution would run its own code while it is built, outside of any sandbox.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path


def command(target: Path, requirements: Sequence[str]) -> list[str]:
    options = [
        "--only-binary=:all:",
        "--no-input",
        "--no-user",
        "--disable-pip-version-check",
        "--no-warn-script-location",
        "--root-user-action=ignore",
        "--progress-bar=off",
        "--no-color",
    ]
    return [sys.executable, "-I", "-m", "pip", "install", *options, "--target", str(target), "--", *requirements]


def environment(temporary: Path) -> dict[str, str]:
    """pip gets the owner's environment (proxies, PIP_*), but no secret of ours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FREEHOLD_")}
    return kept | {"TMPDIR": str(temporary)}


_CULPRITS = (
    re.compile(r"No matching distribution found for (?P<name>\S+)"),
    re.compile(r"Could not find a version that satisfies the requirement (?P<name>\S+)"),
    re.compile(r"Cannot install (?P<name>[^ ,]+)"),
    re.compile(r"Invalid requirement: '?(?P<name>[^'\s:]+)"),
)


def explain(lines: Sequence[str], requirements: Sequence[str]) -> str:
    """One sentence out of pip's output, that begins with the package at which it failed."""
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    for pattern in _CULPRITS:
        for error in errors:
            if match := pattern.search(error):
                return f"{match['name']}: {_because(match['name'], error)}"
    return f"{named(requirements)}: {errors[-1] if errors else 'pip failed without a reason'}"


def _because(name: str, error: str) -> str:
    if "No matching distribution" in error or "Could not find a version" in error:
        return "there is no wheel of it for this Python"
    return error


def named(requirements: Sequence[str]) -> str:
    return ", ".join(requirements)
