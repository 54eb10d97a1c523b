# SPDX-License-Identifier: Apache-2.0
"""The shell scripts behind the Makefile, driven with a PATH of our own making."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import needs

TOO_OLD = "exit 1"
WITHOUT_VENV = 'case "$2" in *ensurepip*) exit 1;; *print*) echo python3.12;; esac'
FINE = "exit 0"


def command(folder: Path, name: str, script: str) -> Path:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
    path.chmod(0o755)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    return folder


def run(script: Path, path: Path, *extra: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    search = os.pathsep.join(str(folder) for folder in (path, *extra))
    return subprocess.run(
        ["/bin/sh", str(script)],
        env={"PATH": search, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


@pytest.mark.parametrize(
    ("commands", "expected"),
    [
        ({"python3": FINE}, "python3"),
        ({"python3.11": FINE, "python3": FINE}, "python3.11"),
        ({"python3.13": TOO_OLD, "python3.11": FINE}, "python3.11"),
        ({"python3.12": WITHOUT_VENV, "python3": FINE}, "python3"),
    ],
)
def test_find_python_takes_the_first_that_runs(root: Path, path: Path, commands: dict[str, str], expected: str) -> None:
    for name, script in commands.items():
        command(path, name, script)
    done = run(root / "scripts/find-python", path)
    assert (done.returncode, done.stdout.strip()) == (0, str(path / expected)), done.stderr


@pytest.mark.parametrize(
    ("commands", "said"),
    [
        ({}, "No Python 3.11 or later. On Debian or Ubuntu: apt-get install python3"),
        ({"python3": TOO_OLD}, "No Python 3.11 or later"),
        ({"python3.12": WITHOUT_VENV}, "apt-get install python3.12-venv"),
    ],
)
def test_find_python_says_what_to_install(root: Path, path: Path, commands: dict[str, str], said: str) -> None:
    for name, script in commands.items():
        command(path, name, script)
    done = run(root / "scripts/find-python", path)
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stdout == ""


def test_find_python_takes_the_one_that_the_user_names(root: Path, path: Path) -> None:
    command(path, "python3.13", FINE)
    mine = command(path, "mine", FINE)
    assert run(root / "scripts/find-python", path, PYTHON="mine").stdout.strip() == str(mine)
    refused = run(root / "scripts/find-python", path, PYTHON="no-such")
    assert refused.returncode == 1
    assert 'at "no-such"' in refused.stderr


def test_find_python_accepts_a_real_one(root: Path) -> None:
    done = subprocess.run(
        [str(root / "scripts/find-python")],
        env={**os.environ, "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == sys.executable


# --- system packages --------------------------------------------------------------------------

DRIVEN = ["mosquitto", "mosquitto_pub", "curl", "bwrap", "chromium", "chromedriver"]


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """What the script itself is written with, real; and a library cache that knows libseccomp."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for name in ("grep", "cat", "chmod", "rm", "mktemp"):
        (folder / name).symlink_to(needs(name))
    command(folder, "ldconfig", "echo '  libseccomp.so.2 (libc6,x86-64) => /lib/libseccomp.so.2'")
    return folder


@pytest.fixture
def script(root: Path, tmp_path: Path) -> Path:
    """The script with its own idea of sbin, so that this machine's programs do not show through."""
    text = (root / "scripts/system-packages").read_text("utf-8")
    sbin = tmp_path / "sbin"
    sbin.mkdir()
    copy = tmp_path / "system-packages"
    assert ":/usr/sbin:/sbin" in text
    copy.write_text(text.replace(":/usr/sbin:/sbin", f":{sbin}").replace("/usr/sbin/", f"{sbin}/"), "utf-8")
    return copy


def test_system_packages_does_nothing_where_all_is_there(script: Path, path: Path, tools: Path) -> None:
    for name in DRIVEN:
        command(path, name, FINE)
    done = run(script, path, tools)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_system_packages_tells_a_user_what_is_skipped(script: Path, path: Path, tools: Path) -> None:
    for name in DRIVEN[1:-1]:
        command(path, name, FINE)
    command(path, "id", "echo 1000")
    command(path, "apt-get", "exit 99")
    done = run(script, path, tools)
    assert done.returncode == 0
    assert done.stdout.strip() == (
        "tests that need mosquitto chromium-driver will be skipped; "
        "as root on Debian: apt-get install mosquitto chromium-driver"
    )


def test_system_packages_installs_as_root_and_starts_no_service(
    script: Path, path: Path, tools: Path, tmp_path: Path
) -> None:
    for name in DRIVEN[2:]:
        command(path, name, FINE)
    log, policy = tmp_path / "log", tmp_path / "sbin/policy-rc.d"
    command(path, "id", "echo 0")
    command(path, "apt-get", f'echo "$@" >>{log}; {policy} >/dev/null || echo refused=$? >>{log}')
    done = run(script, path, tools)
    assert done.returncode == 0, done.stderr
    assert log.read_text("utf-8").splitlines() == [
        "update -qq",
        "refused=101",
        "install -qq --no-install-recommends mosquitto mosquitto-clients",
        "refused=101",
    ]
    assert not policy.exists()


# --- the project ------------------------------------------------------------------------------


@pytest.fixture
def checkout(root: Path, tmp_path: Path) -> Path:
    """A checkout in which .venv's python only writes down how it was called."""
    tree = tmp_path / "checkout"
    (tree / "scripts").mkdir(parents=True)
    shutil.copy(root / "scripts/install-project", tree / "scripts")
    for name in ("pyproject.toml", "hatch_build.py", "package.json", "package-lock.json"):
        (tree / name).touch()
    (tree / "licenses").mkdir()
    vendor = tree / "src/freehold/console/static/vendor"
    vendor.mkdir(parents=True)
    (vendor / "manifest.json").touch()
    (tree / ".venv/bin").mkdir(parents=True)
    command(tree / ".venv/bin", "python", f'echo "$@" >>{tree}/calls')
    return tree


def calls(checkout: Path) -> list[str]:
    log = checkout / "calls"
    return log.read_text("utf-8").splitlines() if log.exists() else []


@pytest.fixture
def basics(tmp_path: Path) -> Path:
    folder = tmp_path / "basics"
    folder.mkdir()
    for name in ("dirname", "find", "touch", "mktemp", "rm"):
        (folder / name).symlink_to(needs(name))
    return folder


def test_the_project_is_installed_again_only_after_a_change(checkout: Path, path: Path, basics: Path) -> None:
    command(path, "node", FINE)
    command(path, "npm", FINE)
    script = checkout / "scripts/install-project"

    def installs() -> int:
        done = run(script, path, basics)
        assert done.returncode == 0, done.stderr
        return sum("--editable" in call for call in calls(checkout))

    assert installs() == 1
    assert installs() == 1
    os.utime(checkout / "package-lock.json", (2**31, 2**31))
    assert installs() == 2
    os.utime(checkout / "package-lock.json", (0, 0))
    (checkout / "src/freehold/console/static/vendor/manifest.json").unlink()
    assert installs() == 3


def test_without_node_one_is_fetched_for_the_build_and_thrown_away(checkout: Path, path: Path, basics: Path) -> None:
    done = run(checkout / "scripts/install-project", path, basics)
    assert done.returncode == 0, done.stderr
    fetch, build = calls(checkout)
    folder = fetch.split("--target ")[1].split()[0]
    assert "--require-hashes" in fetch
    assert "-r requirements/node.txt" in fetch
    assert "--no-build-isolation --editable ." in build
    assert not Path(folder).exists()
