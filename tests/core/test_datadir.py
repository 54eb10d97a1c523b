# SPDX-License-Identifier: Apache-2.0
"""The data directory: made, locked, migrated from yesterday's, and refused with the reason."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from freehold.core import datadir
from freehold.core.datadir import FORMAT, MIGRATIONS, VERSION_FILE, DataDir
from freehold.core.errors import DATA_DIRECTORY, FreeholdError


def _refused(match: str) -> pytest.RaisesExc[FreeholdError]:
    return pytest.raises(FreeholdError, match=match, check=lambda cause: cause.refusal is DATA_DIRECTORY)


def _version(root: Path) -> object:
    return json.loads((root / VERSION_FILE).read_text())


def _tree(root: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else None for path in sorted(root.rglob("*"))
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "new" / "data"


# --- made -------------------------------------------------------------------------------------------


def test_naming_a_directory_touches_nothing(root: Path) -> None:
    data = DataDir(root)
    assert data.meta == root / "meta.db"
    assert not root.parent.exists()


def test_a_new_directory_has_everything(root: Path) -> None:
    data = DataDir(root)
    data.open("1.2.3")
    assert _version(root) == {"format": FORMAT, "written_by": "1.2.3"}
    for folder in (data.keys, data.log, data.telemetry.parent, data.process):
        assert folder.is_dir()
        assert folder.is_relative_to(root)
    assert not data.meta.exists()


def test_others_cannot_look_into_it(root: Path) -> None:
    usual = os.umask(0)
    try:
        DataDir(root).open("1")
    finally:
        os.umask(usual)
    assert root.stat().st_mode & 0o007 == 0
    assert (root / "keys").stat().st_mode & 0o077 == 0


def test_a_relative_directory_stays_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = DataDir(Path("data"))
    monkeypatch.chdir("/")
    data.open("1")
    assert (tmp_path / "data" / VERSION_FILE).exists()


def test_opening_again_changes_nothing(root: Path) -> None:
    DataDir(root).open("1.2.3")
    (root / "log" / "log.db").write_text("records")
    before = _tree(root)
    DataDir(root).open("1.2.4")
    assert _tree(root) == before


def test_a_folder_that_was_deleted_comes_back(root: Path) -> None:
    DataDir(root).open("1")
    (root / "process").rmdir()
    DataDir(root).open("1")
    assert (root / "process").is_dir()


# --- refused ----------------------------------------------------------------------------------------


def test_a_newer_format_is_refused_and_left_alone(root: Path) -> None:
    DataDir(root).open("1")
    (root / VERSION_FILE).write_text(json.dumps({"format": FORMAT + 1, "written_by": "99"}))
    before = _tree(root)
    with _refused(f"has format {FORMAT + 1}; this version knows up to {FORMAT}"):
        DataDir(root).open("1")
    assert _tree(root) == before


@pytest.mark.parametrize(
    "content",
    ["", "{", "1", "[]", "null", "{}", '{"format": "1"}', '{"format": 0}', '{"format": -3}', '{"format": 1.5}'],
)
def test_a_version_file_that_says_nothing_is_refused(root: Path, content: str) -> None:
    DataDir(root).open("1")
    (root / VERSION_FILE).write_text(content)
    with _refused(re.escape(str(root / VERSION_FILE))):
        DataDir(root).open("1")
    assert (root / VERSION_FILE).read_text() == content


def test_a_version_file_of_other_bytes_is_refused(root: Path) -> None:
    DataDir(root).open("1")
    (root / VERSION_FILE).write_bytes(b"\xff\xfe\x00")
    with _refused("VERSION"):
        DataDir(root).open("1")


@pytest.mark.parametrize("place", ["data", "data/below"])
def test_a_file_in_its_place_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "data").write_text("a file")
    data = DataDir(tmp_path / place)
    with _refused(re.escape(str(tmp_path / place))):
        data.open("1")
    with _refused(re.escape(str(tmp_path / place))):
        data.lock()


@pytest.fixture
def closed() -> Iterator[Path]:
    """A directory that can be reached and read by everybody, and written by nobody who is not root."""
    outer = Path(tempfile.mkdtemp())
    outer.chmod(0o755)
    inner = outer / "closed"
    inner.mkdir(mode=0o555)
    yield inner
    inner.chmod(0o755)
    shutil.rmtree(outer)


def _try_as_nobody(root: Path, results: Any) -> None:
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    for there in (root, root / "data"):
        for attempt in (lambda data: data.open("1"), DataDir.lock):
            try:
                results.put(attempt(DataDir(there)))
            except FreeholdError as refusal:
                results.put((refusal.refusal.code, refusal.detail))


def test_a_directory_that_may_not_be_written_is_refused(closed: Path) -> None:
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    child = context.Process(target=_try_as_nobody, args=(closed, results))
    child.start()
    child.join(60)
    assert child.exitcode == 0
    for there in (closed, closed, closed / "data", closed / "data"):
        code, detail = results.get()
        assert code == "data-directory.unusable"
        assert detail.startswith(f"{there}: ")
    assert list(closed.iterdir()) == []


# --- locked -----------------------------------------------------------------------------------------


def test_one_at_a_time(root: Path) -> None:
    first, second = DataDir(root), DataDir(root)
    first.open("1")
    first.lock()
    with _refused("another Freehold runs on"):
        second.lock()
    first.unlock()
    first.unlock()
    second.lock()
    second.unlock()


def test_another_process_holds_it_and_its_death_frees_it(root: Path) -> None:
    data = DataDir(root)
    data.open("1")
    script = (
        "import pathlib, sys, time\n"
        "from freehold.core.datadir import DataDir\n"
        "data = DataDir(pathlib.Path(sys.argv[1]))\n"
        "data.lock()\n"
        "print('locked', flush=True)\n"
        "time.sleep(600)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(root)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "locked\n"
        with _refused("another Freehold runs on"):
            data.lock()
        data.open("1")  # nothing has to be changed, so nothing is in the way
    finally:
        child.kill()
        child.communicate()
    data.lock()
    data.unlock()


# --- migrated ---------------------------------------------------------------------------------------


@pytest.fixture
def two_formats_later(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A version that knows two formats more than today's; the list says which migrations ran."""
    ran: list[str] = []

    def first(root: Path) -> None:
        ran.append("first")
        (root / "log").rename(root / "events")

    def second(root: Path) -> None:
        ran.append("second")
        (root / "events" / "moved").write_text("by the second")

    monkeypatch.setattr(datadir, "FORMAT", FORMAT + 2)
    monkeypatch.setitem(MIGRATIONS, FORMAT, first)
    monkeypatch.setitem(MIGRATIONS, FORMAT + 1, second)
    return ran


def _of_yesterday(root: Path) -> DataDir:
    """A directory as today's version makes it, with something in it."""
    data = DataDir(root)
    data.open("today")
    (root / "log" / "log.db").write_text("records")
    return data


def test_every_format_has_a_migration_to_the_next() -> None:
    assert set(MIGRATIONS) == set(range(1, FORMAT))


def test_yesterdays_directory_opens_today(
    root: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    _of_yesterday(root)
    ran: list[str] = request.getfixturevalue("two_formats_later")
    data = DataDir(root)
    data.open("tomorrow")
    assert ran == ["first", "second"]
    assert _version(root) == {"format": FORMAT + 2, "written_by": "tomorrow"}
    assert (root / "events" / "log.db").read_text() == "records"
    assert (root / "events" / "moved").read_text() == "by the second"
    data.open("tomorrow")
    assert ran == ["first", "second"]
    monkeypatch.setattr(datadir, "FORMAT", FORMAT)
    with _refused("this version knows up to"):
        data.open("today")


def test_a_migration_that_fails_is_named_and_those_before_it_are_kept(
    root: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    _of_yesterday(root)
    ran: list[str] = request.getfixturevalue("two_formats_later")
    whole = MIGRATIONS[FORMAT + 1]

    def broken(_: Path) -> None:
        raise RuntimeError("no room for the copy")

    monkeypatch.setitem(MIGRATIONS, FORMAT + 1, broken)
    with _refused(f"format {FORMAT + 1} cannot be migrated.*no room for the copy"):
        DataDir(root).open("tomorrow")
    assert ran == ["first"]
    assert _version(root) == {"format": FORMAT + 1, "written_by": "tomorrow"}
    monkeypatch.setitem(MIGRATIONS, FORMAT + 1, whole)
    DataDir(root).open("tomorrow")
    assert ran == ["first", "second"]
    assert (root / "events" / "log.db").read_text() == "records"


def test_a_directory_that_another_runs_on_is_not_migrated(root: Path, request: pytest.FixtureRequest) -> None:
    running = _of_yesterday(root)
    running.lock()
    ran: list[str] = request.getfixturevalue("two_formats_later")
    before = _tree(root)
    with _refused("another Freehold runs on"):
        DataDir(root).open("tomorrow")
    assert ran == []
    assert _tree(root) == before
    running.unlock()
    owner = DataDir(root)
    owner.lock()
    owner.open("tomorrow")  # under a lock of its own
    assert ran == ["first", "second"]
    with _refused("another Freehold runs on"):
        DataDir(root).lock()  # which it still has
    owner.unlock()


def test_a_version_file_is_whole_or_the_old_one(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _of_yesterday(root)
    before = _version(root)

    def no_space(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(datadir, "FORMAT", FORMAT + 1)
    monkeypatch.setitem(MIGRATIONS, FORMAT, lambda _: None)
    monkeypatch.setattr(os, "fsync", no_space)
    with _refused("No space left on device"):
        DataDir(root).open("tomorrow")
    assert _version(root) == before
