# SPDX-License-Identifier: Apache-2.0
"""Events as CloudEvents 1.0, both ways: the JSON format, and HTTP binary mode (drogue.md 2.1, 2.2).

The official SDK costs forty times as much, so it only reads and writes beside this in the tests. `source`
and `partitionkey` follow from other attributes: they are written, and ignored when read.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, unquote

import msgspec

from freehold.core.clock import from_rfc3339
from freehold.events.content import JSON, compact, declares_json, declares_text
from freehold.events.models import Event

STRUCTURED = "application/cloudevents+json"
"""Media type of one event in the JSON format (CloudEvents JSON 1.0.2, 3)."""

SPECVERSION = "1.0"

_PREFIX = "ce-"
_ATTRIBUTES = (
    *("id", "source", "type", "subject", "time", "datacontenttype", "dataschema"),
    *("application", "applicationuid", "device", "deviceuid", "sender", "senderuid"),
    *("partitionkey", "instance"),
)
_REQUIRED = ("id", "source", "type", "time", "application", "device")
_SAFE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"%')
_encode = msgspec.json.Encoder().encode


class CloudEventInvalid(ValueError):
    """What was read is no CloudEvent 1.0, or lacks what an Event needs; says which attribute."""


def attributes(event: Event) -> dict[str, str]:
    """All CloudEvents attributes that `event` has, as text, extensions included; `specversion` first.

    Attributes without a value (a uid that nobody knew) are left out.
    """
    result = {"specversion": SPECVERSION}
    for name in _ATTRIBUTES:
        value = event.time_text if name == "time" else getattr(event, name)
        if value:
            result[name] = value
    result.update(event.extensions)
    return result


def to_structured(event: Event) -> bytes:
    """One event in the JSON format (media type `STRUCTURED`).

    JSON payloads are native in `data`, UTF-8 text is a string in `data`, all others are `data_base64`;
    an empty payload has neither key.
    """
    document: dict[str, Any] = attributes(event)
    if event.data:
        name, value = _data_member(event.datacontenttype, event.data)
        document[name] = value
    return _encode(document)


def _data_member(content_type: str, data: bytes) -> tuple[str, Any]:
    try:
        if declares_json(content_type):
            return "data", msgspec.Raw(compact(data))
        if declares_text(content_type):
            return "data", data.decode("utf-8")
    except ValueError:
        pass  # declared as what it is not: bytes are always right
    return "data_base64", b64encode(data).decode("ascii")


def from_structured(document: bytes) -> Event:
    """The event of a JSON format document. Raises `CloudEventInvalid`."""
    try:
        members: dict[str, msgspec.Raw] = msgspec.json.decode(document, type=dict[str, msgspec.Raw])
        values = {name: msgspec.json.decode(raw) for name, raw in members.items() if name != "data"}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as cause:
        raise CloudEventInvalid(f"no JSON object: {cause}") from None
    encoded = values.pop("data_base64", None)
    texts = {name: _text(name, value) for name, value in values.items() if value is not None}
    content_type = texts.setdefault("datacontenttype", JSON)
    return _event(texts, _payload(members.get("data"), encoded, content_type))


def _payload(data: msgspec.Raw | None, encoded: Any, content_type: str) -> bytes:
    try:
        if encoded is not None:
            if data is not None or not isinstance(encoded, str):
                raise CloudEventInvalid("data_base64 is text, and never beside data")
            return b64decode(encoded, validate=True)
        if data is None:
            return b""
        value = bytes(data)
        if value.startswith(b'"') and not declares_json(content_type):
            return msgspec.json.decode(value, type=str).encode("utf-8")
        return compact(value)
    except (binascii.Error, msgspec.DecodeError) as cause:
        raise CloudEventInvalid(f"the data cannot be read: {cause}") from None
    except ValueError as cause:
        raise CloudEventInvalid(str(cause)) from None


def _text(name: str, value: Any) -> str:
    """Canonical text of an attribute (CloudEvents 1.0.2, type system): strings, integers and booleans."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    raise CloudEventInvalid(f"the attribute {name} is no text")


def to_binary(event: Event) -> tuple[dict[str, str], bytes]:
    """Headers and body of HTTP binary mode (CloudEvents HTTP 1.0.2, 3.1).

    Header values are percent-encoded (3.1.3.2), but for the content type, which is a header of its own.
    """
    headers = {
        _PREFIX + name: quote(value, safe=_SAFE)
        for name, value in attributes(event).items()
        if name != "datacontenttype"
    }
    headers["content-type"] = event.datacontenttype
    return headers, event.data


def from_binary(headers: Mapping[str, str] | Iterable[tuple[str, str]], body: bytes) -> Event:
    """The event of an HTTP request or response in binary mode. Raises `CloudEventInvalid`."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    texts: dict[str, str] = {}
    for header, value in pairs:
        name = header.lower()
        if name == "content-type":
            texts["datacontenttype"] = value
        elif name.startswith(_PREFIX):
            texts[name.removeprefix(_PREFIX)] = _header_text(name, value)
    texts.setdefault("datacontenttype", JSON)
    return _event(texts, body)


def _header_text(name: str, value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] == '"':
        # Senders of earlier releases of the binding quote; readers must take that (3.1.3.2).
        value = value[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    try:
        return unquote(value, errors="strict")
    except UnicodeDecodeError:
        raise CloudEventInvalid(f"the header {name} is not percent-encoded UTF-8") from None


def _event(texts: dict[str, str], data: bytes) -> Event:
    if texts.pop("specversion", None) != SPECVERSION:
        raise CloudEventInvalid("specversion must be 1.0")
    for name in _REQUIRED:
        if not texts.get(name):
            raise CloudEventInvalid(f"the attribute {name} is missing")
    known = {name: texts.pop(name, "") for name in _ATTRIBUTES}
    for name in texts:
        if not (name.isascii() and name.isalnum() and name == name.lower()):
            raise CloudEventInvalid("attribute names are lower-case ASCII letters and digits")
    try:
        time = from_rfc3339(known.pop("time"))
    except ValueError:
        raise CloudEventInvalid("the attribute time is not RFC 3339") from None
    del known["source"], known["partitionkey"]
    schema = known.pop("dataschema") or None
    # Who transmitted is who measured, where nobody says otherwise.
    known["sender"] = known["sender"] or known["device"]
    return Event(time=time, data=data, dataschema=schema, extensions=texts, **known)
