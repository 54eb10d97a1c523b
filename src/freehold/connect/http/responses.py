# SPDX-License-Identifier: Apache-2.0
"""Answers as bytes, exactly as the table of drogue.md 1.2 has them. Pure but for the clock in `Date`.

Where the table says "empty" for a refusal, the reason is there nevertheless: its code in the header
`Freehold-Error`, and for a refused payload in the body (advice A-7).
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from email.utils import formatdate
from http import HTTPStatus
from urllib.parse import quote

from freehold.core.errors import (
    ACCESS_REVOKED,
    AUTHENTICATION_UNAVAILABLE,
    CREDENTIALS_REJECTED,
    DEVICE_NOT_PERMITTED,
    INTERNAL,
    LOG_UNAVAILABLE,
    METHOD_NOT_ALLOWED,
    OVERLOADED,
    TOO_MANY_ATTEMPTS,
    FreeholdError,
    Refusal,
)

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
RETRY_SECONDS = 1
"""Pause that a refused device is asked for. The log's queue is empty again within a second."""
LOCKED_SECONDS = 60

_REASONS = {status.value: status.phrase for status in HTTPStatus}
_PROBLEM = "application/problem+json"

_second = 0
_accepted = b""

Headers = Sequence[tuple[str, str]]


def accepted() -> bytes:
    """202 for a connection that stays open: made once a second, because of `Date` (RFC 9110, 6.6.1)."""
    global _second, _accepted
    now = int(time.time())
    if now != _second:
        _second, _accepted = now, render(202)
    return _accepted


def render(
    status: int, body: bytes = b"", headers: Headers = (), *, close: bool = False, http10: bool = False
) -> bytes:
    """One response. `http10` is for a client of that version that wants the connection kept."""
    lines = [f"HTTP/1.1 {status} {_REASONS[status]}", f"Date: {formatdate(usegmt=True)}"]
    lines.extend(f"{name}: {value}" for name, value in headers)
    lines.append(f"Content-Length: {len(body)}")
    if close:
        lines.append("Connection: close")
    elif http10:
        lines.append("Connection: keep-alive")
    # Header values are ours, or text without control characters (command names): UTF-8 passes as obs-text.
    return "\r\n".join(lines).encode("utf-8") + b"\r\n\r\n" + body


def command(name: str, payload: bytes, *, close: bool, http10: bool) -> bytes:
    """200 with a command for the device; the contract gives it no content type."""
    # Whoever sends commands checks their names; a header must stay one whoever that will be.
    safe = name if name.isprintable() else quote(name, safe="")
    return render(200, payload, [("command", safe)], close=close, http10=http10)


def refused(error: FreeholdError, *, close: bool, http10: bool, head: bool = False) -> bytes:
    """The answer for a refusal of the catalogue; without its body for `head` (RFC 9110, 9.3.2)."""
    if error.refusal in _NOT_AUTHENTICATED:
        error = CREDENTIALS_REJECTED.error()
    refusal = error.refusal
    content_type, body = _body(error)
    headers = [("Freehold-Error", refusal.code)]
    if body:
        headers.append(("Content-Type", content_type))
    if refusal.status in (429, 503):
        pause = LOCKED_SECONDS if refusal is TOO_MANY_ATTEMPTS else RETRY_SECONDS
        headers.append(("Retry-After", str(pause)))
    if refusal is METHOD_NOT_ALLOWED:
        headers.append(("Allow", error.context.get("allow", "POST")))
    rendered = render(refusal.status, body, headers, close=close, http10=http10)
    return rendered[: len(rendered) - len(body)] if head else rendered


_NOT_AUTHENTICATED = (DEVICE_NOT_PERMITTED, ACCESS_REVOKED)
"""Said as `device.credentials.rejected`: a device learns that it was refused, not why."""


def _body(error: FreeholdError) -> tuple[str, bytes]:
    refusal = error.refusal
    if refusal in (CREDENTIALS_REJECTED, TOO_MANY_ATTEMPTS):
        return _authentication(refusal, refusal.title)
    if refusal is AUTHENTICATION_UNAVAILABLE:
        return _authentication(refusal, f"Failed to authenticate: {error.detail or refusal.title}")
    if refusal is OVERLOADED:
        return "", b""
    if refusal in (LOG_UNAVAILABLE, INTERNAL):
        # The cause (paths, errno) is the owner's: it is in the log and on the health page.
        return "application/json", _dump(error.legacy_body(refusal.title))
    return _PROBLEM, _dump(error.problem())


def _authentication(refusal: Refusal, message: str) -> tuple[str, bytes]:
    """The three fields that Drogue's device endpoints answer with."""
    body = {"code": refusal.status, "error": refusal.legacy, "message": message}
    return "application/json", _dump(body)


def _dump(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode("ascii")
