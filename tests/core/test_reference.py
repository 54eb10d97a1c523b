# SPDX-License-Identifier: Apache-2.0
"""The reference pages say what the program does, all of it, and are the ones in the tree."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from freehold.core.errors import CATALOGUE, Refusal
from freehold.core.reference import PAGES, errors_page, settings_page
from freehold.core.settings import TABLE, Row

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", PAGES)
def test_the_page_in_the_tree_is_the_rendered_one(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == PAGES[name](), (
        f"docs/{name} is not what the table says; write what `freehold.core.reference.PAGES` renders"
    )


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_every_setting_is_there_with_all_its_names(row: Row) -> None:
    lines = settings_page().splitlines()
    (described,) = [line for line in lines if line.startswith(f"| `{row.name}` |") and row.env not in line]
    (named,) = [line for line in lines if line.startswith(f"| `{row.name}` |") and row.env in line]
    assert described.endswith(f"{row.help} |")
    assert f"`{row.flag}`" in named
    for bound in (row.least, row.most):
        assert bound is None or re.search(rf"at (least|most) {bound:_g}|{bound:_}|{bound}", described)
    assert all(f"`{choice}`" in described for choice in row.choices)


def test_tables_have_as_many_cells_as_heads() -> None:
    for page in (settings_page(), errors_page()):
        for table in re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE):
            counts = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
            assert len(counts) == 1, table


@pytest.mark.parametrize("entry", CATALOGUE.values(), ids=CATALOGUE)
def test_every_error_has_its_place_under_its_anchor(entry: Refusal) -> None:
    page = errors_page()
    file, _, anchor = entry.anchor.partition("#")
    assert file in PAGES
    assert page.count(f'<a id="{anchor}"></a>') == 1
    section = page.partition(f'<a id="{anchor}"></a>')[2].partition("<a id=")[0]
    assert f"## `{entry.code}`" in section
    for part in (entry.title, entry.remedy, str(entry.status), f"0x{entry.mqtt:02X}", entry.coap, entry.legacy):
        assert part in section


def test_links_within_the_pages_lead_somewhere() -> None:
    page = errors_page()
    targets = re.findall(r"\]\(#([a-z-]+)\)", page)
    assert len(targets) == len(CATALOGUE)
    assert set(targets) == set(re.findall(r'<a id="([a-z-]+)">', page))


def test_settings_that_errors_name_exist() -> None:
    """Advice such as "raise `log.queue_bytes`" must name a setting that there is."""
    sections = {row.name.partition(".")[0] for row in TABLE if "." in row.name}
    named = {name for entry in CATALOGUE.values() for name in re.findall(r"`([a-z]+\.[a-z_]+)", entry.remedy)}
    settings = {name for name in named if name.partition(".")[0] in sections}
    assert settings
    assert settings <= {row.name for row in TABLE}
