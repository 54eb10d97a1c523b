# SPDX-License-Identifier: Apache-2.0
"""Python's values ↔ SQLite's: what `schema` says about types, as code."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

from freehold.store.fields import clean
from freehold.store.interfaces import Value
from freehold.store.sqlite.schema import FALSE, TRUE

Stored = int | float | str | bytes | None

_INT_END = 1 << 63


def to_stored(value: object) -> Stored:
    """As it lies in the file; None for what is no value."""
    if isinstance(value, bool):
        return TRUE if value else FALSE
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, int) and -_INT_END <= value < _INT_END:
        return int(value)
    if isinstance(value, int | float):
        try:
            number = float(value)
        except OverflowError:
            return None
        return number if number - number == 0.0 else None
    return None


def from_stored(values: Iterable[Stored]) -> Sequence[Value]:
    """What `to_stored` made, back again. None must not be among them."""
    listed = list(values)
    if bytes in set(map(type, listed)):
        listed = [value == TRUE if isinstance(value, bytes) else value for value in listed]
    return cast(list[Value], listed)


def is_number(value: Stored) -> bool:
    return isinstance(value, int | float)
