# SPDX-License-Identifier: Apache-2.0
"""Processors: contract between the pipeline, the worker that runs the owner's Python, and who edits it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Protocol

import msgspec

from freehold.events.models import Event


@dataclass(frozen=True, slots=True)
class Script:
    """A processor ready to run. `environment` is the folder with its packages, None when it needs none."""

    application: str
    """uid"""
    version: int
    source: str
    environment: str | None = None


Name = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]


class Measured(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One result of a processor: what becomes one row. `time` is microseconds, None means the event's.

    A struct, because the hot path decodes the sandbox's answers right into it (8 times faster than a
    dataclass) and the annotations check what comes from there. What JSON gave cannot hold a cycle, so the
    garbage collector need not look.
    """

    data: dict[str, Any]
    measurement: Name | None = None
    sensor: Name | None = None
    time: Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799_999_999)] | None = None


class Failed(msgspec.Struct, frozen=True, gc=False):
    """An event that the processor could not do. `detail` is a traceback that shows the owner's lines only."""

    reason: Annotated[str, msgspec.Meta(max_length=1000)]
    detail: Annotated[str, msgspec.Meta(max_length=8192)]


Outcome = Sequence[Measured] | Failed
"""Of one event: any number of results ([] when it was dropped), or the failure."""


@dataclass(frozen=True, slots=True)
class TrialResult:
    """A test run: outcomes beside their inputs, and what the script printed."""

    outcomes: Sequence[Outcome]
    printed: str
    seconds: float


class Worker(Protocol):
    """A long-lived process that runs one script version. One `run` at a time."""

    async def start(self) -> None:
        """Load the script. Raises `FreeholdError(processor.invalid)` with line and reason when it does not load
        (`context` has `line` and `traceback`), and `FreeholdError(processor.sandbox.unavailable)`. To be called
        in the thread that runs the event loop for as long as the process lives: the kernel ties workers to it."""
        ...

    async def run(self, events: Sequence[Event]) -> list[Outcome]:
        """One outcome an event, in order. Never raises for what the script does: an event that kills or hangs
        the worker comes back as `Failed`, the worker is started again and the others go on. Raises
        `FreeholdError(processor.sandbox.unavailable)` when no new worker can be had; nothing is lost by trying
        the same events again later, but the script may see some of them twice. Starts the worker when needed."""
        ...

    def printed(self) -> str:
        """The newest output of the script's `print`, bounded."""
        ...

    async def stop(self) -> None: ...


class Sandbox(Protocol):
    """Makes workers."""

    @property
    def isolated(self) -> bool:
        """False where `process.allow_unsandboxed` lets processors run with all that Freehold may do. Say so
        wherever processors are shown."""
        ...

    def problem(self) -> str | None:
        """None when workers can be made, else one sentence that says why not. Blocks when called first: it tries."""
        ...

    def worker(self, script: Script) -> Worker:
        """A worker that is not started yet. Raises `processor.sandbox.unavailable` when there is a problem."""
        ...


@dataclass(frozen=True, slots=True)
class Version:
    """A stored version of an application's processor."""

    number: int
    created: int
    """microseconds since 1970 UTC"""
    author: str
    note: str
    packages: Sequence[str]
    active: bool
    source: str


class Processors(Protocol):
    """Versions of processors: who edits them talks to this; blocking calls run in threads inside.

    All take the application's uid. Raise `processor.invalid`, `processor.package.invalid`,
    `resource.not-found`.
    """

    async def add(
        self, application: str, source: str, packages: Sequence[str], *, author: str, note: str = ""
    ) -> Version:
        """Check syntax and contract, install the packages, keep as a new inactive version."""
        ...

    async def try_out(
        self, application: str, source: str, packages: Sequence[str], events: Sequence[Event]
    ) -> TrialResult:
        """Run a source over events in a sandbox of its own; nothing is stored."""
        ...

    async def activate(self, application: str, number: int) -> None:
        """From the next batch on this version runs; the one before stays for one-step roll back."""
        ...

    async def roll_back(self, application: str) -> Version:
        """Activate what was active before. Raises `resource.not-found` when there is nothing before."""
        ...

    async def deactivate(self, application: str) -> None:
        """No processor: payloads are stored as they came."""
        ...

    async def versions(self, application: str) -> list[Version]:
        """Newest first."""
        ...

    async def active(self, application: str) -> Script | None:
        """What runs now, None without a processor. Packages that are gone (another Python, a restored backup)
        are installed again, in the very versions that were tried when it was added."""
        ...
