# SPDX-License-Identifier: Apache-2.0
"""The one directory that holds everything an installation knows, with a version file and a lock.

Format numbers only grow. `open` refuses a directory of a newer format, migrates an older one step by step,
and changes none that another Freehold has locked.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from freehold.core.errors import DATA_DIRECTORY

VERSION_FILE = "VERSION"

FORMAT = 1
"""Layout of the directory as this version writes it. Raise it together with an entry in MIGRATIONS."""

MIGRATIONS: dict[int, Callable[[Path], None]] = {}
"""Format n → the function that turns a directory of format n into one of format n + 1."""


class DataDir:
    """Paths inside a data directory. Making one touches nothing; `open` does."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self._lock: IO[str] | None = None

    @property
    def keys(self) -> Path:
        return self.root / "keys"

    @property
    def meta(self) -> Path:
        """Registry, identity, commands, processors: the meta database (SQLite)."""
        return self.root / "meta.db"

    @property
    def log(self) -> Path:
        return self.root / "log"

    @property
    def telemetry(self) -> Path:
        return self.root / "store" / "telemetry.db"

    @property
    def process(self) -> Path:
        """One folder per application uid: processor versions and package environments."""
        return self.root / "process"

    def open(self, created_by: str) -> None:
        """Make or migrate the directory and all folders in it; one that is up to date is left as it is.

        Raises `DATA_DIRECTORY` when it cannot be written, was made by a newer version, or must be changed while
        another Freehold runs on it.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o750)
            if self._format() != FORMAT:
                with self._locked():
                    self._bring_up_to_date(created_by)
            self.keys.mkdir(exist_ok=True, mode=0o700)
            for folder in (self.log, self.telemetry.parent):
                folder.mkdir(exist_ok=True, mode=0o750)
            # Sandboxed workers run under uids of their own and must reach their folder below this one.
            self.process.mkdir(exist_ok=True, mode=0o755)
            for folder in (self.root, self.root.parent):
                _sync_directory(folder)
        except OSError as cause:
            raise DATA_DIRECTORY.error(f"{self.root}: {cause}") from cause

    def _format(self) -> int | None:
        """The format that the version file names; None where there is no such file."""
        try:
            found = json.loads((self.root / VERSION_FILE).read_text())["format"]
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as cause:
            raise DATA_DIRECTORY.error(f"{self.root / VERSION_FILE} is not a version file: {cause!r}") from cause
        if not isinstance(found, int) or found < 1:
            raise DATA_DIRECTORY.error(f"{self.root / VERSION_FILE} names the format {found!r}")
        if found > FORMAT:
            raise DATA_DIRECTORY.error(f"{self.root} has format {found}; this version knows up to {FORMAT}")
        return found

    def _bring_up_to_date(self, created_by: str) -> None:
        found = self._format() or FORMAT  # again: somebody may have been quicker
        for step in range(found, FORMAT):
            try:
                MIGRATIONS[step](self.root)
            except Exception as cause:
                raise DATA_DIRECTORY.error(f"{self.root}: format {step} cannot be migrated: {cause!r}") from cause
            # After each: a migration that was done must not run again after a crash in the next one.
            self._write_version(step + 1, created_by)
        self._write_version(FORMAT, created_by)

    def _write_version(self, number: int, created_by: str) -> None:
        _write_durably(self.root / VERSION_FILE, json.dumps({"format": number, "written_by": created_by}) + "\n")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        if self._lock is not None:
            yield
            return
        self.lock()
        try:
            yield
        finally:
            self.unlock()

    def lock(self) -> None:
        """Claim the directory for this process until it ends. Raises `DATA_DIRECTORY` when it is claimed."""
        try:
            handle = (self.root / "lock").open("a+")
        except OSError as cause:
            raise DATA_DIRECTORY.error(f"{self.root}: {cause}") from cause
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            handle.close()
            raise DATA_DIRECTORY.error(f"another Freehold runs on {self.root}") from None
        self._lock = handle

    def unlock(self) -> None:
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def _write_durably(path: Path, text: str) -> None:
    """Replace `path` so that a power cut leaves the old or the new content, never a part."""
    temporary = path.with_suffix(".new")
    with temporary.open("w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    temporary.replace(path)
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    """Make what was created or renamed in `path` survive a power cut."""
    with suppress(OSError):  # some file systems cannot, and some parents may not be read: then nothing is to be had
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
