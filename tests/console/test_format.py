# SPDX-License-Identifier: Apache-2.0
"""How numbers, times, names and payloads are written; and that the browser's scripts write them the same way."""

from __future__ import annotations

import json
import subprocess
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.console import format as write
from freehold.console.static_files import FOLDER
from tests.conftest import needs

NUMBERS = [0, 1, -1, 999, 1000, 1284, -1234567, 10**14, 0.1, 0.123456, 9.99999, 21.5]
NUMBERS += [21.456, 1234.56, -0.5, 1e-9, 1e12, 2.5e10, 3.0, 1.5e300, 5e-324]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1284, "1\u202f284"),
        (-1234567, "-1\u202f234\u202f567"),
        (21.5, "21.5"),
        (0.123456, "0.1235"),
        (1234.56, "1\u202f234.6"),
        (3.0, "3"),
        (1e-9, "1.000e-9"),
        (2.5e10, "25\u202f000\u202f000\u202f000"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    assert write.number(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.04, "0.0"), (6.94, "6.9"), (9.96, "10.0"), (1284.3, "1\u202f284")]
)
def test_rates(value: float, text: str) -> None:
    assert write.rate(value).replace(".0", "") == text.replace(".0", "")


@pytest.mark.parametrize(("value", "text"), [(True, "true"), (False, "false"), (5, "5"), ("a\nb", "a⟨U+000A⟩b")])
def test_values_of_any_type(value: object, text: str) -> None:
    assert write.value(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "now"),
        (0.9, "now"),
        (1, "1 s ago"),
        (59.9, "59 s ago"),
        (60, "1 min ago"),
        (7199, "1 h ago"),
        (86_400 * 3, "3 d ago"),
    ],
)
def test_ago(seconds: float, text: str) -> None:
    assert write.ago(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (5 * 2**40, "5120.0 GiB")]
)
def test_sizes(count: int, text: str) -> None:
    assert write.size(count) == text


@given(st.text(max_size=300), st.integers(1, 300))
def test_what_is_shown_is_visible_bounded_and_in_one_direction(text: str, limit: int) -> None:
    shown = write.visible(text, limit)
    assert not [c for c in shown if unicodedata.category(c) in {"Cc", "Cs"}]
    assert not [
        c
        for c in shown
        if unicodedata.bidirectional(c) in {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    ]
    assert len(shown) <= 9 * (limit + 1)
    assert write.visible(shown, len(shown)) == shown


@pytest.mark.parametrize("text", ["plain", "Käse 🧀", "شركة", "日本", "", "a b"])
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert write.visible(text) == text


@given(
    st.binary(max_size=6000), st.sampled_from(["application/json", "text/plain", "application/octet-stream", "", "x"])
)
def test_any_payload_can_be_shown(data: bytes, content_type: str) -> None:
    shown = write.payload(data, content_type)
    assert not [c for c in shown if unicodedata.category(c) in {"Cc", "Cs"} and c != "\n"]
    assert len(shown) < 60_000
    assert "\n" not in write.preview(data)
    assert len(write.preview(data)) < 1600


@pytest.mark.parametrize(
    ("data", "content_type", "shown"),
    [
        (b'{"b":1,"a":[true]}', "application/json", '{\n  "b": 1,\n  "a": [\n    true\n  ]\n}'),
        (b'{"a":"\\u202e"}', "application/json", '{\n  "a": "⟨U+202E⟩"\n}'),
        (b"{broken", "application/json", "{broken"),
        (b"[" * 4000, "application/json", "[" * 2000 + "…"),
        ("grüße\n\tdu".encode(), "text/plain", "grüße\n    du"),
        (b"\x00\x01hello", "application/octet-stream", "0000  00 01 68 65 6c 6c 6f" + " " * 27 + "  ··hello"),
        (b"", "application/json", ""),
    ],
)
def test_payloads(data: bytes, content_type: str, shown: str) -> None:
    assert write.payload(data, content_type) == shown


def test_a_large_payload_is_cut_and_counted() -> None:
    shown = write.payload(b'"' + b"x" * 10_000 + b'"', "application/json")
    assert shown.endswith("… 5.8 KiB more")
    assert len(shown) < 5000


def test_previews_are_one_line() -> None:
    assert write.preview(b'{\n  "a": 1\n}') == '{ "a": 1 }'
    assert write.preview(bytes(range(20))) == "20 bytes: 00 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f …"


def test_prose_makes_code_of_backticks_and_escapes_the_rest() -> None:
    assert write.prose("set `a.b` to <1>") == "set <code>a.b</code> to &lt;1&gt;"
    assert write.prose("`<script>`") == "<code>&lt;script&gt;</code>"


def test_the_browser_writes_the_same() -> None:
    """Runs the scripts' own functions in Node over the same values."""
    node = needs("node")
    ages = [0, 0.5, 1, 30, 59.9, 60, 3599, 3600, 90_000]
    rates = [0, 0.3, 6.94, 10, 12.4, 1284.2]
    texts = ["plain", "evil\u202egnp", "a\u200bb\x00", "x" * 300, "Käse 🧀"]
    payload = {"data_base64": "AAFoZWxsbw=="}
    program = f"""
        globalThis.document = {{}};
        const f = await import({json.dumps(str(FOLDER / "js/format.js"))});
        const d = await import({json.dumps(str(FOLDER / "js/dom.js"))});
        const p = await import({json.dumps(str(FOLDER / "js/payload.js"))});
        const [numbers, ages, rates, texts, payload] = {json.dumps([NUMBERS, ages, rates, texts, payload])};
        console.log(JSON.stringify([numbers.map((n) => f.number(n)), ages.map(f.ago), rates.map(f.rate),
            texts.map((t) => d.visible(t, 200)), p.long(payload)]));
    """
    done = subprocess.run(
        [node, "--input-type=module", "-e", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    browser = json.loads(done.stdout)
    assert browser[0] == [write.number(value) for value in NUMBERS]
    assert browser[1] == [write.ago(value) for value in ages]
    assert browser[2] == [write.rate(value) for value in rates]
    assert browser[3] == [write.visible(value, 200) for value in texts]
    assert browser[4] == write.payload(b"\x00\x01hello", "application/octet-stream")
