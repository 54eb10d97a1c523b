# SPDX-License-Identifier: Apache-2.0
"""What all connections of the HTTP endpoint share: the doors to the rest, targets seen, numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import structlog

from freehold.commands.interfaces import Router
from freehold.connect.http import target
from freehold.connect.http.submitter import Submitter
from freehold.connect.http.target import Target
from freehold.connect.interfaces import Gate, Intake
from freehold.connect.limits import Seldom
from freehold.core.errors import FreeholdError
from freehold.core.settings import Http

_log = structlog.get_logger(__name__)

TARGETS = 4096
TARGET_BYTES = 256
"""Longer request targets are parsed each time, so that the table of those seen stays small."""


@dataclass(slots=True)
class Services:
    """`answers` counts responses by status, `held` is what unfinished bodies take of memory, in bytes."""

    settings: Http
    gate: Gate
    intake: Intake
    router: Router
    seldom: Seldom = field(default_factory=Seldom)
    answers: Counter[int] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    held: int = 0
    draining: bool = False
    submitter: Submitter = field(init=False)
    _targets: dict[bytes, Target] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.submitter = Submitter(self.intake)

    def target(self, raw: bytes) -> Target:
        """The meaning of a request target; a fleet uses few, so they are remembered. Raises as `parse`."""
        known = self._targets.get(raw)
        if known is None:
            known = target.parse(raw)
            if len(raw) <= TARGET_BYTES:
                if len(self._targets) >= TARGETS:
                    self._targets.clear()
                self._targets[raw] = known
        return known

    def note(self, error: FreeholdError, address: str) -> None:
        """Count a refusal, and log it once a minute for each reason and address."""
        code = error.refusal.code
        self.refusals[code] += 1
        if self.seldom.first(f"{code} {address}"):
            _log.info("request refused", code=code, detail=error.detail, address=address, **error.context)
