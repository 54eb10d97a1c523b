# SPDX-License-Identifier: Apache-2.0
"""What the store knows of an application's devices, for pages that must also work when the store does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from freehold.core.errors import FreeholdError
from freehold.store.interfaces import DeviceState, SeriesInfo, StoreStats, TelemetryReader

_NOTHING = StoreStats(points=0, bytes=0, dead_letters=0, oldest=None)


@dataclass(frozen=True, slots=True)
class Known:
    """States by device name, series, counts; `trouble` is the problem document when the store did not answer."""

    states: Mapping[str, DeviceState] = field(default_factory=dict)
    series: Sequence[SeriesInfo] = ()
    stats: StoreStats = _NOTHING
    trouble: Mapping[str, Any] | None = None

    @property
    def connected(self) -> int:
        return sum(state.connected is True for state in self.states.values())

    @property
    def last_event(self) -> int | None:
        return max((state.last_event for state in self.states.values()), default=None)


async def known_of(telemetry: TelemetryReader, application: str, *, devices: Sequence[str] = ()) -> Known:
    """What the store says of `application` (uid); series of these devices only, where some are named."""
    try:
        states = await telemetry.states(application)
        series = await telemetry.series(application, devices=devices)
        stats = await telemetry.stats(application)
    except FreeholdError as refused:
        return Known(trouble=refused.problem())
    return Known({state.device: state for state in states}, series, stats)
