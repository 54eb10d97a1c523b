# SPDX-License-Identifier: Apache-2.0
"""`status` of an application: the client's own part is stored, what we compute is ours alone."""

from __future__ import annotations

from typing import Any

from freehold.core.clock import to_rfc3339

# Drogue's clients create an application and wait until operators have made its Kafka topic and set these to
# True. Freehold has no operators: an application is ready when its row is committed, so they always hold.
_CONDITIONS = ("KafkaReady", "Ready")
_TRUST_ANCHORS = "trustAnchors"


def stored(status: dict[str, Any], anchors: dict[str, Any] | None) -> dict[str, Any]:
    """What to keep of a status that a client sends, with the computed `trustAnchors`."""
    kept = {name: value for name, value in status.items() if name not in {"conditions", _TRUST_ANCHORS}}
    conditions = status.get("conditions")
    if isinstance(conditions, list) and (theirs := [each for each in conditions if not _is_ours(each)]):
        kept["conditions"] = theirs
    if anchors is not None:
        kept[_TRUST_ANCHORS] = anchors
    return kept


def shown(status: dict[str, Any], created: int) -> dict[str, Any]:
    """A stored status with the computed conditions of an application made at `created`."""
    since = to_rfc3339(created)
    ours = [{"type": name, "status": "True", "lastTransitionTime": since} for name in _CONDITIONS]
    return {**status, "conditions": [*ours, *status.get("conditions", [])]}


def _is_ours(condition: Any) -> bool:
    return isinstance(condition, dict) and condition.get("type") in _CONDITIONS
