# SPDX-License-Identifier: Apache-2.0
"""The sandboxes that make workers: bubblewrap, and none (which only an explicit setting allows).

`choose` tries bubblewrap for real, once, with the command line that workers get.
"""

from __future__ import annotations

import os
from pathlib import Path

import structlog

from freehold.core.errors import SANDBOX_UNAVAILABLE
from freehold.core.settings import Process
from freehold.process.interfaces import Sandbox, Script, Worker
from freehold.process.sandbox import command, interpreter, probe, syscalls
from freehold.process.sandbox.launch import Launched, NotStarted, launch
from freehold.process.sandbox.limits import Limits
from freehold.process.sandbox.worker import SandboxedWorker

_log = structlog.get_logger(__name__)


class Bubblewrap:
    """Workers inside bubblewrap, each application under a user id of its own when Freehold is root."""

    isolated = True

    def __init__(self, settings: Process, hidden: Path, *, limits: Limits | None = None) -> None:
        """`hidden`: a path that no worker may see, the data directory; `problem` looks whether that is so."""
        self._limits = limits or Limits.of(settings)
        self._uid_base = settings.uid_base
        self._hidden = hidden
        self._interpreter = interpreter.current()
        self._binary: str | None = None
        self._problem: str | None = None
        self._tried = False

    def problem(self) -> str | None:
        """Tries it at the first call, which blocks for a tenth of a second or so; later calls remember."""
        if not self._tried:
            self._tried = True
            uid = self._uid("probe")
            found = probe.first_working(self._interpreter, self._limits, uid, [str(self._hidden)])
            self._binary, self._problem = found
        return self._problem

    def worker(self, script: Script) -> Worker:
        if (problem := self.problem()) is not None:
            raise SANDBOX_UNAVAILABLE.error(problem)
        return SandboxedWorker(script, lambda: self._launch(script), self._limits)

    async def _launch(self, script: Script) -> Launched:
        assert self._binary is not None
        binary, packages = self._binary, script.environment
        rules = syscalls.program()
        rules_descriptor = None if rules is None else syscalls.as_descriptor(rules)

        def line(channel: int) -> list[str]:
            wrapper = command.bubblewrap(
                binary, self._interpreter, environment=packages, filter_descriptor=rules_descriptor
            )
            config = command.configuration(
                self._limits,
                descriptor=channel,
                uid=self._uid(script.application),
                packages=command.PACKAGES if packages else None,
                own=command.HOME,
                sandboxed=True,
            )
            return wrapper + command.python(self._interpreter.executable, command.HOME, config)

        try:
            passed = () if rules_descriptor is None else (rules_descriptor,)
            process = await launch(line, command.ENVIRONMENT, passed=passed, seconds=self._limits.start_seconds)
        except NotStarted as cause:
            raise SANDBOX_UNAVAILABLE.error(f"the sandbox did not start: {cause}") from cause
        finally:
            if rules_descriptor is not None:
                os.close(rules_descriptor)
        if 0 in (process.uid, process.gid):  # says the kernel, not the worker
            process.kill()
            await process.close(grace=0)
            process.release()
            raise SANDBOX_UNAVAILABLE.error("the processor would run as root of this machine")
        return process

    def _uid(self, application: str) -> int | None:
        return command.user_id(self._uid_base, application) if os.geteuid() == 0 else None


class Unsandboxed:
    """Workers as plain processes: limits on memory, files and time, and no isolation whatever."""

    isolated = False

    def __init__(self, settings: Process, *, limits: Limits | None = None) -> None:
        self._limits = limits or Limits.of(settings)
        self._executable = interpreter.executable()

    def problem(self) -> str | None:
        return None

    def worker(self, script: Script) -> Worker:
        return SandboxedWorker(script, lambda: self._launch(script), self._limits)

    async def _launch(self, script: Script) -> Launched:
        own = os.path.dirname(command.GUEST)

        def line(channel: int) -> list[str]:
            config = command.configuration(
                self._limits,
                descriptor=channel,
                uid=None,
                packages=script.environment,
                own=own,
                sandboxed=False,
            )
            return command.python(self._executable, own, config)

        try:
            return await launch(line, command.ENVIRONMENT, seconds=self._limits.start_seconds)
        except NotStarted as cause:
            raise SANDBOX_UNAVAILABLE.error(f"the worker did not start: {cause}") from cause


def choose(settings: Process, data: Path) -> Sandbox:
    """The sandbox of this machine. Never without isolation unless `process.allow_unsandboxed` says so.

    Where there is neither, the returned sandbox says why (`problem`) and its `worker` raises
    `processor.sandbox.unavailable`.
    """
    sandbox = Bubblewrap(settings, data)
    problem = sandbox.problem()
    if problem is None:
        return sandbox
    if not settings.allow_unsandboxed:
        _log.error("processors cannot run: this machine offers no sandbox", problem=problem)
        return sandbox
    _log.warning(
        "PROCESSORS RUN WITHOUT ISOLATION: whoever may edit one may read and change all that Freehold can",
        problem=problem,
        setting="process.allow_unsandboxed",
    )
    return Unsandboxed(settings)
