# SPDX-License-Identifier: Apache-2.0
"""The reference pages `docs/settings.md` and `docs/errors.md`, rendered from the tables that the program uses.

Pure functions: the command line writes what they return, and a test compares it with what is in the tree,
so that no page can say something else than the program does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import get_type_hints

from freehold.core import settings
from freehold.core.errors import CATALOGUE, Refusal

_NOTE = "<!-- Made from the program's own table by `freehold.core.reference`; change it there. -->"

_KINDS: dict[type, str] = {int: "whole number", float: "number", bool: "true or false", str: "text", Path: "path"}

_SETTINGS_INTRO = """\
# Settings

Every setting has a default that works. A value comes from one of four places, the later the stronger:

1. the default,
2. the TOML file that `--config` or `FREEHOLD_CONFIG` names,
3. the environment,
4. the command line.

The three ways to set the same value:

```toml
# freehold.toml
[mqtt]
port = 1884
```

```sh
FREEHOLD_MQTT_PORT=1884 freehold up
freehold up --mqtt-port 1884
```

A name that no setting has is refused, in the file as in the environment, so that a typing error never
silently means the default. A change takes effect at the next start."""

_ERRORS_INTRO = """\
# Errors

Every refusal of Freehold is one of this list. Its code never changes its meaning; titles and advice may get
better. Each protocol says it in its own words:

- **HTTP**: the status, and a body `application/problem+json` (RFC 9457) with `code`, `title`, `detail` and
  `remedy`. Interfaces that follow Drogue's shapes answer `{"error": …, "message": …}` instead, with the word
  named under *Drogue's body*.
- **MQTT 5**: the reason code, with a reason string that ends in the code in brackets.
- **CoAP**: the response code, with the same text as diagnostic payload."""


def settings_page() -> str:
    """`docs/settings.md`: one section for each section of the settings, one row for each setting."""
    parts = [_NOTE, _SETTINGS_INTRO]
    for prefix, heading, text in _sections():
        rows = [row for row in settings.TABLE if row.name.rpartition(".")[0] == prefix]
        parts.append(f"## {heading}\n\n{text}")
        parts.append(_table(("setting", "type", "default", "bounds", "what it is"), map(_setting_cells, rows)))
    parts.append(_spellings())
    return "\n\n".join(parts) + "\n"


def errors_page() -> str:
    """`docs/errors.md`: an overview, then one section for each entry of the catalogue, under its anchor."""
    overview = _table(
        ("code", "HTTP", "MQTT 5", "CoAP", "title"),
        (
            (f"[`{entry.code}`](#{_anchor(entry)})", str(entry.status), f"0x{entry.mqtt:02X}", entry.coap, entry.title)
            for entry in CATALOGUE.values()
        ),
    )
    return "\n\n".join([_NOTE, _ERRORS_INTRO, overview, *map(_error_section, CATALOGUE.values())]) + "\n"


PAGES: dict[str, Callable[[], str]] = {"settings.md": settings_page, "errors.md": errors_page}
"""File name in `docs/` → the function that renders it."""


def _sections() -> list[tuple[str, str, str]]:
    """(prefix of the names, heading, text) in the order of declaration, those without a section first."""
    kinds = get_type_hints(settings.Settings)
    found = [("", "General", "What concerns the whole installation.")]
    for item in dataclasses.fields(settings.Settings):
        kind = kinds[item.name]
        if dataclasses.is_dataclass(kind):
            found.append((item.name, f"`[{item.name}]`", (kind.__doc__ or "").strip()))
    return found


def _setting_cells(row: settings.Row) -> Sequence[str]:
    return (f"`{row.name}`", _KINDS[row.kind], f"`{_toml(row.default)}`", _bounds(row), row.help)


def _bounds(row: settings.Row) -> str:
    if row.choices:
        return ", ".join(f"`{choice}`" for choice in row.choices)
    least = [] if row.least is None else [f"at least {_number(row.least)}"]
    most = [] if row.most is None else [f"at most {_number(row.most)}"]
    return ", ".join(least + most)


def _spellings() -> str:
    """A setting's other two names, for those who search for one."""
    rows = ((f"`{row.name}`", f"`{row.env}`", f"`{row.flag}`") for row in settings.TABLE)
    return "## Names\n\n" + _table(("setting", "environment", "command line"), rows)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return _number(value)
    return f'"{value}"'


def _number(value: float) -> str:
    if isinstance(value, int):
        return f"{value:_}" if value >= 100_000 else str(value)
    return f"{value:g}"


def _anchor(entry: Refusal) -> str:
    return entry.anchor.partition("#")[2]


def _error_section(entry: Refusal) -> str:
    """The anchor is written out: what a renderer makes of a heading with dots differs from one to the next."""
    return (
        f'<a id="{_anchor(entry)}"></a>\n\n## `{entry.code}`\n\n**{entry.title}.** {entry.remedy}\n\n'
        f"HTTP {entry.status} {HTTPStatus(entry.status).phrase} · MQTT 5 reason 0x{entry.mqtt:02X} · "
        f"CoAP {entry.coap} · Drogue's body `{entry.legacy}`"
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
