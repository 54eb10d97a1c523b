# SPDX-License-Identifier: Apache-2.0
"""The request target of a device: which channel, who, for whom, how long it waits (drogue.md 1.2). Pure.

`POST /v1/{channel}[/suffix…]?application=&device=&data_schema=&as=&ct=`; the suffix is taken and dropped,
unknown arguments are ignored.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from freehold.core.errors import NOT_FOUND, REQUEST_INVALID

ARGUMENTS = 64
"""More arguments than this in one query are nobody's mistake."""
LONGEST_WAIT = 2**32 - 1
"""What `ct` may say, in seconds; the endpoint waits for less."""

_KNOWN = ("application", "device", "data_schema", "as", "ct")
_ALIASES = {"commandTimeout": "ct"}


@dataclass(frozen=True, slots=True)
class Target:
    """A publish as its URL describes it. None is an argument that was not given.

    `wait` is `ct` in seconds, 0 for none. `root` is True for `/`, which has no channel.
    """

    channel: str = ""
    application: str | None = None
    device: str | None = None
    data_schema: str | None = None
    on_behalf: str | None = None
    wait: int = 0
    root: bool = False


def parse(target: bytes) -> Target:
    """The meaning of a request target in origin or absolute form (RFC 9112, 3.2).

    Raises `resource.not-found` for another path and `request.invalid` for what cannot be read.
    """
    path, _, query = target.partition(b"?")
    if not path.startswith(b"/"):
        path = _path_of_absolute(path)
    if path == b"/":
        return Target(root=True)
    segments = path.split(b"/", 3)
    if len(segments) < 3 or segments[1] != b"v1" or not segments[2]:
        raise NOT_FOUND.error("devices publish with POST /v1/<channel>")
    arguments = _arguments(query)
    return Target(
        _text(segments[2], "channel"),
        arguments.get("application"),
        arguments.get("device"),
        arguments.get("data_schema") or None,
        arguments.get("as"),
        _seconds(arguments.get("ct")),
    )


def _path_of_absolute(target: bytes) -> bytes:
    scheme, separator, rest = target.partition(b"://")
    if not separator or scheme.lower() not in (b"http", b"https"):
        raise REQUEST_INVALID.error("the request target is neither a path nor an http URL")
    _, slash, path = rest.partition(b"/")
    return slash + path or b"/"


def _arguments(query: bytes) -> dict[str, str]:
    """The arguments that mean something, form-decoded. One that is there twice is refused: which one counts?"""
    found: dict[str, str] = {}
    if not query:
        return found
    pairs = query.split(b"&", ARGUMENTS)
    if len(pairs) > ARGUMENTS:
        raise REQUEST_INVALID.error(f"a query has at most {ARGUMENTS} arguments")
    for pair in pairs:
        raw_name, _, raw_value = pair.replace(b"+", b" ").partition(b"=")
        name = unquote_to_bytes(raw_name).decode("utf-8", "replace")
        name = _ALIASES.get(name, name)
        if name not in _KNOWN:
            continue
        if name in found:
            raise REQUEST_INVALID.error(f"the argument {name} is given twice")
        found[name] = _text(raw_value, name)
    return found


def _text(raw: bytes, name: str) -> str:
    try:
        return unquote_to_bytes(raw).decode("utf-8")
    except UnicodeDecodeError:
        raise REQUEST_INVALID.error(f"{name} is not percent-encoded UTF-8") from None


def _seconds(text: str | None) -> int:
    if text is None:
        return 0
    # No `int` before this: it takes "1_0", " 1", "+1" and other alphabets' digits too.
    if not (text.isascii() and text.isdigit()) or len(text) > 10 or int(text) > LONGEST_WAIT:
        raise REQUEST_INVALID.error("ct is a whole number of seconds")
    return int(text)
