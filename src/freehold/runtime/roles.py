# SPDX-License-Identifier: Apache-2.0
"""The composition root: what each role consists of, in the order in which it starts.

Read from top to bottom this is the whole platform. A component may rely on those listed before it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from freehold.core.bus import Bus
from freehold.core.lifecycle import Component
from freehold.core.metrics import MetricSet
from freehold.core.settings import Settings


@dataclass
class Role:
    """A role ready to start. `counters` and `ports` are asked while it runs."""

    components: list[Component]
    counters: Callable[[], dict[str, float]] = dict
    ports: Callable[[], dict[str, int]] = dict
    metrics: MetricSet = field(default_factory=MetricSet)


def build(name: str, settings: Settings, bus: Bus) -> Role:
    """Compose a role. Imports are inside: a role loads only what it runs."""
    if name == "endpoint":
        from freehold.runtime.endpoint_role import build_endpoint

        return build_endpoint(settings, bus)
    if name == "pipeline":
        from freehold.runtime.pipeline_role import build_pipeline

        return build_pipeline(settings, bus)
    from freehold.runtime.api_role import build_api

    return build_api(settings, bus)
