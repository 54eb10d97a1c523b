# SPDX-License-Identifier: Apache-2.0
"""The console's own files, how they are served, and what the scripts may not do."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest
from starlette.requests import Request

from freehold.console.app import NEEDED
from freehold.console.static_files import FOLDER, AssetsMissing, StaticFiles

from .conftest import World

OWN = sorted((FOLDER / "js").glob("*.js"))
TEMPLATES = sorted((FOLDER.parent / "templates").rglob("*.html"))


def request(**headers: str) -> Request:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "GET", "path": "/", "headers": pairs})


@pytest.fixture
def files(tmp_path: Path) -> StaticFiles:
    (tmp_path / "js").mkdir()
    (tmp_path / "js/a.js").write_text("export const a = 1;\n" * 100)
    (tmp_path / "one.png").write_bytes(b"\x89PNG")
    (tmp_path / "manifest.json").write_text("{}")
    return StaticFiles(tmp_path)


def test_a_file_of_this_version_is_cached_for_ever(files: StaticFiles) -> None:
    answer = files.respond(request(), files.version, "js/a.js")
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert files.url("js/a.js") == f"/static/{files.version}/js/a.js"


def test_a_page_of_before_an_upgrade_gets_the_present_file_uncached(files: StaticFiles) -> None:
    answer = files.respond(request(), "0123456789abcdef", "js/a.js")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-cache"


def test_text_is_compressed_for_who_can_read_it_and_pictures_are_not(files: StaticFiles) -> None:
    answer = files.respond(request(accept_encoding="br, gzip"), files.version, "js/a.js")
    assert answer.headers["content-encoding"] == "gzip"
    assert gzip.decompress(bytes(answer.body)) == b"export const a = 1;\n" * 100
    assert "content-encoding" not in files.respond(request(), files.version, "js/a.js").headers
    assert "content-encoding" not in files.respond(request(accept_encoding="gzip"), files.version, "one.png").headers


def test_a_browser_that_has_it_is_told_so(files: StaticFiles) -> None:
    tag = files.respond(request(), files.version, "one.png").headers["etag"]
    assert files.respond(request(if_none_match=tag), files.version, "one.png").status_code == 304


@pytest.mark.parametrize(
    "name", ["", "js", "js/b.js", "../app.py", "js/../../app.py", "/etc/passwd", "manifest.json", "js/a.js\0"]
)
def test_nothing_else_is_served(files: StaticFiles, name: str) -> None:
    assert files.respond(request(), files.version, name).status_code == 404


def test_a_change_of_any_file_is_another_version(files: StaticFiles, tmp_path: Path) -> None:
    (tmp_path / "one.png").write_bytes(b"\x89PNX")
    assert StaticFiles(tmp_path).version != files.version


def test_what_is_missing_is_named_at_start(files: StaticFiles) -> None:
    files.require("js/a.js")
    with pytest.raises(AssetsMissing, match=r"vendor/htmx\.js"):
        files.require("js/a.js", "vendor/htmx.js")
    with pytest.raises(KeyError):
        files.url("js/b.js")


def test_the_installed_console_is_whole() -> None:
    StaticFiles().require(*NEEDED)


async def test_files_over_http(world: World) -> None:
    static = StaticFiles()
    for name in (*NEEDED, "css/console.css", "img/logo.svg"):
        answer = await world.browser.get(static.url(name))
        assert answer.status_code == 200, name
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.content == (FOLDER / name).read_bytes()
    assert (await world.browser.get("/favicon.ico")).headers["content-type"] == "image/svg+xml"
    world.browser.cookies.clear()
    assert (await world.browser.get(static.url("css/console.css"))).status_code == 200


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_our_scripts_build_no_html_and_evaluate_nothing(path: Path) -> None:
    source = path.read_text()
    code = re.sub(r"//[^\n]*|/\*.*?\*/", "", source, flags=re.DOTALL)
    for forbidden in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        ".style.",
    ):
        assert forbidden not in code, forbidden
    assert len(source.splitlines()) < 200
    assert source.startswith("// SPDX-License-Identifier: Apache-2.0\n")


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_templates_never_switch_escaping_off(path: Path) -> None:
    source = path.read_text()
    for forbidden in ("| safe", "|safe", "autoescape", "Markup", "hx-on", "hx-vals='js", "javascript:"):
        assert forbidden not in source, forbidden


def test_every_icon_that_is_named_exists() -> None:
    sprite = (FOLDER / "vendor/icons/tabler.svg").read_text()
    known = set(re.findall(r'id="tabler-([a-z0-9-]+)"', sprite))
    named = {
        name for path in (*OWN, *TEMPLATES) for name in re.findall(r"""icon\(["']([a-z0-9-]+)["']""", path.read_text())
    }
    assert len(named) > 20
    assert named - known == set()
