# SPDX-License-Identifier: Apache-2.0
"""Request bodies of the registry API: bounded, and a JSON object or nothing."""

from __future__ import annotations

import json
from typing import Any

from fastapi import Request

from freehold.core.errors import PAYLOAD_TOO_LARGE, REQUEST_INVALID
from freehold.registry.interfaces import Preconditions
from freehold.registry.metadata import check_json


async def read_object(request: Request, most_bytes: int) -> dict[str, Any]:
    """The JSON object in the body; an empty body is an empty object.

    Raises `event.payload.too-large` once more than `most_bytes` came, `request.invalid`, `resource.invalid`.
    """
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > most_bytes:
            raise PAYLOAD_TOO_LARGE.error(f"the body has more than {most_bytes} bytes")
    if not raw.strip():
        return {}
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        # Not the parser's own words: they may quote the body, which may hold a secret.
        raise REQUEST_INVALID.error("the body is not JSON (RFC 8259)") from None
    if not isinstance(body, dict):
        raise REQUEST_INVALID.error("the body must be a JSON object")
    check_json(body)
    return body


def preconditions(body: dict[str, Any]) -> Preconditions:
    """`{"preconditions": {"uid": …, "resourceVersion": …}}`, all of it optional. Raises `request.invalid`."""
    given = body.get("preconditions")
    if given is None:
        return Preconditions()
    if not isinstance(given, dict):
        raise REQUEST_INVALID.error("preconditions: must be a JSON object")
    uid, version = given.get("uid") or "", given.get("resourceVersion") or ""
    if not isinstance(uid, str) or not isinstance(version, str):
        raise REQUEST_INVALID.error("preconditions: uid and resourceVersion must be text")
    return Preconditions(uid, version)


def whole_number(request: Request, name: str) -> int | None:
    """Query parameter `name`, 0 or more; None when absent. Raises `request.invalid`."""
    text = request.query_params.get(name, "")
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise REQUEST_INVALID.error(f"{name}: must be a whole number from 0 to 999999999")
    return int(text)
