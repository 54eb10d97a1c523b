# SPDX-License-Identifier: Apache-2.0
"""Structured logs: one line an entry, JSON or coloured text, hostile strings made harmless.

Devices choose names, topics and client ids, so whatever is logged may hold terminal escapes or line breaks
that forge entries. Every string value is cut to 500 characters and its control characters are escaped.
"""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Mapping, MutableMapping
from itertools import islice
from typing import Any, TextIO, cast

import structlog

LONGEST = 500
LONGEST_TRACE = 20_000
MOST_ITEMS = 50
MOST_DEPTH = 4


def harmless(value: object, depth: int = MOST_DEPTH) -> object:
    """`value` fit for a log line: strings without control characters (they become `\\xNN`), nothing endless."""
    if isinstance(value, bytes | bytearray | memoryview):
        value = bytes(value[:LONGEST]).decode("utf-8", "backslashreplace")
    if isinstance(value, str):
        return _printable(value if len(value) <= LONGEST else value[:LONGEST] + "…")
    if isinstance(value, Mapping | list | tuple | set | frozenset) and depth == 0:
        return "…"
    if isinstance(value, Mapping):
        items = islice(value.items(), MOST_ITEMS)
        return {str(harmless(str(key))): harmless(item, depth - 1) for key, item in items}
    if isinstance(value, list | tuple | set | frozenset):
        return [harmless(item, depth - 1) for item in islice(value, MOST_ITEMS)]
    if value is None or isinstance(value, bool | int | float):
        return value
    return harmless(repr(value))


def _printable(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else _escape(c) for c in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def _harmless_trace(trace: str) -> str:
    """A trace keeps its lines; each is set in, so that none which a message holds passes for an entry of its own."""
    if len(trace) > LONGEST_TRACE:
        trace = "…" + trace[-LONGEST_TRACE:]  # the end says what happened
    return "\n".join("  " + _printable(line) for line in trace.split("\n"))


def _make_harmless(_: Any, __: str, entry: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in entry.items():
        if key in ("exception", "stack"):
            entry[key] = _harmless_trace(str(value))
        elif not key.startswith("_"):  # structlog's own, taken out before anything is written
            entry[key] = harmless(value)
    return entry


class _StandardError(io.TextIOBase):
    """Whatever `sys.stderr` is at the moment of writing: loggers are made once and outlive a replaced stream."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


_standard_error = cast(TextIO, _StandardError())


def configure(*, form: str = "auto", level: str = "info", role: str = "") -> None:
    """Set up logging of this process to standard error. `role` is on every line when given."""
    as_text = form == "text" or (form == "auto" and sys.stderr.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _make_harmless,
    ]
    last = (
        # Without the local variables that a richer trace would print: there may be secrets among them.
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        if as_text
        else structlog.processors.JSONRenderer()
    )
    number = getattr(logging, level.upper())
    structlog.configure(
        processors=[*shared, last],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=_standard_error),
        cache_logger_on_first_use=True,
    )
    # Libraries log through the standard module: only what concerns the owner, in the same form.
    handler = logging.StreamHandler(_standard_error)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processor=last))
    logging.basicConfig(handlers=[handler], level=max(number, logging.WARNING), force=True)
    if role:
        structlog.contextvars.bind_contextvars(role=role)
