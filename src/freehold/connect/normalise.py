# SPDX-License-Identifier: Apache-2.0
"""Session + device + bytes → one Event (drogue.md 2.1). Pure but for the clock and the id.

What a device chose is checked here once, so that everything behind the log can show it as a CloudEvent: no
control characters, surrogates or noncharacters in text (CloudEvents 1.0.2, type String), nothing endless.
"""

from __future__ import annotations

import re

from freehold.connect.interfaces import Session
from freehold.core.clock import now_us
from freehold.core.errors import ATTRIBUTE_INVALID, CHANNEL_INVALID
from freehold.core.ids import uuid7
from freehold.events.content import normalise
from freehold.events.models import Event
from freehold.registry.interfaces import DeviceSnapshot

CHANNEL_LENGTH = 1024
"""Longest channel, in characters. MQTT topics may have 65,535 bytes; a subject is a name, not a message."""
SCHEMA_LENGTH = 2048

_NONCHARACTERS = "".join(f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0, 0x110000, 0x10000))
_UNFIT = re.compile(f"[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef{_NONCHARACTERS}]")


def to_event(
    instance: str,
    session: Session,
    device: DeviceSnapshot,
    channel: str,
    content_type: str | None,
    payload: bytes,
    dataschema: str | None = None,
) -> Event:
    """The event for what `session` sent for `device` (itself or one behind it), received now.

    Raises `event.channel.invalid`, `event.payload.not-json`, `event.attribute.invalid`.
    """
    if not is_text(channel, CHANNEL_LENGTH):
        raise CHANNEL_INVALID.error(f"a channel has 1 to {CHANNEL_LENGTH} characters, none of them a control character")
    if dataschema is not None and not is_text(dataschema, SCHEMA_LENGTH):
        raise ATTRIBUTE_INVALID.error(
            f"a data schema has 1 to {SCHEMA_LENGTH} characters, none of them a control character"
        )
    datacontenttype, data = normalise(content_type, payload)
    application, sender = device.application, session.device
    return Event(
        uuid7(),
        now_us(),
        application.name,
        application.uid,
        device.name,
        device.uid,
        sender.name,
        sender.uid,
        channel,
        datacontenttype,
        data,
        instance,
        dataschema=dataschema,
    )


def is_text(text: str, longest: int) -> bool:
    """Whether `text` has 1 to `longest` characters and can be an attribute of a CloudEvent."""
    if not 0 < len(text) <= longest:
        return False
    # The first half answers for nearly all in a tenth of a microsecond.
    return (text.isascii() and text.isprintable()) or _UNFIT.search(text) is None
