# SPDX-License-Identifier: Apache-2.0
"""A disk that fails on command and that remembers what a power cut would leave of it: an SQLite file layer.

It stands on the ordinary one. Each write, truncation and sync is an operation with a number. `fail` makes
operations fail as real disks do; `cut` keeps, at given operations, the state that the medium would have:
everything that was synced, and of the rest whatever a seeded chance says, since a kernel writes pages back
in any order. A sync that fails is the kernel's cruel one: what it failed to write counts as written and is
never tried again, so only data that is written anew can still get there.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import apsw

Kind = Literal["short-write", "eio-write", "eio-sync", "enospc"]
KINDS: tuple[Kind, ...] = ("short-write", "eio-write", "eio-sync", "enospc")

_FAILURES: dict[Kind, tuple[int, str]] = {
    "short-write": (apsw.SQLITE_FULL, "database or disk is full"),
    "eio-write": (apsw.SQLITE_IOERR_WRITE, "disk I/O error"),
    "eio-sync": (apsw.SQLITE_IOERR_FSYNC, "disk I/O error"),
    "enospc": (apsw.SQLITE_FULL, "database or disk is full"),
}
"""What the ordinary layer makes of them: SQLite's code and words."""

Change = tuple[int, bytes | None]
"""Bytes written at an offset; None for a truncation to that size."""


@dataclass
class _Medium:
    """One file as the medium has it, and the changes that only the page cache has."""

    safe: bytearray
    pending: list[Change] = field(default_factory=list)

    def settle(self, keep: Callable[[], bool]) -> None:
        """Let each pending change reach the medium if `keep` says so, and forget the others."""
        for change in self.pending:
            if keep():
                _apply(self.safe, change)
        self.pending.clear()

    def after_a_cut(self, chance: random.Random) -> bytes:
        left = bytearray(self.safe)
        share = chance.choice((0.0, 0.5, 0.9, 1.0))
        for change in self.pending:
            if chance.random() < share:
                _apply(left, change)
        return bytes(left)


class Disk(apsw.VFS):
    """Pass `disk.name` as the log's `vfs`. Use as a context manager; all files must be closed before its end."""

    def __init__(self, name: str, seed: int) -> None:
        super().__init__(name, "")
        self.name = name
        self.operations = 0
        self.failed = 0
        self._chance = random.Random(seed)
        self._lock = threading.RLock()
        self._media: dict[str, _Medium] = {}
        self._kind: Kind | None = None
        self._before, self._left = 0, 0
        self._cuts: dict[int, Callable[[dict[str, bytes]], None]] = {}

    def fail(self, kind: Kind, *, before: int = 0, count: int | None = None) -> None:
        """Fail `count` operations of this kind (None: all) after the next `before` of them."""
        with self._lock:
            self._kind = kind
            self._before = before
            self._left = count if count is not None else 1 << 62

    def heal(self) -> None:
        with self._lock:
            self._kind = None

    def cut(self, after: int, take: Callable[[dict[str, bytes]], None]) -> None:
        """At the `after`-th operation from now, give `take` every file (path → bytes) as a power cut would leave it."""
        with self._lock:
            self._cuts[self.operations + after] = take

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        file = _File(self, name, flags)
        if isinstance(name, apsw.URIFilename):
            name = name.filename()
        with self._lock:
            if name is not None and name not in self._media:
                self._media[name] = _Medium(bytearray(Path(name).read_bytes()))
        return file

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        super().xDelete(filename, syncdir)
        with self._lock:
            self._media.pop(filename, None)

    def write(self, path: str, data: bytes, offset: int, write: Callable[[bytes, int], None]) -> None:
        with self._operation():
            broken = self._broken("short-write", "eio-write", "enospc")
            if broken == "short-write":
                data = data[: len(data) // 2]
            if broken is None or broken == "short-write":
                write(data, offset)
                self._media[path].pending.append((offset, data))
            if broken is not None:
                raise _failure(broken)

    def truncate(self, path: str, size: int, truncate: Callable[[int], None]) -> None:
        with self._operation():
            truncate(size)
            self._media[path].pending.append((size, None))

    def sync(self, path: str) -> None:
        # The files are never really synced: no machine loses its power here, and the tests are quick.
        with self._operation():
            if self._broken("eio-sync"):
                self._media[path].settle(lambda: self._chance.random() < 0.5)
                raise _failure("eio-sync")
            self._media[path].settle(lambda: True)

    @contextmanager
    def _operation(self) -> Iterator[None]:
        with self._lock:
            take = self._cuts.pop(self.operations, None)
            if take is not None:
                take({path: medium.after_a_cut(self._chance) for path, medium in self._media.items()})
            self.operations += 1
            yield

    def _broken(self, *kinds: Kind) -> Kind | None:
        if self._kind not in kinds:
            return None
        if self._before:
            self._before -= 1
            return None
        if not self._left:
            return None
        self._left -= 1
        self.failed += 1
        return self._kind


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__("", name, flags)
        self._disk = disk
        self._path = name.filename() if isinstance(name, apsw.URIFilename) else name

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        if self._path is None:
            super().xWrite(data, offset)  # a temporary file: nothing of it matters
        else:
            self._disk.write(self._path, data, offset, super().xWrite)

    def xTruncate(self, size: int) -> None:  # noqa: N802
        if self._path is None:
            super().xTruncate(size)
        else:
            self._disk.truncate(self._path, size, super().xTruncate)

    def xSync(self, flags: int) -> None:  # noqa: N802
        if self._path is not None:
            self._disk.sync(self._path)


def _failure(kind: Kind) -> Exception:
    code, words = _FAILURES[kind]
    failure = apsw.exception_for(code)
    failure.args = (words,)
    return failure


def _apply(content: bytearray, change: Change) -> None:
    offset, data = change
    if data is None:
        del content[offset:]
    end = offset + len(data or b"")
    if len(content) < end:
        content.extend(bytes(end - len(content)))
    if data is not None:
        content[offset:end] = data
