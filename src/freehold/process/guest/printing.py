# SPDX-License-Identifier: Apache-2.0
"""Standard output and error of the script: into a pipe that the host empties now and then, never blocking.

The first part of what a batch prints is written at once, so that it is there when the script crashes or
hangs; of the rest the newest is kept and written when the batch ends. A full pipe loses lines, never time.
"""

from __future__ import annotations

import io
import os

AT_ONCE = 32_768
NEWEST = 16_384
CUT = b"[... output left out ...]\n"


class Printed(io.TextIOBase):
    """A text stream for `sys.stdout` and `sys.stderr` over a descriptor that does not block."""

    encoding = "utf-8"

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._room = AT_ONCE
        self._waiting = bytearray()
        self._cut = False

    def write(self, text: str, /) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() takes text, not {type(text).__name__}")
        self._waiting += text.encode("utf-8", "backslashreplace")
        if self._room > 0 and "\n" in text:
            now = self._waiting[: self._room]
            self._room -= len(now)
            del self._waiting[: len(now)]
            self._send(now)
        if len(self._waiting) > 2 * NEWEST:
            del self._waiting[:-NEWEST]
            self._cut = True
        return len(text)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def end_of_batch(self) -> None:
        """Write what still waits, and begin anew."""
        if self._waiting:
            self._send((CUT if self._cut else b"") + self._waiting[-NEWEST:])
        self._waiting.clear()
        self._cut = False
        self._room = AT_ONCE

    def _send(self, output: bytes | bytearray) -> None:
        try:
            os.write(self._descriptor, output)
        except OSError:
            self._cut = True  # the pipe is full, or the script closed it: output is a courtesy
