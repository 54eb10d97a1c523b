# SPDX-License-Identifier: Apache-2.0
"""The third-party files as they are shipped: whole, licensed, small, and content with a strict CSP."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import ModuleType

import pytest

LIBRARIES = ["ace", "htmx", "icons", "tabler", "uplot"]
LARGEST_TOTAL = 1_600_000


@pytest.fixture(scope="module")
def vendor(root: Path, hook: ModuleType) -> Path:
    hook.ensure_vendor(root)
    return Path(root / hook.VENDOR)


def test_the_libraries_are_those_that_notice_names(vendor: Path, root: Path) -> None:
    assert sorted(path.name for path in vendor.iterdir() if path.is_dir()) == LIBRARIES
    notice = (root / "NOTICE").read_text("utf-8")
    assert re.findall(r"^  (\w+) ", notice, re.MULTILINE) == LIBRARIES


@pytest.mark.parametrize("library", LIBRARIES)
def test_each_library_carries_its_licence(vendor: Path, library: str) -> None:
    text = (vendor / library / "LICENSE").read_text("utf-8")
    assert re.search(r"Permission|Redistribution", text)


def test_the_whole_stays_small(vendor: Path, hook: ModuleType) -> None:
    assert sum((vendor / path).stat().st_size for path in hook.files_below(vendor)) < LARGEST_TOTAL


def test_style_sheets_refer_to_shipped_files_only_and_to_all_pictures(vendor: Path, hook: ModuleType) -> None:
    referred = set()
    for sheet in vendor.rglob("*.css"):
        for url in re.findall(r"url\(\s*[\"']?([^\"')]+)", sheet.read_text("utf-8")):
            if not url.startswith(("data:", "#")):
                target = (sheet.parent / url).resolve()
                assert target.is_file(), f"{sheet.name}: {url}"
                referred.add(target)
    pictures = {path.resolve() for path in (vendor / "ace/css").iterdir() if path.is_file()}
    assert pictures - referred == {(vendor / "ace/css/ace.css").resolve()}


def test_only_htmx_can_evaluate_text_and_has_a_switch_against_it(vendor: Path) -> None:
    """A page under `script-src 'self'` must not need eval; htmx guards its own by `allowEval`."""
    evaluating = {
        script.name for script in vendor.rglob("*.js") if re.search(r"\beval\(|\bFunction\(", script.read_text("utf-8"))
    }
    assert evaluating == {"htmx.min.js"}
    assert "allowEval" in (vendor / "htmx/htmx.min.js").read_text("utf-8")


def test_the_editor_can_do_without_inline_styles(vendor: Path) -> None:
    """With `useStrictCSP` Ace injects no style element; its sheets are then ours to link."""
    assert "useStrictCSP" in (vendor / "ace/ace.js").read_text("utf-8")
    for theme in ("github_light_default", "tomorrow_night"):
        script = (vendor / f"ace/theme-{theme}.js").read_text("utf-8")
        css_class = re.search(r'cssClass="([\w-]+)"', script)
        assert css_class is not None
        sheet = (vendor / f"ace/css/theme/{theme}.css").read_text("utf-8")
        assert f".{css_class[1]} .ace_keyword" in sheet


def test_every_icon_of_the_table_is_in_the_sprite(vendor: Path, root: Path) -> None:
    table = json.loads((root / "package.json").read_text("utf-8"))["freehold"]["sprite"]
    names = table["icons"]
    assert names == sorted(set(names)), "keep the icons sorted, each once"
    found = re.findall(r'<symbol id="tabler-([\w-]+)"', (vendor / table["to"]).read_text("utf-8"))
    assert found == names
