# SPDX-License-Identifier: Apache-2.0
"""The life of a component: start, ready, drain, stop, in order and back; one that fails names itself.

A component is anything that a role runs. `start` returns when the component can do its work (a server
listens, a database is open). `drain` stops taking new work and finishes what was accepted; `stop` gives
everything back. `Lifecycle` starts components in the order given and ends them in the reverse order, so a
component may rely on those before it for as long as it lives.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import structlog

_log = structlog.get_logger(__name__)


@runtime_checkable
class Component(Protocol):
    """What `Lifecycle` runs. `name` is a dotted id such as `connect.mqtt`, used in logs and on the health page."""

    @property
    def name(self) -> str: ...
    async def start(self) -> None: ...
    async def drain(self) -> None: ...
    async def stop(self) -> None: ...

    def health(self) -> str | None:
        """None while all is well, else one sentence that says what is wrong."""
        ...


class ComponentFailed(RuntimeError):
    """`start` of a component raised; carries the component's name and the cause."""

    def __init__(self, component: str, cause: BaseException) -> None:
        super().__init__(f"{component} failed to start: {cause}")
        self.component = component
        self.cause = cause


class Lifecycle:
    """Starts and ends a list of components; what started is always ended, also when a later one fails."""

    def __init__(self, components: Sequence[Component], drain_seconds: float = 10.0) -> None:
        self._components = list(components)
        self._started: list[Component] = []
        self._drain_seconds = drain_seconds
        self.ready = False

    async def start(self) -> None:
        """Start all in order. Raises `ComponentFailed`; those already started are then stopped again."""
        for component in self._components:
            try:
                await component.start()
            except BaseException as cause:
                await self.stop()
                if isinstance(cause, Exception):
                    raise ComponentFailed(component.name, cause) from cause
                raise
            self._started.append(component)
        self.ready = True

    async def stop(self) -> None:
        """Drain, then stop, each in reverse order. One that fails or hangs never keeps the others from ending."""
        self.ready = False
        for component in reversed(self._started):
            await self._end(component, "drain")
        while self._started:
            await self._end(self._started.pop(), "stop")

    async def _end(self, component: Component, step: str) -> None:
        task = asyncio.current_task()
        assert task is not None
        cancelled_before = task.cancelling()
        try:
            async with asyncio.timeout(self._drain_seconds):
                await getattr(component, step)()
        except (Exception, asyncio.CancelledError) as cause:
            if task.cancelling() > cancelled_before:
                raise  # it is we who are cancelled, not something inside the component that it awaited
            _log.error("component did not end well", component=component.name, step=step, error=repr(cause))

    def health(self) -> dict[str, str | None]:
        """Component name → None or what is wrong with it."""
        return {component.name: component.health() for component in self._components}
