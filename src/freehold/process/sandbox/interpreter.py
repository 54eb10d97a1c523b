# SPDX-License-Identifier: Apache-2.0
"""What a Python needs to run: its binary, its standard library, the shared libraries of the system.

Only this is bound into a sandbox, never `/`, a home directory or a virtual environment. The paths are the
same inside as outside, because Python finds its library by the place of its binary.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass

SYSTEM = ("/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libx32", "/usr/share/zoneinfo", "/etc/ld.so.cache")
ROOT_LIBRARIES = ("/lib", "/lib32", "/lib64", "/libx32")
"""Symbolic links into /usr on a merged system, directories elsewhere."""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """`binds`: files and folders that must be visible, read-only. `links`: (link, target). `hidden`: folders
    below `binds` that must look empty, because other people's packages lie there."""

    executable: str
    binds: tuple[str, ...]
    links: tuple[tuple[str, str], ...]
    hidden: tuple[str, ...]


def executable() -> str:
    """The binary of the running Python itself, where a virtual environment has a link."""
    return os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable)


def current() -> Interpreter:
    """The interpreter that runs this program, without its virtual environment."""
    binary = executable()
    library = os.path.dirname(os.path.realpath(os.__file__))
    extensions = sysconfig.get_config_var("DESTSHARED")
    wanted = [*SYSTEM, binary, library]
    if extensions:
        wanted.append(os.path.realpath(extensions))
    wanted += _shared_library()
    links = []
    for path in ROOT_LIBRARIES:
        if os.path.islink(path):
            links.append((path, os.readlink(path)))
        else:
            wanted.append(path)
    binds = _outermost(path for path in wanted if os.path.exists(path))
    hidden = os.path.join(library, "site-packages")
    return Interpreter(
        executable=binary,
        binds=binds,
        links=tuple(links),
        hidden=(hidden,) if os.path.isdir(hidden) else (),
    )


def _shared_library() -> list[str]:
    """Where libpython may lie: as configured, or beside a Python that was moved after it was built."""
    name = sysconfig.get_config_var("INSTSONAME")
    if not name or not sysconfig.get_config_var("Py_ENABLE_SHARED"):
        return []
    places = [sysconfig.get_config_var("LIBDIR"), os.path.join(sys.base_prefix, "lib")]
    return [os.path.join(place, name) for place in places if place]


def _outermost(paths: Iterable[str]) -> tuple[str, ...]:
    """`paths` in order, without those that lie in another of them."""
    kept: list[str] = []
    for path in sorted(set(paths)):
        if not any(path.startswith(other + "/") for other in kept):
            kept.append(path)
    return tuple(kept)
