# SPDX-License-Identifier: Apache-2.0
"""The wheel and the source archive that users get: complete, and built without Node from the latter."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.parser import HeaderParser
from pathlib import Path
from types import ModuleType

import pytest

VENDOR = "freehold/console/static/vendor/"


@pytest.fixture(scope="module")
def shipped(root: Path, hook: ModuleType, wheel: Path) -> dict[str, str]:
    """The manifest of the vendor folder, which building the wheel has brought up to date."""
    manifest = json.loads((root / hook.VENDOR / "manifest.json").read_text("utf-8"))
    files: dict[str, str] = manifest["files"]
    return files


def vendored(names: list[str]) -> set[str]:
    return {name.split(VENDOR)[1] for name in names if VENDOR in name and not name.endswith("/")}


def metadata(archive: zipfile.ZipFile) -> dict[str, list[str]]:
    (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    message = HeaderParser().parsestr(archive.read(name).decode("utf-8"))
    return {key: message.get_all(key, []) for key in message}


def test_the_wheel_contains_every_third_party_file(wheel: Path, shipped: dict[str, str]) -> None:
    with zipfile.ZipFile(wheel) as archive:
        assert vendored(archive.namelist()) == {*shipped, "manifest.json"}


def test_the_wheel_is_typed_pure_and_starts_freehold(wheel: Path) -> None:
    assert wheel.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (entry_points,) = [name for name in names if name.endswith("entry_points.txt")]
        assert "freehold = freehold.cli.main:main" in archive.read(entry_points).decode("utf-8")
    assert "freehold/py.typed" in names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"freehold"}


def test_the_wheel_holds_every_module_of_the_source(wheel: Path, root: Path) -> None:
    modules = {path.relative_to(root / "src").as_posix() for path in root.glob("src/**/*.py")}
    with zipfile.ZipFile(wheel) as archive:
        assert modules <= set(archive.namelist())


def test_the_wheel_carries_licences_and_version(wheel: Path) -> None:
    import freehold

    with zipfile.ZipFile(wheel) as archive:
        fields = metadata(archive)
    assert fields["Version"] == [freehold.__version__]
    assert fields["License-Expression"] == ["Apache-2.0"]
    assert set(fields["License-File"]) == {
        "LICENSE",
        "NOTICE",
        "licenses/icons/LICENSE",
        "licenses/tabler/LICENSE",
    }


def test_a_wheel_made_from_the_source_archive_needs_neither_node_nor_network(
    source_archive: Path, wheel: Path, tmp_path: Path
) -> None:
    shutil.unpack_archive(source_archive, tmp_path / "source")
    (tree,) = (tmp_path / "source").iterdir()
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel"],
        cwd=tree,
        env={**os.environ, "PATH": str(nothing)},
        check=True,
        stdin=subprocess.DEVNULL,
    )
    (second,) = (tree / "dist").glob("*.whl")
    with zipfile.ZipFile(second) as again, zipfile.ZipFile(wheel) as first:
        assert sorted(again.namelist()) == sorted(first.namelist())


def test_the_source_archive_holds_what_building_and_testing_need(source_archive: Path) -> None:
    with tarfile.open(source_archive) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        ".ci/run",
        "LICENSE",
        "Makefile",
        "hatch_build.py",
        "package-lock.json",
        "package.json",
        "requirements/dev.txt",
        "scripts/find-python",
        "tests/conftest.py",
    } <= names
    assert not any(name.startswith((".venv", "node_modules", ".git/")) for name in names)
