# SPDX-License-Identifier: Apache-2.0
"""The lock files: hashes everywhere, an address nowhere, and in step with what they were made from."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LOCKS = ["run.txt", "dev.txt", "build.txt", "node.txt", "bench.txt"]
# Written in halves, so that no file of the repository holds a registry's host.
HOSTS = re.compile("|".join(["py" + "pi", "python" + "hosted", "npm" + "js", "registry" + r"\."]))


def pins(path: Path) -> dict[str, Requirement]:
    """Return the lock's requirements by canonical name."""
    found = {}
    for line in path.read_text("utf-8").splitlines():
        if line and not line.startswith((" ", "#")):
            requirement = Requirement(line.removesuffix("\\").strip())
            found[canonicalize_name(requirement.name)] = requirement
    return found


def version(requirement: Requirement) -> str:
    (specifier,) = requirement.specifier
    assert specifier.operator == "==", str(requirement)
    return specifier.version


@pytest.fixture(scope="module")
def pyproject(root: Path) -> dict[str, Any]:
    return tomllib.loads((root / "pyproject.toml").read_text("utf-8"))


def wanted(pyproject: dict[str, Any], lock: str) -> list[Requirement]:
    """Return what the lock must satisfy: the project's own requirements, a group's, or both."""
    groups = pyproject["dependency-groups"]
    own = pyproject["project"]["dependencies"]
    group = [line for line in groups.get(lock.removesuffix(".txt"), []) if isinstance(line, str)]
    lines = {"run.txt": own, "dev.txt": own + groups["build"] + group}.get(lock, group)
    return [Requirement(line) for line in lines]


@pytest.mark.parametrize("lock", [f"requirements/{name}" for name in LOCKS] + ["package-lock.json"])
def test_no_lock_names_an_address(root: Path, lock: str) -> None:
    text = (root / lock).read_text("utf-8")
    assert "://" not in text
    assert "file:" not in text
    assert not HOSTS.search(text)


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_is_exact_and_hashed(root: Path, lock: str) -> None:
    text = (root / "requirements" / lock).read_text("utf-8")
    entries = re.split(r"\n(?! )", text.strip())
    assert len(entries) == len(pins(root / "requirements" / lock)) > 0
    for entry in entries:
        assert version(Requirement(entry.split(" \\")[0]))
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry


@pytest.mark.parametrize("lock", LOCKS)
def test_the_lock_satisfies_what_it_was_made_from(root: Path, pyproject: dict[str, Any], lock: str) -> None:
    locked = pins(root / "requirements" / lock)
    asked = wanted(pyproject, lock)
    assert asked
    for requirement in asked:
        pin = locked.get(canonicalize_name(requirement.name))
        assert pin is not None, f"{requirement.name}: run scripts/lock"
        assert requirement.specifier.contains(version(pin)), f"{requirement}: run scripts/lock"


def test_the_build_tools_are_those_that_the_build_asks_for(pyproject: dict[str, Any]) -> None:
    assert pyproject["dependency-groups"]["build"] == pyproject["build-system"]["requires"]


@pytest.mark.parametrize("smaller", ["run.txt", "build.txt"])
def test_the_development_lock_holds_the_smaller_ones_pinned_alike(root: Path, smaller: str) -> None:
    development = pins(root / "requirements/dev.txt")
    for name, pin in pins(root / "requirements" / smaller).items():
        assert version(development[name]) == version(pin), name


def test_npm_packages_are_pinned_exactly_and_checked(root: Path) -> None:
    asked = json.loads((root / "package.json").read_text("utf-8"))["dependencies"]
    packages = json.loads((root / "package-lock.json").read_text("utf-8"))["packages"]
    assert packages.pop("")["dependencies"] == asked
    for name, exact in asked.items():
        assert packages[f"node_modules/{name}"]["version"] == exact
    for name, package in packages.items():
        assert package["integrity"].startswith("sha512-"), name
        assert "resolved" not in package, name


def test_the_hook_asks_for_the_node_of_the_lock(hook: Any, pyproject: dict[str, Any]) -> None:
    assert pyproject["dependency-groups"]["node"] == [hook.NODE_PACKAGE]
