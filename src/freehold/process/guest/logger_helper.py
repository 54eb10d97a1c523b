# SPDX-License-Identifier: Apache-2.0
"""A module `loggerHelper` for scripts written for MyT, which must import it (contract myt.md 1.14).

What MyT's own offers differs by version, so this one takes everything: any attribute is there, calling it
gives something of the same kind, and a name that sounds like a log call prints its message.
"""

from __future__ import annotations

from contextlib import suppress
from types import FunctionType, ModuleType
from typing import Any

SPEAKING = frozenset(
    ["critical", "debug", "error", "exception", "fatal", "info", "log", "print", "warn", "warning", "write"]
)


class Anything:
    """Takes every attribute, call and `with`; prints when its name is that of a log call."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Anything:
        if name.startswith("__"):
            raise AttributeError(name)
        return Anything(name)

    def __call__(self, *arguments: Any, **_: Any) -> Any:
        if len(arguments) == 1 and isinstance(arguments[0], FunctionType):
            return arguments[0]  # used as a decorator
        if self._name.lower() in SPEAKING:
            _print(self._name.lower(), arguments)
            return None
        return Anything("logger")

    def __enter__(self) -> Anything:
        return self

    def __exit__(self, *_: object) -> None:
        return None


def _print(level: str, arguments: tuple[Any, ...]) -> None:
    if level == "log" and len(arguments) > 1 and isinstance(arguments[0], int):
        arguments = arguments[1:]  # logging.log(level, message, ...)
    message = " ".join(map(str, arguments))
    if len(arguments) > 1 and isinstance(arguments[0], str):
        with suppress(TypeError, ValueError):  # no format string after all
            message = arguments[0] % arguments[1:]
    print(message if level in ("print", "write", "log") else f"{level.upper()} {message}")


def module() -> ModuleType:
    """A fresh module object for `sys.modules["loggerHelper"]`."""
    made = ModuleType("loggerHelper")
    root = Anything("loggerHelper")
    made.__dict__.update(
        {
            "__getattr__": root.__getattr__,
            "__all__": ["log", "logger"],
            "log": Anything("log"),
            "logger": Anything("logger"),
        }
    )
    return made
