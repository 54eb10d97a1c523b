# SPDX-License-Identifier: Apache-2.0
"""Content types and payloads: what a device declared and sent → what is stored (drogue.md 2.3).

Pure functions, on the path of every event: JSON is checked and made compact once, at the door, so that
everything behind it may copy the payload into other JSON without looking inside.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from freehold.core.errors import ATTRIBUTE_INVALID, PAYLOAD_NOT_JSON

JSON = "application/json"
OCTETS = "application/octet-stream"

DEPTH = 128
"""Deepest nesting that counts as JSON (RFC 8259, 9 allows a limit; this is serde_json's, so devices that
worked with Drogue never met a deeper one). What is stored can then be parsed at any depth of any stack."""

CONTENT_TYPE_LENGTH = 255
"""RFC 6838, 4.2 allows 127 characters a side."""

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode
_CONTENT_TYPE = re.compile(rf"[\x20-\x7e]{{1,{CONTENT_TYPE_LENGTH}}}")
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)
_TO_SQUARE = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


def normalise(content_type: str | None, payload: bytes) -> tuple[str, bytes]:
    """The content type and the bytes to store for what a device declared and sent.

    Declared JSON is checked, stored compactly and called plain `application/json`; any other declared type
    is kept byte for byte; without one, whatever parses as JSON is JSON and the rest is octets. An empty
    declaration counts as none. Raises `event.payload.not-json` and `event.attribute.invalid`.
    """
    if not content_type:
        try:
            return JSON, compact(payload)
        except ValueError:
            return OCTETS, payload
    if content_type == JSON or declares_json(content_type):
        try:
            return JSON, compact(payload)
        except ValueError as cause:
            raise PAYLOAD_NOT_JSON.error(str(cause)) from None
    if _CONTENT_TYPE.fullmatch(content_type) is None:
        raise ATTRIBUTE_INVALID.error(f"a content type is printable ASCII of at most {CONTENT_TYPE_LENGTH} characters")
    return content_type, payload


def declares_json(content_type: str) -> bool:
    """Whether this media type promises JSON: by its beginning or end only, as Drogue reads it.

    So `application/senml+json;charset=utf-8` is not JSON to it, and `application/json-seq` is.
    Case does not matter (RFC 9110, 8.3.1).
    """
    lower = content_type.lower()
    return lower.startswith(("application/json", "text/json")) or lower.endswith("+json")


def declares_text(content_type: str) -> bool:
    """Whether payloads of this media type show as text in structured events (drogue.md 2.2)."""
    return content_type.lower().startswith("text/plain")


def compact(payload: bytes) -> bytes:
    """JSON without white space: key order kept, of duplicate keys the last value in the first place.

    Raises ValueError for what is not JSON (RFC 8259): NaN, lone surrogates, bad UTF-8, an empty body, and
    for nesting past `DEPTH`. Numbers that no double or reasonable integer can hold (`1e400`) are valid and
    keep their text.
    """
    # Two counts cost less than a tenth of what parsing costs; only payloads that could be too deep pay for more.
    if payload.count(b"[") + payload.count(b"{") > DEPTH and _too_deep(payload):
        raise ValueError(f"JSON is malformed or nested deeper than {DEPTH} levels")
    try:
        return _encode(_decode(payload))
    except msgspec.ValidationError:
        return _compact_slowly(payload)  # a number out of msgspec's range
    except msgspec.DecodeError as cause:
        raise ValueError(str(cause)) from None


def _compact_slowly(payload: bytes) -> bytes:
    """The same by the standard library, with every number's text carried through as it is."""
    try:
        value = json.loads(payload.decode("utf-8"), parse_int=_verbatim, parse_float=_verbatim, parse_constant=_refuse)
        return _encode(value)
    except RecursionError:
        raise ValueError("JSON is nested too deep") from None


def _verbatim(number: str) -> Any:
    return msgspec.Raw(number.encode("ascii"))


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _too_deep(payload: bytes) -> bool:
    """Whether brackets nest past `DEPTH` (or do not match): each round removes the innermost pairs."""
    brackets = _STRING.sub(b"", payload).translate(_TO_SQUARE, _NO_BRACKETS)
    for _ in range(DEPTH):
        if not brackets:
            return False
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)
