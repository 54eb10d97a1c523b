# SPDX-License-Identifier: Apache-2.0
"""The resource shape: reading what a client wants, and writing what is (contract drogue.md 4.1).

`metadata` is checked strictly, because a misspelt `labels` or `finalizers` must not silently mean "none".
`spec` and `status` are the client's own JSON objects, and kept as they are.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from freehold.core.clock import from_rfc3339, to_rfc3339
from freehold.core.errors import RESOURCE_INVALID, FreeholdError
from freehold.registry.interfaces import Preconditions

LONGEST_APPLICATION = 253  # RFC 1123 2.1 with RFC 1035 2.3.4
LONGEST_DEVICE_BYTES = 255

_LABEL = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")

_TEXTS = ("name", "uid", "resourceVersion")
_TIMES = ("creationTimestamp", "deletionTimestamp")
_MAPS = ("labels", "annotations")
KEYS = frozenset({*_TEXTS, *_TIMES, *_MAPS, "generation", "finalizers"})


@dataclass(frozen=True, slots=True)
class Desired:
    """What a client wants a resource to be. `application` is empty for an application."""

    name: str
    application: str
    when: Preconditions
    finalizers: list[str]
    labels: dict[str, str]
    annotations: dict[str, str]
    spec: dict[str, Any]
    status: dict[str, Any]


def read_application(body: Mapping[str, Any]) -> Desired:
    """Raises `resource.invalid`, naming the field."""
    return _read(body, KEYS)


def read_device(body: Mapping[str, Any]) -> Desired:
    """Raises `resource.invalid`, naming the field."""
    return _read(body, KEYS | {"application"})


def check_application_name(name: str) -> None:
    """An RFC 1123 host name in lower case. Raises `resource.invalid`."""
    if len(name) > LONGEST_APPLICATION or not _HOST_NAME.fullmatch(name):
        raise _invalid("metadata.name", "must be a host name (RFC 1123): a-z, 0-9, `-` and `.`, all lower case")


def check_device_name(name: str) -> None:
    """1 to 255 bytes of text. Raises `resource.invalid`."""
    if not 0 < len(name.encode(errors="surrogatepass")) <= LONGEST_DEVICE_BYTES:
        raise _invalid("metadata.name", f"must have 1 to {LONGEST_DEVICE_BYTES} bytes")
    # No protocol can carry NUL, and no URL path or log line the others.
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in name):
        raise _invalid("metadata.name", "must not hold control characters")


def check_json(body: Mapping[str, Any]) -> None:
    """JSON as RFC 8259 has it: Python's parser also lets NaN, 1e999 and halves of surrogate pairs through.

    Raises `resource.invalid`.
    """
    try:
        json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError):
        raise _invalid("body", "has a number or text that JSON cannot carry, or is nested too deeply") from None


def show_metadata(row: Any, application: str = "") -> dict[str, Any]:
    """`metadata` of a stored row: what is empty is left out."""
    shown: dict[str, Any] = {
        "name": row.name,
        **({"application": application} if application else {}),
        "uid": row.uid,
        "creationTimestamp": to_rfc3339(row.created),
        "generation": row.generation,
        "resourceVersion": row.resource_version,
    }
    if row.deleted is not None:
        shown["deletionTimestamp"] = to_rfc3339(row.deleted)
    shown.update({name: value for name in ("finalizers", *_MAPS) if (value := getattr(row, name))})
    return shown


def same_json(left: Any, right: Any) -> bool:
    """Equality of JSON values. Python's `==` would take `true`, `1` and `1.0` for the same."""
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)


def _invalid(field: str, rule: str) -> FreeholdError:
    return RESOURCE_INVALID.error(f"{field}: {rule}")


def _read(body: Mapping[str, Any], known: frozenset[str]) -> Desired:
    check_json(body)
    metadata = _object(body, "metadata", "")
    unknown = sorted(metadata.keys() - known)
    if unknown:
        raise _invalid(f"metadata.{unknown[0][:40]}", "there is no such field")
    for name in _TIMES:
        _check_time(metadata, name)
    if type(metadata.get("generation", 0)) is not int:
        raise _invalid("metadata.generation", "must be a whole number")
    return Desired(
        name=_text(metadata, "name"),
        application=_text(metadata, "application"),
        when=Preconditions(_text(metadata, "uid"), _text(metadata, "resourceVersion")),
        finalizers=_texts(metadata, "finalizers"),
        labels=_text_map(metadata, "labels"),
        annotations=_text_map(metadata, "annotations"),
        spec=_object(body, "spec", ""),
        status=_object(body, "status", ""),
    )


def _object(parent: Mapping[str, Any], name: str, path: str) -> dict[str, Any]:
    value = parent.get(name, {})
    if not isinstance(value, dict):
        raise _invalid(path + name, "must be a JSON object")
    return value


def _text(metadata: Mapping[str, Any], name: str) -> str:
    value = metadata.get(name, "")
    if not isinstance(value, str):
        raise _invalid(f"metadata.{name}", "must be text")
    return value


def _texts(metadata: Mapping[str, Any], name: str) -> list[str]:
    values = metadata.get(name, [])
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise _invalid(f"metadata.{name}", "must be a list of texts")
    return values


def _text_map(metadata: Mapping[str, Any], name: str) -> dict[str, str]:
    values = _object(metadata, name, "metadata.")
    if not all(isinstance(value, str) for value in values.values()):
        raise _invalid(f"metadata.{name}", "must map texts to texts")
    return values


def _check_time(metadata: Mapping[str, Any], name: str) -> None:
    value = metadata.get(name)
    try:
        if value is not None:
            from_rfc3339(value)
    except (TypeError, ValueError):
        raise _invalid(f"metadata.{name}", "must be an RFC 3339 time") from None
