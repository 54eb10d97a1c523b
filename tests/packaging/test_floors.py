# SPDX-License-Identifier: Apache-2.0
"""The import contracts of pyproject.toml, tried on small houses: what they let pass and what they stop."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ALLOWED = [
    ("events.models", "core.ids"),
    ("audit.tree", "vault.keys"),
    ("registry.service", "identity.interfaces"),
    ("connect.mqtt.session", "log.interfaces"),
    ("connect.gate", "commands.interfaces"),
    ("twins.service", "store.service"),
    ("runtime.up", "log.sqlite.engine"),
    ("runtime.up", "console.pages"),
    ("cli.main", "runtime.up"),
]

FORBIDDEN = [
    ("core.ids", "events.models", "Floors"),
    ("events.models", "vault.keys", "Floors"),
    ("log.reader", "identity.service", "Floors"),
    ("log.reader", "registry.interfaces", "Floors"),
    ("identity.service", "registry.service", "Floors"),
    ("store.service", "twins.interfaces", "Floors"),
    ("connect.gate", "console.interfaces", "Floors"),
    ("console.pages", "runtime.up", "Floors"),
    ("runtime.up", "cli.main", "Floors"),
    ("connect.gate", "commands.service", "Neighbours"),
    ("twins.service", "gateway.service", "Neighbours"),
    ("registry.service", "log.interfaces", "Registry and log"),
    ("cli.torture", "log.sqlite.engine", "Engines"),
    ("process.pipeline", "store.sqlite.engine", "Engines"),
]


def house(folder: Path, importer: str, imported: str) -> None:
    """Write a package `freehold` of two modules, one of which imports the other, and a composition root."""
    modules = {"runtime.root": "", imported: "", importer: f"import freehold.{imported}\n"}
    for module, body in modules.items():
        path = folder / "freehold" / Path(*module.split("."))
        path.parent.mkdir(parents=True, exist_ok=True)
        for parent in path.relative_to(folder).parents[:-1]:
            (folder / parent / "__init__.py").touch()
        path.with_suffix(".py").write_text(body, "utf-8")


def lint(root: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    command = ["from importlinter.cli import lint_imports_command; lint_imports_command()", "--no-cache"]
    return subprocess.run(
        [sys.executable, "-c", *command, "--config", str(root / "pyproject.toml")],
        cwd=folder,
        env={"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("importer", "imported"), ALLOWED, ids=lambda name: name)
def test_a_way_down_is_open(root: Path, tmp_path: Path, importer: str, imported: str) -> None:
    house(tmp_path, importer, imported)
    done = lint(root, tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 dependencies" in done.stdout


@pytest.mark.parametrize(("importer", "imported", "contract"), FORBIDDEN, ids=lambda name: name)
def test_any_other_way_is_stopped(root: Path, tmp_path: Path, importer: str, imported: str, contract: str) -> None:
    house(tmp_path, importer, imported)
    done = lint(root, tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    broken = [line for line in done.stdout.splitlines() if line.endswith("BROKEN")]
    assert any(line.startswith(contract) for line in broken), done.stdout
    assert f"freehold.{imported}" in done.stdout
