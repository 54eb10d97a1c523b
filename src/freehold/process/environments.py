# SPDX-License-Identifier: Apache-2.0
"""Folders with the packages of processors, made by pip out of wheels only: nothing of a package runs here.

An environment is built in a temporary folder and renamed into place, so that one which is there is whole. It
is never changed afterwards: other packages are another folder, and versions with equal packages share one.
Where pip looks for packages is the owner's configuration of pip.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import time
import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path

from freehold.core.errors import PACKAGE_INVALID
from freehold.process import pip
from freehold.process.packages import canonical, environment_name

SECONDS = 300.0
"""Time for one build."""
BYTES = 1_073_741_824
"""Size of one environment, and of all that pip unpacks on the way."""
FILES = 100_000
LOOK = 0.5
"""Seconds between two looks at the size."""
LINES = 200
"""Lines of pip's output that are kept to explain a failure."""
ABANDONED = 3600.0
"""Age in seconds at which a build that nobody finished is removed."""
TRIED = 600.0
"""Age in seconds from which an environment of no version (made for a test run) may be removed."""
TRIED_KEPT = 3
"""So many of these stay, because who tries something tries it again."""
AT_ONCE = 2
"""Builds at the same time."""

_BUILD = ".build-"

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Environment:
    """A built environment: its folder, and exactly what is in it (`name==version`, sorted)."""

    path: Path
    resolved: tuple[str, ...]


class Environments:
    """Environments below `root`, a folder per application."""

    def __init__(self, root: Path, *, seconds: float = SECONDS, size: int = BYTES) -> None:
        self._root = root
        self._seconds = seconds
        self._size = size
        self._turns = asyncio.Semaphore(AT_ONCE)

    def find(self, application: str, requirements: Sequence[str]) -> Environment | None:
        """The environment of these packages (as `packages.normalise` returns them) if it is there. Blocks."""
        path = self._root / application / environment_name(requirements)
        return Environment(path, _resolved(path)) if path.is_dir() else None

    async def provide(
        self,
        application: str,
        requirements: Sequence[str],
        *,
        pins: Sequence[str] = (),
        progress: Progress | None = None,
    ) -> Environment:
        """The environment of these packages, built if need be, from `pins` where they are given.

        `progress` gets pip's output line by line. Raises `processor.package.invalid` and names the package.
        """
        found = await asyncio.to_thread(self.find, application, requirements)
        if found is not None:
            return found
        folder = self._root / application
        build = folder / f"{_BUILD}{uuid.uuid4().hex}"
        try:
            async with self._turns:
                await asyncio.to_thread(_begin, folder, build)
                await self._install(build, pins or requirements, progress or _ignore)
                path = folder / environment_name(requirements)
                return await asyncio.to_thread(_finish, build / "packages", path)
        except OSError as cause:
            raise PACKAGE_INVALID.error(f"the packages cannot be kept: {cause.strerror}") from cause
        finally:
            await asyncio.to_thread(shutil.rmtree, build, ignore_errors=True)

    async def _install(self, build: Path, requirements: Sequence[str], progress: Progress) -> None:
        process = await asyncio.create_subprocess_exec(
            *pip.command(build / "packages", requirements),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=pip.environment(build / "tmp"),
            cwd=build,
            start_new_session=True,
        )
        lines: list[str] = []
        watching = asyncio.create_task(self._watch(build, process.pid))
        try:
            async with asyncio.timeout(self._seconds):
                await _read_lines(process, lines, progress)
                code = await process.wait()
        except TimeoutError:
            raise PACKAGE_INVALID.error(
                f"{pip.named(requirements)}: not installed within {self._seconds:g} s"
            ) from None
        finally:
            if process.returncode is None:
                _kill_group(process.pid)
            watching.cancel()
            await process.wait()
        if not await self._fits(build):
            most = f"{self._size // 1_048_576} MB or {FILES} files"
            raise PACKAGE_INVALID.error(f"{pip.named(requirements)}: more than {most}")
        if code != 0:
            raise PACKAGE_INVALID.error(pip.explain(lines, requirements))

    async def _watch(self, build: Path, pid: int) -> None:
        """End pip when its files become too many or too large."""
        while True:
            if not await self._fits(build):
                _kill_group(pid)
                return
            await asyncio.sleep(LOOK)

    async def _fits(self, build: Path) -> bool:
        size, files = await asyncio.to_thread(_measure, build)
        return size <= self._size and files <= FILES

    def remove_unused(self, application: str, used: Collection[Sequence[str]]) -> None:
        """Delete what no version needs: environments of test runs but the newest, unfinished builds. Blocks."""
        keep = {environment_name(requirements) for requirements in used}
        folder = self._root / application
        tried = sorted((path for path in folder.glob("env-*") if path.name not in keep), key=_age)
        for path in tried[TRIED_KEPT:]:
            if _age(path) > TRIED:
                shutil.rmtree(path, ignore_errors=True)
        for path in folder.glob(f"{_BUILD}*"):
            if _age(path) > ABANDONED:
                shutil.rmtree(path, ignore_errors=True)

    def forget(self, application: str) -> None:
        """Delete everything of an application. Blocks."""
        shutil.rmtree(self._root / application, ignore_errors=True)


async def _read_lines(process: asyncio.subprocess.Process, lines: list[str], progress: Progress) -> None:
    assert process.stdout is not None
    while True:
        try:
            line = await process.stdout.readline()
        except ValueError:
            continue  # a line past the reader's limit: dropped
        if not line:
            return
        text = line.decode("utf-8", "replace").rstrip()[:500]
        if text:
            lines.append(text)
            del lines[:-LINES]
            progress(text)


def _begin(folder: Path, build: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (build / "packages").mkdir(parents=True)
    (build / "tmp").mkdir()


def _finish(built: Path, path: Path) -> Environment:
    """Make all readable for the sandbox's user, and put the folder in its place."""
    for folder, _, files in os.walk(built):
        Path(folder).chmod(0o755)
        for name in files:
            file = Path(folder, name)
            if not file.is_symlink():
                file.chmod(file.stat().st_mode & 0o755 | 0o444)
    with contextlib.suppress(FileExistsError):  # somebody else built the same meanwhile
        try:
            built.rename(path)
        except OSError as cause:
            if not path.is_dir():
                raise
            raise FileExistsError from cause
    return Environment(path, _resolved(path))


def _resolved(path: Path) -> tuple[str, ...]:
    found: list[Distribution] = list(distributions(path=[str(path)]))
    return tuple(sorted(f"{canonical(item.metadata['Name'])}=={item.version}" for item in found))


def _age(path: Path) -> float:
    return time.time() - path.stat().st_mtime


def _measure(folder: Path) -> tuple[int, int]:
    size = files = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # pip tidies up meanwhile
                size += os.lstat(os.path.join(place, name)).st_blocks * 512
                files += 1
    return size, files


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _ignore(_: str) -> None:
    return None
