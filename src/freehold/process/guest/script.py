# SPDX-License-Identifier: Apache-2.0
"""Loading the owner's source, and telling the owner in their own lines what went wrong."""

from __future__ import annotations

import inspect
import linecache
import sys
import traceback
from collections.abc import Callable
from types import ModuleType
from typing import Any

from .budget import CpuTimeExceeded
from .contract import Broken

FILE = "processor.py"
"""Name of the script in tracebacks."""
LONGEST_REASON = 500
LONGEST_DETAIL = 8_000


class Unfit(Exception):
    """The source does not keep the contract of `main`."""


class Script:
    """A loaded processor. `takes_event`: call `main(data, event)`, else `main(data)`."""

    def __init__(self, source: str) -> None:
        linecache.cache[FILE] = (len(source), None, source.splitlines(keepends=True), FILE)
        module = ModuleType("processor")
        module.__file__ = FILE
        sys.modules["processor"] = module  # dataclasses and pickle look their module up
        exec(compile(source, FILE, "exec", dont_inherit=True), module.__dict__)
        main = module.__dict__.get("main")
        if not callable(main):
            raise Unfit("there is no function `main(data)`")
        self.main: Callable[..., Any] = main
        self.takes_event = _takes_event(main)


def _takes_event(main: Callable[..., Any]) -> bool:
    if inspect.iscoroutinefunction(main):
        raise Unfit("`main` must be a plain function, not `async def`")
    try:
        signature = inspect.signature(main)
    except (TypeError, ValueError):
        return False  # written in C without a signature: MyT's contract
    positional = [
        parameter
        for parameter in signature.parameters.values()
        if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    ]
    # A script for MyT may have a second parameter with a default, which is then not ours to fill.
    takes_event = len(positional) > 1 and (
        positional[1].name == "event" or positional[1].default is inspect.Parameter.empty
    )
    try:
        signature.bind(*((None, None) if takes_event else (None,)))
    except TypeError:
        raise Unfit("`main` must be callable as main(data) or main(data, event)") from None
    return takes_event


def describe(error: BaseException, cpu_seconds: float) -> tuple[str, str, int | None]:
    """(one sentence, traceback of the owner's lines only, line where it happened or None)."""
    if isinstance(error, (Broken, Unfit)):
        return _cut(str(error), LONGEST_REASON), "", None
    traced = traceback.TracebackException(type(error), error, error.__traceback__, compact=True)
    _keep_own_lines(traced)
    line: int | None = traced.stack[-1].lineno if traced.stack else None
    if isinstance(error, SyntaxError) and error.filename == FILE:
        line = error.lineno
    detail = _cut("".join(traced.format()), LONGEST_DETAIL)
    return _cut(_reason(error, cpu_seconds), LONGEST_REASON), detail, line


def _reason(error: BaseException, cpu_seconds: float) -> str:
    if isinstance(error, CpuTimeExceeded):
        return f"used more than {cpu_seconds:g} s of CPU time"
    if isinstance(error, MemoryError):
        return "ran out of memory"
    if isinstance(error, SystemExit):
        return "called exit"
    if isinstance(error, SyntaxError) and error.filename == FILE:
        return f"{type(error).__name__}: {error.msg}"
    try:
        text = str(error)
    except Exception as broken:
        text = f"(its text raised {type(broken).__name__})"
    if isinstance(error, ModuleNotFoundError):
        text += "; add it to the packages of this processor"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _keep_own_lines(traced: traceback.TracebackException) -> None:
    links: list[traceback.TracebackException | None] = [traced]
    while links:
        link = links.pop()
        if link is not None:
            link.stack[:] = [frame for frame in link.stack if frame.filename == FILE]
            links += [link.__cause__, link.__context__, *(link.exceptions or ())]


def _cut(text: str, longest: int) -> str:
    """`text` as it can be encoded, at most `longest` bytes of it; of a long one the end says most."""
    encoded = text.encode("utf-8", "backslashreplace")
    if len(encoded) > longest:
        encoded = "…".encode() + encoded[3 - longest :]
    return encoded.decode("utf-8", "ignore")
