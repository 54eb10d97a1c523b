# SPDX-License-Identifier: Apache-2.0
"""Templates: escaped always, undefined names are errors, and every address of a file is checked."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from freehold.console import format as write
from freehold.console.static_files import StaticFiles
from freehold.core.errors import FreeholdError

TEMPLATES = Path(__file__).parent / "templates"

NO_STORE = {"Cache-Control": "no-store"}
"""Pages show what only this person may see, and secrets once: no cache keeps them."""


class Renderer:
    """Makes answers of templates."""

    def __init__(self, static: StaticFiles) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters.update(
            visible=write.visible,
            number=write.number,
            value=write.value,
            rate=write.rate,
            iso=write.iso,
            size=write.size,
            ago=_ago,
            pretty=write.pretty_json,
            payload=write.payload,
            preview=write.preview,
            lines=write.visible_lines,
            prose=write.prose,
            query=query_value,
            tojson_plain=_plain_json,
        )
        # What the frame shows; a page that has no frame, or no section, leaves it at that.
        self._environment.globals.update(
            asset=static.url, done="", section="", application_name="", tab_name="", open_new=False
        )

    def html(self, template: str, /, **context: Any) -> str:
        return self._environment.get_template(template).render(context)

    def page(self, template: str, /, *, status: int = 200, **context: Any) -> HTMLResponse:
        return HTMLResponse(self.html(template, **context), status, headers=NO_STORE)

    def problem(self, refused: FreeholdError, *, fragment: bool) -> HTMLResponse:
        """A refusal: as a part of the page that asked, or as a page of its own."""
        template = "partials/problem.html" if fragment else "problem.html"
        return self.page(template, status=refused.refusal.status, refusal=refused.problem())


def query_value(text: str) -> str:
    """`text` as the value of a query parameter; surrogates that no URL can hold become `?`."""
    return quote(text, safe="", errors="replace")


def _plain_json(anything: Any) -> str:
    """JSON as `JSON.stringify` writes it, to be escaped like any text."""
    return json.dumps(anything, ensure_ascii=False, separators=(",", ":"))


def _ago(time_us: int) -> str:
    return write.ago(time.time() - time_us / 1_000_000)


DONE: Mapping[str, str] = {
    "application-created": "Application created",
    "application-deleted": "Application deleted",
    "device-deleted": "Device deleted",
    "saved": "Saved",
    "activated": "Version activated",
    "rolled-back": "Rolled back to the version before",
    "deactivated": "The processor is off: payloads are stored as they come",
    "retried": "The processor took it this time",
    "failed-again": "It failed again; the reason below is the new one",
    "some-failed-again": "Tried again; those that are left failed again",
    "enabled": "Enabled",
    "disabled": "Disabled",
}
"""`?done=` of a redirect → what is said on the next page. Only these: the address cannot make the page say things."""
