# SPDX-License-Identifier: Apache-2.0
"""A command as its history shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from freehold.commands.interfaces import State
from freehold.core.clock import to_rfc3339


@dataclass(frozen=True, slots=True)
class Record:
    """One command's life. Times are microseconds since 1970 UTC, None for what did not happen (yet).

    `sender` is the device through which it went, `protocol` the endpoint. `size` is the payload's, in bytes.
    """

    id: str
    application_uid: str
    application: str
    device: str
    name: str
    content_type: str
    size: int
    state: State
    created: int
    expires: int
    sent: int | None = None
    sender: str | None = None
    protocol: str | None = None
    acknowledged: int | None = None

    def as_json(self) -> dict[str, Any]:
        """As the API shows it: times in RFC 3339, nothing for what did not happen."""
        body: dict[str, Any] = {
            "id": self.id,
            "application": self.application,
            "device": self.device,
            "command": self.name,
            "contentType": self.content_type,
            "size": self.size,
            "state": self.state.value,
            "created": to_rfc3339(self.created),
            "expires": to_rfc3339(self.expires),
        }
        if self.sent is not None:
            body["sent"] = to_rfc3339(self.sent)
            body["sender"] = self.sender
            body["protocol"] = self.protocol
        if self.acknowledged is not None:
            body["acknowledged"] = to_rfc3339(self.acknowledged)
        return body
