# SPDX-License-Identifier: Apache-2.0
"""Between forms and resources (contract drogue.md 4.1): what people type, and the body that the registry takes.

A change starts from the resource as it is and names the version that the form was made from, so that two
people who edit the same thing find out instead of overwriting each other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from freehold.core.errors import RESOURCE_INVALID
from freehold.registry.interfaces import Resource

LONGEST_TEXT = 200_000
"""Characters of an edited resource."""


def enabled(resource: Resource) -> bool:
    """Whether `spec.core.disabled` leaves this on; anything but `true` there does."""
    core = resource.spec.get("core")
    return not (isinstance(core, dict) and core.get("disabled") is True)


def texts(value: object) -> list[str]:
    """The texts of a list that somebody may have filled with anything."""
    return [entry for entry in value if isinstance(entry, str)] if isinstance(value, list) else []


def gateways(spec: Mapping[str, Any]) -> list[str]:
    selector = spec.get("gatewaySelector")
    return texts(selector.get("matchNames")) if isinstance(selector, dict) else []


def labels_text(labels: Mapping[str, str]) -> str:
    """`{"floor": "2"}` → `floor=2`, the form that `parse_labels` reads."""
    return ", ".join(f"{key}={value}" if value else key for key, value in labels.items())


def parse_labels(text: str) -> dict[str, str]:
    """`floor=2, kind=boiler` → a mapping. Raises `resource.invalid` for a value without a name."""
    labels: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        key, _, value = part.partition("=")
        if not key.strip():
            raise RESOURCE_INVALID.error(f"labels: {part!r} has no name; write them as name=value, separated by commas")
        labels[key.strip()] = value.strip()
    return labels


def parse_lines(text: str) -> list[str]:
    """One name a line; blank lines do not count."""
    return list(dict.fromkeys(filter(None, (line.strip() for line in text.splitlines()))))


def body(resource: Resource, version: str) -> dict[str, Any]:
    """The resource as a body to change and send back; `version` is what the form was made from."""
    document: dict[str, Any] = json.loads(json.dumps(resource.as_json()))  # a copy down to the leaves
    document["metadata"]["resourceVersion"] = version
    document.setdefault("spec", {})
    return document


def with_enabled(document: dict[str, Any], on: bool) -> dict[str, Any]:
    """`document` switched on or off by `spec.core.disabled`."""
    core = document["spec"].get("core")
    core = dict(core) if isinstance(core, dict) else {}
    core.pop("disabled", None)
    document["spec"]["core"] = core if on else {**core, "disabled": True}
    if not document["spec"]["core"]:
        del document["spec"]["core"]
    return document


def with_device_form(document: dict[str, Any], labels: str, aliases: str, gateway_names: str) -> dict[str, Any]:
    """`document` with what the device form edits; sections left empty disappear."""
    document["metadata"]["labels"] = parse_labels(labels)
    spec = document["spec"]
    for name, value in (
        ("alias", parse_lines(aliases)),
        ("gatewaySelector", {"matchNames": parse_lines(gateway_names)}),
    ):
        if value in ([], {"matchNames": []}):
            spec.pop(name, None)
        else:
            spec[name] = value
    return document


def parse_document(text: str, version: str) -> dict[str, Any]:
    """The JSON that somebody edited, as a body. Raises `resource.invalid` with line and column."""
    try:
        document = json.loads(text)
    except json.JSONDecodeError as cause:
        raise RESOURCE_INVALID.error(f"line {cause.lineno}, column {cause.colno}: {cause.msg}") from None
    except RecursionError:
        raise RESOURCE_INVALID.error("the JSON is nested too deep") from None
    if not isinstance(document, dict) or not isinstance(document.get("metadata"), dict):
        raise RESOURCE_INVALID.error("the resource must be a JSON object with `metadata`")
    document["metadata"]["resourceVersion"] = version
    return document
