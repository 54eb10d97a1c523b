# SPDX-License-Identifier: Apache-2.0
"""Rates from the platform's counters. Pure functions over `services.Sample`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from freehold.console.services import Sample

WINDOW_S = 5.0
"""Seconds over which the figures on the cards are averaged: one second jumps, ten lag behind."""


@dataclass(frozen=True, slots=True)
class Figures:
    """The numbers of the overview. Rates are events a second, `refused` counts since the start."""

    connections: int
    accepted_rate: float
    stored_rate: float
    refused_rate: float
    refused: int


def figures(history: Sequence[Sample]) -> Figures:
    """The newest figures; zeros before the first sample."""
    if not history:
        return Figures(0, 0.0, 0.0, 0.0, 0)
    last = history[-1]
    first = next(sample for sample in history if last.time - sample.time <= WINDOW_S)
    seconds = last.time - first.time

    def per_second(name: str) -> float:
        # A restarted role counts from 0 again: no negative rates.
        return max(0, getattr(last, name) - getattr(first, name)) / seconds if seconds > 0 else 0.0

    return Figures(
        connections=last.connections,
        accepted_rate=per_second("accepted"),
        stored_rate=per_second("stored"),
        refused_rate=per_second("refused"),
        refused=last.refused,
    )


def rates(history: Sequence[Sample], after: float = 0.0) -> list[tuple[float, float, float, float]]:
    """(time, accepted, stored, refused a second) of every sample later than `after`."""
    found = []
    for before, sample in pairwise(history):
        seconds = sample.time - before.time
        if sample.time > after and seconds > 0:
            found.append(
                (
                    sample.time,
                    max(0, sample.accepted - before.accepted) / seconds,
                    max(0, sample.stored - before.stored) / seconds,
                    max(0, sample.refused - before.refused) / seconds,
                )
            )
    return found
