# SPDX-License-Identifier: Apache-2.0
"""Content-type rules (drogue.md 2.3; checks 12 to 16): what is JSON, what is kept, what is refused."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.core.errors import FreeholdError
from freehold.events.content import (
    CONTENT_TYPE_LENGTH,
    DEPTH,
    JSON,
    OCTETS,
    compact,
    declares_json,
    declares_text,
    normalise,
)

JSON_TYPES = [
    "application/json",
    "application/json; charset=utf-8",
    "application/json-patch",
    "text/json",
    "text/json;charset=utf-8",
    "application/vnd.x+json",
    "Application/JSON",
    "application/Senml+JSON",
]
OTHER_TYPES = [
    "text/plain",
    "application/cbor",
    "application/octet-stream",
    "application/vnd.x+json; charset=utf-8",
    "x/application/json",
    "json",
    "image/png",
]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize("content_type", JSON_TYPES)
def test_drogue_14_declared_json_becomes_plain_application_json(content_type: str) -> None:
    assert declares_json(content_type)
    assert normalise(content_type, b' { "a" : [ 1 , 2.50 ] } ') == (JSON, b'{"a":[1,2.5]}')


@pytest.mark.parametrize("content_type", JSON_TYPES)
@pytest.mark.parametrize("payload", [b"{oops", b"", b" ", b"{}{}", b"hello", b'{"a":1,}'])
def test_drogue_12_declared_json_that_is_not_json_is_refused(content_type: str, payload: bytes) -> None:
    with pytest.raises(FreeholdError) as caught:
        normalise(content_type, payload)
    assert caught.value.refusal.code == "event.payload.not-json"
    assert caught.value.refusal.status == 406
    assert caught.value.detail


@pytest.mark.parametrize("content_type", OTHER_TYPES)
@pytest.mark.parametrize("payload", [b"{oops", b"", b' {"a": 1} ', bytes(range(256))])
def test_drogue_16_other_types_are_kept_byte_for_byte(content_type: str, payload: bytes) -> None:
    assert not declares_json(content_type)
    assert normalise(content_type, payload) == (content_type, payload)


@pytest.mark.parametrize("none", [None, ""])
@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b"hello", (OCTETS, b"hello")),
        (b"42", (JSON, b"42")),
        (b' "x" ', (JSON, b'"x"')),
        (b"null", (JSON, b"null")),
        (b"true", (JSON, b"true")),
        (b'{ "temp": 1 }', (JSON, b'{"temp":1}')),
        (b"", (OCTETS, b"")),
        (b"NaN", (OCTETS, b"NaN")),
        (b"\xff\x00", (OCTETS, b"\xff\x00")),
    ],
)
def test_drogue_13_without_a_type_json_is_detected(
    none: str | None, payload: bytes, expected: tuple[str, bytes]
) -> None:
    assert normalise(none, payload) == expected


@pytest.mark.parametrize(
    "content_type",
    ["text/plain\r\nx: y", "text/\0plain", "text/plain; name=é", "a" * (CONTENT_TYPE_LENGTH + 1), "\x7f"],
)
def test_content_type_that_no_header_could_carry_is_refused(content_type: str) -> None:
    with pytest.raises(FreeholdError) as caught:
        normalise(content_type, b"x")
    assert caught.value.refusal.code == "event.attribute.invalid"
    assert content_type not in caught.value.detail


def test_longest_content_type_is_kept() -> None:
    longest = "text/" + "a" * (CONTENT_TYPE_LENGTH - 5)
    assert normalise(longest, b"x") == (longest, b"x")


@pytest.mark.parametrize(
    "payload",
    [
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b'{"a":NaN}',
        b'"\\ud800"',
        b'"\\ud800x"',
        b'"\\udc00\\ud800"',
        b'{"\\ud800":1}',
        b'"\xed\xa0\x80"',
        b'"\xff"',
        b'"a\x00b"',
        b'"tab\there"',
        b"\xef\xbb\xbf1",
        b"'x'",
        b"01",
        b"1.",
        b".5",
        b"+1",
        b"0x10",
        b"[1,]",
        b"{1:2}",
        b"// c\n1",
        b"[1e400,NaN]",
        b"[1e400,oops]",
        b'[1e400,"\\ud800"]',
        b'[1e400,"\xff"]',
    ],
)
def test_what_is_not_json(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        compact(payload)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b'{"a":1,"b":2,"a":3}', b'{"a":3,"b":2}'),
        (b'{"z":1,"a":2}', b'{"z":1,"a":2}'),
        (b'"\\ud83d\\ude00"', '"😀"'.encode()),
        (b'"\\u0000"', b'"\\u0000"'),
        (b'"\\/"', b'"/"'),
        (b"123456789012345678901234567890", b"123456789012345678901234567890"),
        (b"18446744073709551616", b"18446744073709551616"),
        (b"1.0", b"1.0"),
        (b"\t\r\n 1 \n", b"1"),
    ],
)
def test_compact_keeps_order_and_value(payload: bytes, expected: bytes) -> None:
    assert compact(payload) == expected


@pytest.mark.parametrize("number", [b"1e400", b"-1E400", b"1" * 5000, b"1." + b"0" * 5000 + b"e999"])
def test_numbers_past_every_range_keep_their_text(number: bytes) -> None:
    assert compact(b' { "a" : ' + number + b', "b" : [ 1.50, 2 ] }') == b'{"a":' + number + b',"b":[1.50,2]}'


def nested(depth: int, opening: bytes, closing: bytes) -> bytes:
    return opening * depth + b"1" + closing * depth


@pytest.mark.parametrize(("opening", "closing"), [(b"[", b"]"), (b'{"a":', b"}"), (b'[{"a":', b"}]")])
def test_nesting_is_json_down_to_the_limit(opening: bytes, closing: bytes) -> None:
    levels = opening.count(b"[") + opening.count(b"{")
    fits = DEPTH // levels
    assert compact(nested(fits, opening, closing)) == nested(fits, opening, closing)
    with pytest.raises(ValueError, match="deeper"):
        compact(nested(fits + 1, opening, closing))


@pytest.mark.parametrize("payload", [b"[" * 60_000, b'{"a":' * 10_000, b"[" * 30_000 + b"]" * 30_000])
def test_bottomless_nesting_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match="deeper"):
        compact(payload)


def test_many_brackets_side_by_side_or_in_strings_are_not_deep() -> None:
    wide = [{"a": [1], "b": '[[[[{{{{\\"[['} for _ in range(500)]
    assert json.loads(compact(json.dumps(wide).encode())) == wide


@given(json_values)
def test_compact_means_the_same_as_what_was_sent(value: Any) -> None:
    sent = json.dumps(value, indent=1).encode()
    assert json.loads(compact(sent)) == json.loads(sent)


@given(json_values)
def test_compact_is_a_fixed_point(value: Any) -> None:
    once = compact(json.dumps(value).encode())
    assert compact(once) == once
    assert b"\n" not in once


@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:0123456789eE+-.\\ tfn', max_size=40).map(str.encode))
def test_any_bytes_are_json_or_octets_and_agree_with_the_standard_library(payload: bytes) -> None:
    content_type, stored = normalise(None, payload)
    try:
        expected = json.loads(payload.decode(), parse_constant=_no_constants)
    except ValueError:
        expected = None
        assert content_type == OCTETS
    if content_type == OCTETS:
        assert stored == payload
    else:
        assert json.loads(stored) == expected
        msgspec.json.decode(stored, type=msgspec.Raw)


def _no_constants(name: str) -> None:
    raise ValueError(name)


def test_text_is_declared_by_its_beginning() -> None:
    assert declares_text("text/plain; charset=utf-8")
    assert declares_text("Text/Plain")
    assert not declares_text("text/html")
