# SPDX-License-Identifier: Apache-2.0
"""Environments made by the real pip from wheels that were made on the spot: no network."""

from __future__ import annotations

import asyncio
import os
import stat
import time
from pathlib import Path

import pytest

from freehold.core.errors import FreeholdError
from freehold.process import environments, pip
from freehold.process.environments import Environments
from tests.process.making import make_wheel

APP = "app-1"


@pytest.fixture
def made(tmp_path: Path, wheels: Path) -> Environments:
    return Environments(tmp_path / "process")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_a_package_and_what_it_needs(made: Environments) -> None:
    lines: list[str] = []
    environment = await made.provide(APP, ["needy"], progress=lines.append)
    assert environment.resolved == ("needy==2.0", "thermo==1.1")
    assert (environment.path / "needy.py").is_file()
    assert any("Successfully installed" in line for line in lines)


async def test_a_version_is_honoured(made: Environments) -> None:
    environment = await made.provide(APP, ["thermo==1.0"])
    assert environment.resolved == ("thermo==1.0",)
    assert "1.0" in (environment.path / "thermo/__init__.py").read_text()


async def test_the_same_packages_are_installed_once(made: Environments) -> None:
    first = await made.provide(APP, ["thermo"])
    lines: list[str] = []
    assert await made.provide(APP, ["thermo"], progress=lines.append) == first
    assert lines == []
    assert made.find(APP, ["thermo"]) == first
    assert made.find("another", ["thermo"]) is None


async def test_pins_install_what_was_tried_then(made: Environments, wheels: Path) -> None:
    """A newer version came out meanwhile; a lost environment comes back as it was."""
    first = await made.provide(APP, ["thermo"])
    made.forget(APP)
    make_wheel(wheels, "thermo", "9.0", {"thermo/__init__.py": ""})
    again = await made.provide(APP, ["thermo"], pins=first.resolved)
    assert again == first


@pytest.mark.parametrize(
    ("package", "told"),
    [
        ("no-such-package-xyz", "no-such-package-xyz: there is no wheel of it"),
        ("thermo==7.7", "thermo==7.7: there is no wheel of it"),
        ("orphan", "nowhere-to-be-found: there is no wheel of it"),
    ],
)
async def test_29_the_package_that_fails_is_named(made: Environments, tmp_path: Path, package: str, told: str) -> None:
    with pytest.raises(FreeholdError) as caught:
        await made.provide(APP, ["needy", package])
    assert caught.value.refusal.code == "processor.package.invalid"
    assert caught.value.detail.startswith(told)
    assert names(tmp_path / "process" / APP) == []


async def test_no_code_of_a_package_runs(made: Environments, wheels: Path, tmp_path: Path) -> None:
    """Neither a `.pth` file nor a source distribution gets to run here."""
    trap = tmp_path / "trap"
    code = f"open({str(trap)!r}, 'w').close()"
    make_wheel(wheels, "sly", "1.0", {"sly.pth": f"import os; {code}\n", "sly/__init__.py": code})
    await made.provide(APP, ["sly"])
    source = wheels / "built-1.0"
    source.mkdir()
    (source / "setup.py").write_text(f"{code}\nfrom setuptools import setup\nsetup(name='built', version='1.0')\n")
    import tarfile

    with tarfile.open(wheels / "built-1.0.tar.gz", "w:gz") as archive:
        archive.add(source, "built-1.0")
    with pytest.raises(FreeholdError, match="built: there is no wheel of it"):
        await made.provide(APP, ["built"])
    assert not trap.exists()


async def test_every_file_can_be_read_by_the_sandbox(made: Environments) -> None:
    old = os.umask(0o077)
    try:
        environment = await made.provide(APP, ["needy"])
    finally:
        os.umask(old)
    for place, folders, files in os.walk(environment.path):
        for name in [*folders, *files]:
            mode = (Path(place) / name).stat().st_mode
            assert mode & stat.S_IROTH
            assert not mode & (stat.S_IWOTH | stat.S_ISUID | stat.S_ISGID)
            assert mode & stat.S_IXOTH or not stat.S_ISDIR(mode)


async def test_secrets_of_the_platform_do_not_reach_pip(
    made: Environments, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FREEHOLD_VAULT_KEY", "a secret")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    found = pip.environment(tmp_path)
    assert "a secret" not in found.values()
    assert found["HTTPS_PROXY"] == "http://proxy.example:3128"


async def test_time_is_bounded(tmp_path: Path, wheels: Path) -> None:
    made = Environments(tmp_path / "process", seconds=0.01)
    with pytest.raises(FreeholdError, match=r"thermo: not installed within 0\.01 s"):
        await made.provide(APP, ["thermo"])
    assert names(tmp_path / "process" / APP) == []


async def test_size_is_bounded(tmp_path: Path, wheels: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "LOOK", 0.001)
    make_wheel(wheels, "fat", "1.0", {"fat.txt": "x" * 20_000_000})
    made = Environments(tmp_path / "process", size=1_048_576)
    with pytest.raises(FreeholdError, match="fat: more than 1 MB"):
        await made.provide(APP, ["fat"])
    assert names(tmp_path / "process" / APP) == []


async def test_a_size_that_nobody_saw_in_time_is_seen_at_the_end(tmp_path: Path, wheels: Path) -> None:
    make_wheel(wheels, "fat", "1.0", {"fat.txt": "x" * 20_000_000})
    made = Environments(tmp_path / "process", size=1_048_576)
    with pytest.raises(FreeholdError, match="fat: more than 1 MB"):
        await made.provide(APP, ["fat"])


async def test_two_at_the_same_time_give_one(made: Environments, tmp_path: Path) -> None:
    first, second = await asyncio.gather(made.provide(APP, ["thermo"]), made.provide(APP, ["thermo"]))
    assert first == second
    assert names(tmp_path / "process" / APP) == [first.path.name]


async def test_a_cancelled_build_leaves_nothing(made: Environments, tmp_path: Path) -> None:
    building = asyncio.create_task(made.provide(APP, ["needy"]))
    await asyncio.sleep(0.3)
    building.cancel()
    with pytest.raises(asyncio.CancelledError):
        await building
    assert [name for name in names(tmp_path / "process" / APP) if name.startswith(".build-")] == []


async def test_a_full_disk_is_told(made: Environments, tmp_path: Path) -> None:
    (tmp_path / "process").write_text("not a folder")
    with pytest.raises(FreeholdError, match="cannot be kept"):
        await made.provide(APP, ["thermo"])


def test_unused_environments_go(tmp_path: Path) -> None:
    made = Environments(tmp_path)
    folder = tmp_path / APP
    used = environments.environment_name(["numpy"])
    for age, name in enumerate(["env-1", "env-2", "env-3", "env-4", "env-5", used, ".build-old", ".build-new"]):
        (folder / name / "x").mkdir(parents=True)
        seconds = 60 if name == ".build-new" else 10_000 + age
        os.utime(folder / name, (time.time() - seconds, time.time() - seconds))
    (folder / "env-fresh").mkdir()
    made.remove_unused(APP, [["numpy"]])
    assert names(folder) == sorted([".build-new", "env-1", "env-2", "env-fresh", used])
    made.remove_unused("never seen", [])


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        (["ERROR: No matching distribution found for x==1"], "x==1: there is no wheel"),
        (
            ["ERROR: Cannot install a and b==1 because these package versions have conflicting dependencies."],
            "a: Cannot install a and b==1",
        ),
        (["ERROR: Could not install packages due to an OSError: [Errno 28] No space left"], "p, q: Could not install"),
        (["WARNING: something", "no error"], "p, q: pip failed without a reason"),
        ([], "p, q: pip failed without a reason"),
    ],
)
def test_pips_words_become_one_sentence(lines: list[str], told: str) -> None:
    assert pip.explain(lines, ["p", "q"]).startswith(told)
