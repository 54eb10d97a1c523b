# SPDX-License-Identifier: Apache-2.0
"""JSON-like data → the typed fields of a row: flattening, bounds, and what happens to odd values. Pure functions.

The rules are those that users of time-series databases know: nested objects become dotted names, short
lists of scalars become numbered ones, anything deeper stays JSON text. `docs/telemetry.md` tells users.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from freehold.store.interfaces import Value

MOST_FIELDS = 256
"""Fields of one row."""

DEEPEST = 4
"""Parts of a dotted name; an object below that is kept as JSON text."""

MOST_ITEMS = 32
"""Items of a list that become fields; a longer one is kept as JSON text."""

LONGEST_TEXT = 8192
"""Bytes (UTF-8) of a text value."""

LONGEST_NAME = 255
"""Characters of measurement and field name together."""

_INT_END = 1 << 63
_encode = msgspec.json.Encoder().encode


def flatten(data: Mapping[str, Any], room: int, problems: list[str]) -> dict[str, Value]:
    """The fields of one row, in the order of `data`. What cannot be stored is left out.

    `room` is how long a field's name may be. One sentence a fault is added to `problems`; null, NaN and
    infinities are no fault and no field either.
    """
    fields: dict[str, Value] = {}
    try:
        for name, value in data.items():
            # The common types first and inline: this loop runs for every field of every event.
            kind = type(value)
            if kind is float:
                if value - value == 0.0:  # neither NaN nor infinite
                    fields[name] = value
            elif (
                kind is bool
                or (kind is int and -_INT_END <= value < _INT_END)
                or (kind is str and len(value) <= LONGEST_TEXT and value.isascii())
            ):
                fields[name] = value
            elif value is not None:
                _add(fields, name, value, 1, problems)
        names = "".join(fields)
        # All names together within the room of one is the common case and costs half of looking at each.
        if len(names) <= room and names.isascii() and len(fields) <= MOST_FIELDS:
            return fields
    except TypeError:  # a name that is no text: a processor may return any Python
        fields = _renamed(data, problems)
    return _within_bounds(fields, room, problems)


def _add(fields: dict[str, Value], name: str, value: Any, depth: int, problems: list[str]) -> None:
    """One value of any type, at most `DEEPEST` names deep."""
    match value:
        case None:
            pass
        case bool():
            fields[name] = value
        case int() | float():
            if (number := _number(value)) is not None:
                fields[name] = number
        case str():
            _add_text(fields, name, value, problems)
        case Mapping():
            if depth == DEEPEST:
                _add_json(fields, name, value, problems)
                return
            for part, inner in value.items():
                _add(fields, f"{name}.{part}", inner, depth + 1, problems)
        case list() | tuple():
            if len(value) > MOST_ITEMS or depth == DEEPEST or not all(map(_is_scalar, value)):
                _add_json(fields, name, value, problems)
                return
            for index, inner in enumerate(value):
                _add(fields, f"{name}.{index}", inner, depth + 1, problems)
        case _:
            problems.append(f"field {shown(name)} holds a {type(value).__name__}, which is not a value of JSON")


def _number(value: int | float) -> int | float | None:
    """`value` as it can be stored, None when it is not a value."""
    if isinstance(value, int) and -_INT_END <= value < _INT_END:
        return int(value)
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if number - number == 0.0 else None


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def _add_text(fields: dict[str, Value], name: str, text: str, problems: list[str]) -> None:
    text = clean(text)
    if len(text.encode()) > LONGEST_TEXT:
        problems.append(f"the text in field {shown(name)} is longer than {LONGEST_TEXT} bytes")
    else:
        fields[name] = text


def _add_json(fields: dict[str, Value], name: str, value: Any, problems: list[str]) -> None:
    if not value:
        return
    try:
        text = _encode(value).decode()
    except (TypeError, ValueError, OverflowError, RecursionError) as cause:
        problems.append(f"field {shown(name)} cannot be written as JSON: {cause}")
        return
    _add_text(fields, name, text, problems)


def _renamed(data: Mapping[Any, Any], problems: list[str]) -> dict[str, Value]:
    fields: dict[str, Value] = {}
    for name, value in data.items():
        _add(fields, str(name), value, 1, problems)
    return fields


def _within_bounds(fields: Mapping[str, Value], room: int, problems: list[str]) -> dict[str, Value]:
    kept: dict[str, Value] = {}
    for name, value in fields.items():
        name = clean(name)
        if len(name) > room:
            problems.append(f"the name of field {shown(name)} is too long: {LONGEST_NAME} characters with measurement")
        elif len(kept) == MOST_FIELDS and name not in kept:
            problems.append(f"{len(fields)} fields are more than the {MOST_FIELDS} of one row")
            break
        else:
            kept[name] = value
    return kept


def clean(text: str) -> str:
    """`text` with U+FFFD for what UTF-8 cannot hold: lone surrogates, which Python's strings may carry."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def shown(name: str, most: int = 60) -> str:
    """A device's name for something, quoted and cut for a message to a person."""
    return repr(name if len(name) <= most else name[:most] + "…")
