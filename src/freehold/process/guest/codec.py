# SPDX-License-Identifier: Apache-2.0
"""JSON inside the worker: msgspec where it is there, the standard library for what msgspec refuses.

Scripts return what their libraries give them: numpy scalars and arrays, dates, decimals. These become what
a person expects (numbers, lists, ISO 8601 text). NaN and infinities become null: the store has no such value.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any


def plain(value: Any) -> Any:
    """What a value that JSON does not know stands for. Raises TypeError where nothing fits."""
    if isinstance(value, float):  # a subclass, such as numpy.float64
        return float(value)
    if value is None or isinstance(value, int):  # msgspec asks for keys that are None or bool; `json` knows them
        raise TypeError(f"{value!r} is no key")
    for method in ("tolist", "item", "isoformat"):
        convert = getattr(value, method, None)
        if callable(convert):
            return convert()
    if isinstance(value, (set, frozenset, tuple)):
        return list(value)
    if hasattr(value, "as_integer_ratio"):  # Decimal, Fraction
        return float(value)
    raise TypeError(f"{type(value).__name__} is no value that can be stored")


def _finite(value: Any) -> Any:
    """`value` with null for NaN and infinities; other values of JSON stay as they are."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if value is None or isinstance(value, (str, int)):
        return value
    return _finite(plain(value))


def encode_slowly(value: Any) -> bytes:
    """`value` as UTF-8 JSON by the standard library. Raises TypeError, ValueError, RecursionError."""
    text = json.dumps(_finite(value), ensure_ascii=False, allow_nan=False, default=plain, separators=(",", ":"))
    return text.encode()


def decode_slowly(payload: bytes | memoryview) -> Any:
    """JSON by the standard library. Raises ValueError, RecursionError."""
    return json.loads(bytes(payload))


def _fast() -> tuple[Callable[[Any], bytes], Callable[[bytes | memoryview], Any]]:
    import msgspec

    encode_fast = msgspec.json.Encoder(enc_hook=plain, decimal_format="number").encode
    decode_fast = msgspec.json.Decoder().decode

    def encode(value: Any) -> bytes:
        try:
            return encode_fast(value)
        except (TypeError, ValueError):
            pass  # keys that are None or bool, text that is not Unicode
        return encode_slowly(value)

    def decode(payload: bytes | memoryview) -> Any:
        try:
            return decode_fast(payload)
        except msgspec.DecodeError:
            pass  # lone surrogates, 1e999, NaN: the standard library takes them
        return decode_slowly(payload)

    return encode, decode


try:
    encode, decode = _fast()
except ImportError:
    encode, decode = encode_slowly, decode_slowly
