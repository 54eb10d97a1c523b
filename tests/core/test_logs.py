# SPDX-License-Identifier: Apache-2.0
"""Log lines: one entry is one line (or a set-in trace), whatever a device calls itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.core.logs import LONGEST, LONGEST_TRACE, MOST_ITEMS, harmless

HOSTILE = {
    "escape": "\x1b[2J\x1b]0;owned\x07",
    "newline": "x\n2026-01-01T00:00:00Z [error] forged",
    "carriage return": "x\rforged",
    "nul": "a\0b",
    "surrogate": "a\ud800b",
    "c1": "\x9b31m",
    "line separator": "a\u2028b",
    "right to left": "a\u202eb",
    "delete": "a\x7fb",
}


_SCRIPT = """
import sys, json, logging, structlog
from freehold.core import logs

given, form = json.loads(sys.argv[1]), sys.argv[2]
logs.configure(form=form, level="debug", role="endpoint")
log = structlog.get_logger()

def fail(message, password="s3cr3t" + "value"):
    raise ValueError(message)

def trace(message):
    try:
        fail(message)
    except ValueError:
        log.exception("failed")

def values():
    for name, value in given.items():
        log.warning("device " + value, name=name, value=value, many=[value])

def traces():
    for value in given.values():
        trace(value)

def long_trace():
    trace("x" * 1_000_000 + " the end")

def libraries():
    logging.getLogger("uvicorn").warning("listening %s", given["newline"])
    logging.getLogger("x").info("of no concern to the owner")

def levels():
    logs.configure(form=form, level="warning")
    for name in ("debug", "info", "warning", "error"):
        getattr(structlog.get_logger(), name)(name)

def automatic():
    logs.configure()
    structlog.get_logger().info("hello")

for section in (values, traces, long_trace, libraries, levels, automatic):
    sys.stderr.write(f"\\x1e{section.__name__}\\x1d")
    section()
"""


def _sections(form: str) -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, json.dumps(HOSTILE), form],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        check=True,
    )
    assert done.stdout == b""
    sections = done.stderr.decode("utf-8").split("\x1e")[1:]
    return {name: said for name, _, said in (section.partition("\x1d") for section in sections)}


@pytest.fixture(scope="module")
def said_in_json() -> dict[str, str]:
    return _sections("json")


@pytest.fixture(scope="module")
def said_in_text() -> dict[str, str]:
    return _sections("text")


# --- values -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", HOSTILE.values(), ids=HOSTILE)
def test_control_characters_are_written_out(value: str) -> None:
    text = harmless(value)
    assert isinstance(text, str)
    assert text.isprintable()
    assert text.encode("ascii").decode("unicode_escape") == value


@pytest.mark.parametrize("value", ["", "plain", "Wohnküche 3", "温度", "a b=c", "back\\slash", "🌡"])
def test_harmless_text_stays_as_it_is(value: str) -> None:
    assert harmless(value) == value


@pytest.mark.parametrize("value", [None, True, False, 0, -7, 1.5, 10**30])
def test_other_values_stay_what_they_are(value: object) -> None:
    assert harmless(value) is value


def test_nothing_is_endless() -> None:
    text = harmless("x" * 10_000_000)
    assert isinstance(text, str)
    assert text == "x" * LONGEST + "…"
    for value in (b"x" * 10_000_000, bytearray(b"\xff" * 10_000_000), memoryview(b"x" * 10_000_000)):
        assert len(str(harmless(value))) <= 4 * LONGEST + 1
    assert len(harmless(["x"] * 1_000_000)) == MOST_ITEMS  # type: ignore[arg-type]
    assert len(harmless({str(n): n for n in range(1000)})) == MOST_ITEMS  # type: ignore[arg-type]
    assert len(str(harmless({"k" * 100_000: ["v" * 100_000]}))) < 3 * LONGEST


def test_bytes_are_text_with_their_strays_written_out() -> None:
    assert harmless("Küche".encode()) == "Küche"
    assert harmless(b"\xff\x00\x1b[2J") == "\\xff\\x00\\x1b[2J"


def test_what_is_inside_is_made_harmless_too() -> None:
    value = {"a\n": ["\x1b", {"b": ("\0",)}], "c": {"d\0"}}
    assert harmless(value) == {"a\\n": ["\\x1b", {"b": ["\\x00"]}], "c": ["d\\x00"]}


def test_depth_is_bounded() -> None:
    endless: list[object] = []
    endless.append(endless)
    assert harmless(endless) == [[[["…"]]]]


def test_objects_are_written_as_they_describe_themselves() -> None:
    assert harmless(ValueError("a\nb")) == "ValueError('a\\nb')"


values = st.recursive(
    st.one_of(st.text(), st.binary(), st.integers(), st.floats(), st.none(), st.booleans()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(), inner, max_size=4)),
    max_leaves=10,
)


@given(values)
def test_any_value_makes_a_line_of_printable_text(value: object) -> None:
    def check(found: object) -> None:
        if isinstance(found, str):
            assert found.isprintable()
        elif isinstance(found, dict):
            for key, item in found.items():
                check(key)
                check(item)
        elif isinstance(found, list):
            for item in found:
                check(item)

    check(harmless(value))
    assert "\n" not in json.dumps(harmless(value))


# --- lines ------------------------------------------------------------------------------------------


def test_json_is_one_object_a_line(said_in_json: dict[str, str]) -> None:
    entries = [json.loads(line) for line in said_in_json["values"].splitlines()]
    assert [entry["name"] for entry in entries] == list(HOSTILE)
    for entry in entries:
        assert entry["value"] == harmless(HOSTILE[entry["name"]])
        assert entry["event"] == harmless("device " + HOSTILE[entry["name"]])
        assert (entry["level"], entry["role"]) == ("warning", "endpoint")
        assert entry["timestamp"].endswith("Z")


def test_text_is_one_line_an_entry(said_in_text: dict[str, str]) -> None:
    lines = said_in_text["values"].split("\n")
    assert lines.pop() == ""
    assert len(lines) == len(HOSTILE)
    assert all(line.isprintable() for line in lines)
    assert all(line[:4].isdigit() and "[warning" in line and "role=endpoint" in line for line in lines)


def test_a_trace_in_json_is_one_line(said_in_json: dict[str, str]) -> None:
    entries = [json.loads(line) for line in said_in_json["traces"].splitlines()]
    assert len(entries) == len(HOSTILE)
    for entry, value in zip(entries, HOSTILE.values(), strict=True):
        assert "Traceback (most recent call last)" in entry["exception"]
        last = str(harmless(value.split("\n")[-1]))
        assert entry["exception"].endswith(last)


def test_a_trace_in_text_forges_no_entry(said_in_text: dict[str, str]) -> None:
    output = said_in_text["traces"]
    assert output.replace("\n", "").isprintable()
    assert output.count("Traceback (most recent call last)") == len(HOSTILE)
    beginnings = [line for line in output.splitlines() if line and not line.startswith("  ")]
    assert len(beginnings) == len(HOSTILE)
    assert all("[error" in line and "failed" in line for line in beginnings)


def test_a_trace_is_not_endless_and_keeps_its_end(said_in_json: dict[str, str]) -> None:
    entry = json.loads(said_in_json["long_trace"])
    assert len(entry["exception"]) < LONGEST_TRACE + 10
    assert entry["exception"].endswith("the end")


def test_a_trace_tells_no_local_variables(said_in_text: dict[str, str], said_in_json: dict[str, str]) -> None:
    for said in (said_in_text, said_in_json):
        assert "ValueError" in said["traces"]
        assert "s3cr3tvalue" not in said["traces"]


def test_what_libraries_log_has_the_same_form(said_in_text: dict[str, str], said_in_json: dict[str, str]) -> None:
    entry = json.loads(said_in_json["libraries"])
    assert entry["event"] == harmless("listening " + HOSTILE["newline"])
    assert (entry["level"], entry["role"]) == ("warning", "endpoint")
    assert not [key for key in entry if key.startswith("_")]
    assert said_in_text["libraries"].count("\n") == 1
    assert "[warning" in said_in_text["libraries"]
    assert "of no concern" not in said_in_text["libraries"] + said_in_json["libraries"]


def test_less_than_the_level_is_not_logged(said_in_json: dict[str, str]) -> None:
    assert [json.loads(line)["event"] for line in said_in_json["levels"].splitlines()] == ["warning", "error"]


def test_auto_is_json_where_there_is_no_terminal(said_in_text: dict[str, str]) -> None:
    assert json.loads(said_in_text["automatic"])["event"] == "hello"


def test_auto_is_text_on_a_terminal() -> None:
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    script = "import structlog; from freehold.core import logs; logs.configure(); structlog.get_logger().info('hello')"
    with os.fdopen(ours, "rb", buffering=0) as reading:
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stderr=theirs,
            check=True,
        )
        os.close(theirs)
        output = reading.read(4096).decode()
    assert "hello" in output
    assert not output.startswith("{")
