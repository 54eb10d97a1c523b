# SPDX-License-Identifier: Apache-2.0
"""What the worker gives up before it reads a line of the owner's: resources, identity, the right to outlive.

Under root, bubblewrap starts this program as root inside the sandbox, because only root can bind an
interpreter that lies below a closed home directory. `drop_to` leaves root for good; the owner's source
arrives after that.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import resource
import signal

PR_SET_PDEATHSIG = 1
THREAD_STACK = 1_048_576
"""Stack of a thread that the script starts; the usual 8 MB count against its memory whether used or not."""


def limit(memory_bytes: int, file_bytes: int, processes: int | None) -> None:
    """Set the limits of this process and its children; none can be raised again."""
    limits = [
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, file_bytes),
        (resource.RLIMIT_MEMLOCK, 65_536),
        (resource.RLIMIT_MSGQUEUE, 0),
        (resource.RLIMIT_NOFILE, 64),
    ]
    if processes is not None:
        limits.append((resource.RLIMIT_NPROC, processes))
    for which, wanted in limits:
        hard = resource.getrlimit(which)[1]
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(which, (most, most))
    _thread.stack_size(THREAD_STACK)


def drop_to(uid: int) -> None:
    """Become `uid`, its group and nothing else. Raises OSError when that is not possible or not final."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    with contextlib.suppress(PermissionError):
        os.setresuid(-1, 0, -1)
    if 0 in os.getresuid() or 0 in os.getresgid():
        raise PermissionError("the worker could not give up root")


def die_with_parent() -> None:
    """Without a sandbox: have the kernel kill this process when its parent dies."""
    try:
        import ctypes
    except ImportError:
        return  # a Python without ctypes: the closed channel ends the worker, unless the script hangs
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
