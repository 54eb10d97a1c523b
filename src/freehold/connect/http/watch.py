# SPDX-License-Identifier: Apache-2.0
"""Timeouts of connections, at no cost for the hot path.

Nobody notes times or sets timers for a request. Once a second the endpoint looks at every connection, and one
that shows the same state of the same request for longer than that state may last is ended.
"""

from __future__ import annotations

from enum import IntEnum

from freehold.core.settings import Http

LINGER_SECONDS = 2.0
"""Time that a refused client has to read why, before its further input resets the connection."""


class State(IntEnum):
    """What a connection is doing, or waiting for."""

    IDLE = 0
    READING = 1
    """A request began and is not complete: the peer's turn."""
    WORKING = 2
    """Requests are complete and not answered: our turn, and every wait of ours has its own bound."""
    STUCK = 3
    """Answers are written and not read: the peer's turn."""
    LINGERING = 4
    """The last answer is written."""


class Watch:
    """How long one connection has shown one state."""

    __slots__ = ("_seen", "_since")

    def __init__(self) -> None:
        self._seen: tuple[State, int] | None = None
        self._since = 0.0

    def too_long(self, state: State, begun: int, now: float, settings: Http) -> bool:
        """Whether `state`, in the `begun`-th request, has lasted longer than it may. `now` in seconds."""
        if self._seen != (state, begun):
            self._seen, self._since = (state, begun), now
            return False
        return now - self._since >= _patience(state, begun, settings)


def _patience(state: State, begun: int, settings: Http) -> float:
    if state is State.WORKING:
        return float("inf")
    if state is State.LINGERING:
        return LINGER_SECONDS
    if state is State.READING or begun == 0:
        return settings.header_timeout_seconds
    return settings.idle_timeout_seconds
