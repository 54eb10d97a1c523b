# SPDX-License-Identifier: Apache-2.0
"""What scripts print, through `print` and through MyT's `loggerHelper`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.process.guest import logger_helper
from freehold.process.guest.printing import AT_ONCE, CUT, NEWEST, Printed


@pytest.fixture
def pipe() -> Iterator[tuple[Printed, int]]:
    """A stream over a pipe that does not block, and the end to read from."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    yield Printed(writing), reading
    os.close(reading)
    os.close(writing)


def read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1_000_000)
    except BlockingIOError:
        return b""


class TestPrinted:
    def test_a_line_is_there_at_once(self, pipe: tuple[Printed, int]) -> None:
        print("hello", 5, file=pipe[0])
        assert read(pipe[1]) == b"hello 5\n"

    def test_half_a_line_waits_for_the_end_of_the_batch(self, pipe: tuple[Printed, int]) -> None:
        pipe[0].write("half")
        assert read(pipe[1]) == b""
        pipe[0].end_of_batch()
        assert read(pipe[1]) == b"half"

    def test_of_much_output_the_beginning_and_the_newest_stay(self, pipe: tuple[Printed, int]) -> None:
        for number in range(100_000):
            print(f"line {number}", file=pipe[0])
        first = read(pipe[1])
        pipe[0].end_of_batch()
        last = read(pipe[1])
        assert first.startswith(b"line 0\nline 1\n")
        assert last.endswith(b"line 99998\nline 99999\n")
        assert last.startswith(CUT)
        assert len(first) + len(last) <= AT_ONCE + 100 + NEWEST + len(CUT)

    def test_a_full_pipe_never_blocks(self, pipe: tuple[Printed, int]) -> None:
        for _ in range(100):
            print("x" * 10_000, file=pipe[0])
            pipe[0].end_of_batch()
        assert len(read(pipe[1])) <= 65_536

    def test_after_the_batch_there_is_room_again(self, pipe: tuple[Printed, int]) -> None:
        print("x" * 2 * AT_ONCE, file=pipe[0])
        pipe[0].end_of_batch()
        read(pipe[1])
        print("again", file=pipe[0])
        assert read(pipe[1]) == b"again\n"

    def test_a_closed_descriptor_harms_nobody(self) -> None:
        reading, writing = os.pipe()
        os.close(reading)
        os.close(writing)
        printed = Printed(writing)
        print("lost", file=printed)
        printed.end_of_batch()

    def test_bytes_are_refused_as_by_any_text_stream(self, pipe: tuple[Printed, int]) -> None:
        with pytest.raises(TypeError):
            pipe[0].write(b"bytes")  # type: ignore[arg-type]

    @given(st.lists(st.text(st.characters()), max_size=20))
    def test_any_text_comes_out(self, texts: list[str]) -> None:
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        try:
            printed = Printed(writing)
            for text in texts:
                assert printed.write(text) == len(text)
            printed.end_of_batch()
            assert read(reading) == "".join(texts).encode("utf-8", "backslashreplace")
        finally:
            os.close(reading)
            os.close(writing)


class TestLoggerHelper:
    @pytest.fixture(autouse=True)
    def _installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "loggerHelper", logger_helper.module())

    @pytest.mark.parametrize(
        ("script", "printed"),
        [
            ("import loggerHelper\nloggerHelper.info('hello')", "INFO hello\n"),
            ("import loggerHelper\nloggerHelper.logger.warning('at %s of %d', 'pi1', 5)", "WARNING at pi1 of 5\n"),
            ("import loggerHelper\nlog = loggerHelper.getLogger(__name__)\nlog.error('x')", "ERROR x\n"),
            ("from loggerHelper import log\nlog.debug('x')", "DEBUG x\n"),
            ("from loggerHelper import *\nlogger.info('x')", "INFO x\n"),
            ("from loggerHelper import LoggerHelper\nLoggerHelper('a').get().critical('x')", "CRITICAL x\n"),
            ("import loggerHelper\nloggerHelper.log(20, 'x')", "x\n"),
            ("import loggerHelper\nloggerHelper.log('plain')", "plain\n"),
            ("import loggerHelper\nloggerHelper.info('100%', 5)", "INFO 100% 5\n"),
            ("import loggerHelper\nloggerHelper.setup(level=5).anything.at.all()", ""),
            ("import loggerHelper\nwith loggerHelper.timer('x'):\n  pass", ""),
            ("import loggerHelper\n@loggerHelper.traced\ndef f(): print('ran')\nf()", "ran\n"),
        ],
    )
    def test_whatever_a_script_for_myt_does_with_it(
        self, script: str, printed: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        exec(script, {"__name__": "processor"})
        assert capsys.readouterr().out == printed

    def test_python_does_not_take_it_for_what_it_is_not(self) -> None:
        module: Any = sys.modules["loggerHelper"]
        assert not hasattr(module, "__path__")
        assert not hasattr(module.logger, "__len__")
