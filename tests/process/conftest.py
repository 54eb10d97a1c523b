# SPDX-License-Identifier: Apache-2.0
"""Real sandboxes and real wheels. Where this machine has no sandbox the tests that need one say so."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from freehold.core.settings import Process
from freehold.process.interfaces import Sandbox, Script
from freehold.process.sandbox import Bubblewrap, Unsandboxed
from freehold.process.sandbox.worker import SandboxedWorker
from tests.conftest import missing_part
from tests.process.making import APPLICATION, QUICK, make_wheel

Start = Callable[..., Awaitable[SandboxedWorker]]


@pytest.fixture(scope="session")
def data_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="session")
def bubblewrap(data_directory: Path) -> Bubblewrap:
    """The sandbox, with limits that make hanging scripts end soon."""
    sandbox = Bubblewrap(Process(), data_directory, limits=QUICK)
    if (problem := sandbox.problem()) is not None:
        missing_part(problem)
    return sandbox


@pytest.fixture(params=["bubblewrap", "unsandboxed"])
def engine(request: pytest.FixtureRequest) -> Sandbox:
    """Each engine in turn: what is not about isolation must hold in both."""
    if request.param == "unsandboxed":
        return Unsandboxed(Process(), limits=QUICK)
    found: Sandbox = request.getfixturevalue("bubblewrap")
    return found


@pytest.fixture
async def start(engine: Sandbox) -> AsyncIterator[Start]:
    """`await start(source)` gives a started worker; it is stopped when the test ends."""
    async for starter in _starter(engine):
        yield starter


@pytest.fixture
async def start_inside(bubblewrap: Bubblewrap) -> AsyncIterator[Start]:
    """The same, in bubblewrap only."""
    async for starter in _starter(bubblewrap):
        yield starter


async def _starter(sandbox: Sandbox) -> AsyncIterator[Start]:
    workers: list[SandboxedWorker] = []

    async def starter(source: str, environment: Path | None = None, application: str = APPLICATION) -> SandboxedWorker:
        script = Script(application, 1, source, None if environment is None else str(environment))
        worker = sandbox.worker(script)
        assert isinstance(worker, SandboxedWorker)
        workers.append(worker)
        await worker.start()
        return worker

    yield starter
    for worker in workers:
        await worker.stop()


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels that pip is told to use, and nothing else."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_REQUIRE_HASHES", raising=False)
    make_wheel(folder, "thermo", "1.0", {"thermo/__init__.py": "VERSION = '1.0'\n"})
    make_wheel(folder, "thermo", "1.1", {"thermo/__init__.py": "VERSION = '1.1'\n"})
    make_wheel(folder, "needy", "2.0", {"needy.py": "import thermo\n"}, requires="thermo")
    make_wheel(folder, "orphan", "1.0", {"orphan.py": ""}, requires="nowhere-to-be-found")
    return folder
