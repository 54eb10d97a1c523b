# SPDX-License-Identifier: Apache-2.0
"""Test runs of a processor: which events go in, and how what came out is shown. Pure functions."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from freehold.console import format as write
from freehold.core.clock import now_us, to_rfc3339
from freehold.core.errors import REQUEST_INVALID
from freehold.core.ids import uuid7
from freehold.events.models import Event
from freehold.process.interfaces import Failed, Measured, Outcome, TrialResult

MOST_EVENTS = 50


@dataclass(frozen=True, slots=True)
class Shown:
    """One event of a test run, ready for the page."""

    device: str
    channel: str
    given: str
    results: Sequence[str]
    failed: Failed | None


def pasted_events(text: str, application: str, uid: str, instance: str) -> list[Event]:
    """Events with the payloads that somebody pasted: one JSON value, or a list for several.

    Raises `request.invalid` with line and column.
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError as cause:
        raise REQUEST_INVALID.error(f"sample, line {cause.lineno}, column {cause.colno}: {cause.msg}") from None
    except RecursionError:
        raise REQUEST_INVALID.error("sample: the JSON is nested too deep") from None
    payloads = value if isinstance(value, list) else [value]
    if not 0 < len(payloads) <= MOST_EVENTS:
        raise REQUEST_INVALID.error(f"sample: a list of 1 to {MOST_EVENTS} payloads")
    return [_event(payload, application, uid, instance) for payload in payloads]


def _event(payload: Any, application: str, uid: str, instance: str) -> Event:
    return Event(
        id=uuid7(),
        time=now_us(),
        application=application,
        applicationuid=uid,
        device="sample",
        deviceuid="",
        sender="sample",
        senderuid="",
        subject="telemetry",
        datacontenttype="application/json",
        data=json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"),
        instance=instance,
    )


def shown(events: Sequence[Event], result: TrialResult) -> list[Shown]:
    """The events of a test run beside what came of them."""
    return [_shown(event, outcome) for event, outcome in zip(events, result.outcomes, strict=True)]


def _shown(event: Event, outcome: Outcome) -> Shown:
    given = write.payload(event.data, event.datacontenttype)
    if isinstance(outcome, Failed):
        return Shown(event.device, event.subject, given, (), outcome)
    return Shown(event.device, event.subject, given, [_measured(one) for one in outcome], None)


def _measured(result: Measured) -> str:
    names = {"measurement": result.measurement, "sensor": result.sensor}
    if result.time is not None:
        names["time"] = to_rfc3339(result.time)
    said = {name: value for name, value in names.items() if value is not None}
    return write.visible_lines(write.pretty_json({**said, "data": result.data} if said else result.data))


def diff(old: str, new: str, old_name: str, new_name: str) -> Iterator[tuple[str, str]]:
    """(kind, line) of a unified diff; kind is "add", "del", "at" or ""."""
    lines = difflib.unified_diff(old.splitlines(), new.splitlines(), old_name, new_name, lineterm="")
    for line in lines:
        if line.startswith(("---", "+++", "@@")):
            yield "at", line
        else:
            yield {"+": "add", "-": "del"}.get(line[:1], ""), line
