# SPDX-License-Identifier: Apache-2.0
"""What travels from the log to a viewer: which events are wanted, one event with its place, one update."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from freehold.events.models import Event

LONGEST_CURSOR = 2048
"""Characters of the longest cursor that is read: 64 partitions with 20-digit offsets fit."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which events a viewer wants; None means any."""

    device: str | None = None
    channel: str | None = None
    type: str | None = None

    @property
    def everything(self) -> bool:
        return self.device is None and self.channel is None and self.type is None

    def takes(self, event: Event) -> bool:
        return (
            (self.device is None or event.device == self.device)
            and (self.channel is None or event.subject == self.channel)
            and (self.type is None or event.type == self.type)
        )


@dataclass(frozen=True, slots=True)
class Item:
    """An event and the log positions (partition → next offset) right behind it."""

    event: Event
    positions: Mapping[int, int]

    @property
    def size(self) -> int:
        """Bytes that keeping it costs, roughly: payload plus attributes."""
        return len(self.event.data) + 512


@dataclass(frozen=True, slots=True)
class Update:
    """What came since the last one: first `missed` events that were skipped, then `items`. Both may be empty."""

    missed: int = 0
    items: tuple[Item, ...] = ()


def render_cursor(positions: Mapping[int, int]) -> str:
    """`{0: 12, 1: 4}` → `0.12-1.4`: the `id` of a server-sent event, from which a client resumes exactly."""
    return "-".join(f"{partition}.{offset}" for partition, offset in sorted(positions.items()))


def parse_cursor(text: str) -> dict[int, int] | None:
    """Positions of a cursor made by `render_cursor`; None for any other text."""
    if not 3 <= len(text) <= LONGEST_CURSOR:
        return None
    positions: dict[int, int] = {}
    for part in text.split("-"):
        partition, dot, offset = part.partition(".")
        if not (dot and _is_number(partition, 4) and _is_number(offset, 19)):
            return None
        positions[int(partition)] = int(offset)
    return positions


def _is_number(text: str, digits: int) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= digits
