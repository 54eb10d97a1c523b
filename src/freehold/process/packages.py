# SPDX-License-Identifier: Apache-2.0
"""Names of packages as owners type them: checked strictly, because they end on a command line.

`name`, `name==version`, `name[extra,other]==version`, with the characters of PEP 508 and PEP 440 and no
others: no addresses, paths, options, ranges, markers (contract myt.md 1.16, check 29).
"""

from __future__ import annotations

import hashlib
import re
import sysconfig
from collections.abc import Sequence

from freehold.core.errors import PACKAGE_INVALID

MOST = 50
LONGEST = 200

_PART = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_PACKAGE = re.compile(
    rf"(?P<name>{_PART})(?:\[(?P<extras>{_PART}(?:,{_PART})*)\])?(?: *== *(?P<version>[A-Za-z0-9][A-Za-z0-9.!+_-]*))?",
    re.ASCII,
)
_RUNS = re.compile(r"[-_.]+")


def normalise(packages: Sequence[str]) -> tuple[str, ...]:
    """`packages` sorted, in one spelling (PEP 503), each once. Raises `processor.package.invalid`, naming the one."""
    if len(packages) > MOST:
        raise PACKAGE_INVALID.error(f"{len(packages)} packages are more than the {MOST} of one processor")
    found: dict[str, str] = {}
    for package in packages:
        name, requirement = _read(package)
        if found.setdefault(name, requirement) != requirement:
            raise PACKAGE_INVALID.error(f"{name} is named twice: {found[name]} and {requirement}")
    return tuple(found[name] for name in sorted(found))


def _read(package: str) -> tuple[str, str]:
    match = _PACKAGE.fullmatch(package.strip(" ")) if len(package) <= LONGEST else None
    if match is None:
        shown = package[:60].encode("unicode_escape", "surrogatepass").decode()
        raise PACKAGE_INVALID.error(f"{shown!r} is no package: write `name` or `name==1.2.3`")
    name = canonical(match["name"])
    extras = sorted({canonical(extra) for extra in (match["extras"] or "").split(",") if extra})
    version = f"=={match['version']}" if match["version"] else ""
    return name, name + (f"[{','.join(extras)}]" if extras else "") + version


def canonical(name: str) -> str:
    """PEP 503's spelling: `Foo.Bar_baz` → `foo-bar-baz`."""
    return _RUNS.sub("-", name).lower()


def environment_name(requirements: Sequence[str]) -> str:
    """Folder of the environment with these packages (as `normalise` returns them) for the running Python."""
    text = "\n".join([sysconfig.get_platform(), sysconfig.get_python_version(), *requirements])
    return "env-" + hashlib.sha256(text.encode()).hexdigest()[:20]
