# SPDX-License-Identifier: Apache-2.0
"""Server-Sent Events (HTML Standard, 9.2): frames as bytes. Pure functions.

Three kinds of event reach a client: `event` (one structured CloudEvent, its `id` is where to resume),
`gap` (`{"missed": n}`: so many events were skipped) and `live` (the past is told, what follows is new).
"""

from __future__ import annotations

import json
import re

from freehold.deliver.models import Item, Update, render_cursor
from freehold.events.cloudevents import to_structured

MEDIA_TYPE = "text/event-stream"

HEADERS = {
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # a proxy that collects the stream would make it anything but live
}

_LINE_END = re.compile(rb"\r\n|\r|\n")

HEARTBEAT = b": still here\n\n"


def frame(name: str, data: bytes, event_id: str = "") -> bytes:
    """One event. Line breaks in `data` become further `data:` lines, as the format demands."""
    head = f"id: {event_id}\n" if event_id else ""
    body = b"\ndata: ".join(_LINE_END.split(data))
    return b"".join((head.encode(), b"event: ", name.encode(), b"\ndata: ", body, b"\n\n"))


def hello(retry_ms: int) -> bytes:
    """First bytes of a stream: how long a client waits before it connects again."""
    return f"retry: {retry_ms}\n\n".encode()


def event(item: Item) -> bytes:
    return frame("event", to_structured(item.event), render_cursor(item.positions))


def gap(missed: int) -> bytes:
    return frame("gap", json.dumps({"missed": missed}).encode())


def live() -> bytes:
    return frame("live", b"{}")


def update(told: Update) -> bytes:
    """All frames of one update; a heartbeat when it is empty."""
    parts = [gap(told.missed)] if told.missed else []
    parts += [event(item) for item in told.items]
    return b"".join(parts) or HEARTBEAT
