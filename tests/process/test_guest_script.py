# SPDX-License-Identifier: Apache-2.0
"""Loading sources, and what owners are told when something goes wrong in them."""

from __future__ import annotations

from typing import Any

import pytest

from freehold.process.guest.budget import CpuTimeExceeded
from freehold.process.guest.contract import Broken
from freehold.process.guest.script import LONGEST_DETAIL, LONGEST_REASON, Script, Unfit, describe


def error_of(source: str, data: Any = None) -> tuple[str, str, int | None]:
    """What is told of the exception that `main` raises."""
    script = Script(source)
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - any
        script.main(data)
    return describe(caught.value, 1.0)


def load_error_of(source: str) -> tuple[str, str, int | None]:
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - any
        Script(source)
    return describe(caught.value, 1.0)


@pytest.mark.parametrize(
    ("main", "takes_event"),
    [
        ("def main(data): ...", False),
        ("def main(data, event): ...", True),
        ("def main(data, event=None): ...", True),
        ("def main(data, threshold=5): ...", False),
        ("def main(a, b): ...", True),
        ("def main(data, *rest): ...", False),
        ("def main(*everything): ...", False),
        ("def main(data, **more): ...", False),
        ("def main(data, /, event): ...", True),
        ("def main(data, *, event=None): ...", False),
        ("main = lambda data: data", False),
        ("main = dict", False),
        ("import functools\ndef f(scale, data): ...\nmain = functools.partial(f, 2)", False),
        ("class Processor:\n  def __call__(self, data, event): ...\nmain = Processor()", True),
    ],
)
def test_the_signature_decides_what_main_gets(main: str, takes_event: bool) -> None:
    assert Script(main).takes_event is takes_event


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("", "no function `main"),
        ("main = 5", "no function `main"),
        ("def main(): ...", "callable as main"),
        ("def main(a, b, c): ...", "callable as main"),
        ("def main(data, *, scale): ...", "callable as main"),
        ("async def main(data): ...", "async def"),
    ],
)
def test_what_keeps_no_contract_is_told(source: str, reason: str) -> None:
    with pytest.raises(Unfit, match=reason):
        Script(source)


@pytest.mark.parametrize(
    ("source", "line", "reason"),
    [
        ("x = 1\ndef main(data:\n    return data\n", 2, "SyntaxError"),
        ("def main(data):\nreturn data\n", 2, "IndentationError"),
        ("def main(data): ...\n\nx = 1 / 0\n", 3, "ZeroDivisionError"),
        ("import no_such_module\n", 1, "add it to the packages"),
        ("def helper():\n    raise ValueError('no')\nhelper()\n", 2, "ValueError: no"),
        ("import sys\nsys.exit(1)\n", 2, "called exit"),
    ],
)
def test_61_errors_while_loading_have_a_line(source: str, line: int, reason: str) -> None:
    told, _, where = load_error_of(source)
    assert (where, reason in told) == (line, True)


def test_a_null_byte_is_told() -> None:
    assert "null bytes" in load_error_of("x = 1\0")[0]


def test_41_a_traceback_shows_the_owners_lines_only() -> None:
    source = "import json\ndef main(data):\n    return parse(data)\ndef parse(data):\n    return json.loads(data)\n"
    reason, detail, line = error_of(source, "{")
    assert reason.startswith("JSONDecodeError: Expecting property name")
    assert line == 5
    assert "return parse(data)" in detail
    assert "return json.loads(data)" in detail
    assert detail.count("File ") == 2
    assert "json/decoder.py" not in detail


def test_a_chain_of_errors_is_shown() -> None:
    source = "def main(data):\n  try:\n    1 / 0\n  except ZeroDivisionError as e:\n    raise KeyError('x') from e\n"
    reason, detail, _ = error_of(source)
    assert reason == "KeyError: 'x'"
    assert "ZeroDivisionError" in detail
    assert "direct cause" in detail


def test_groups_of_errors_show_own_lines_only_too() -> None:
    source = (
        "import json\n"
        "def main(data):\n"
        "  try:\n    json.loads('{')\n"
        "  except ValueError as e:\n    raise ExceptionGroup('several', [e])\n"
    )
    reason, detail, _ = error_of(source)
    assert reason.startswith("ExceptionGroup: several")
    assert "JSONDecodeError" in detail
    assert "decoder.py" not in detail


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (CpuTimeExceeded(), "used more than 1 s of CPU time"),
        (MemoryError(), "ran out of memory"),
        (SystemExit(3), "called exit"),
        (Broken("main returned an int"), "main returned an int"),
        (KeyError("temp"), "KeyError: 'temp'"),
        (StopIteration(), "StopIteration"),
    ],
)
def test_reasons_are_sentences(error: BaseException, reason: str) -> None:
    assert describe(error, 1.0)[0] == reason


def test_hostile_errors_are_bounded() -> None:
    class Endless(Exception):
        def __str__(self) -> str:
            return "\ud800x" * 1_000_000

    reason, detail, _ = describe(Endless(), 1.0)
    assert len(reason.encode()) <= LONGEST_REASON
    assert len(detail.encode()) <= LONGEST_DETAIL


def test_errors_that_cannot_be_told_are_told() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise ValueError

    assert describe(Mute(), 1.0)[0] == "Mute: (its text raised ValueError)"


def test_deep_recursion_has_a_short_traceback() -> None:
    reason, detail, _ = error_of("def main(data):\n    return main(data)\n")
    assert reason.startswith("RecursionError")
    assert "more times" in detail


def test_dataclasses_and_state_work_in_a_script() -> None:
    source = (
        "from dataclasses import dataclass\n"
        "@dataclass\nclass Seen:\n    count: int = 0\n"
        "seen = Seen()\n"
        "def main(data):\n    seen.count += 1\n    return {'count': seen.count}\n"
    )
    script = Script(source)
    assert [script.main({})["count"] for _ in range(3)] == [1, 2, 3]
