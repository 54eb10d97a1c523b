# SPDX-License-Identifier: Apache-2.0
"""Changes made by another process, over nothing but the database file."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from freehold.registry.cache import CachedDirectory
from freehold.registry.interfaces import DeviceSnapshot
from freehold.registry.service import RegistryService
from tests.registry.conftest import OURS, House, device, with_password

EDITOR = """
import json, pathlib, sys
from freehold.core.database import Database
from freehold.registry.service import RegistryService
from freehold.registry.interfaces import Preconditions
from freehold.registry.verifiers import Verifiers
from freehold.vault.service import Vault
vault = Vault(bytes(range(32)))
registry = RegistryService(Database.sqlite(pathlib.Path(sys.argv[1])), vault, Verifiers(vault))
for line in sys.stdin:
    call, *arguments = json.loads(line)
    if call.startswith("delete"):
        arguments.append(Preconditions())
    print(json.dumps(getattr(registry, call)(*arguments)), flush=True)
"""


class Editor:
    """Another process that edits the registry."""

    def __init__(self, path: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", EDITOR, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __call__(self, call: str, *arguments: Any) -> Any:
        import json

        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([call, *arguments]) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


@pytest.fixture
def editor(house: House, app1: str) -> Iterator[Editor]:
    editor = Editor(house.path)
    yield editor
    editor.close()


@pytest.fixture
async def directory(house: House) -> AsyncIterator[CachedDirectory]:
    """With its usual settings, and no bus between the processes."""
    directory = CachedDirectory(house.database())
    await directory.start()
    yield directory
    await directory.stop()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


async def found(directory: CachedDirectory, key: str = "device1") -> DeviceSnapshot:
    snapshot = await directory.device("app1", key)
    assert snapshot is not None
    return snapshot


async def test_a_device_disabled_elsewhere_is_stale_here(directory: CachedDirectory, editor: Editor) -> None:
    await asyncio.to_thread(editor, "create_device", OURS, device())
    snapshot = await found(directory)
    await asyncio.to_thread(editor, "update_device", OURS, "app1", "device1", device(spec={"core": {"disabled": True}}))
    await until(lambda: snapshot.stale)
    assert (await found(directory)).enabled is False


async def test_an_application_deleted_elsewhere_is_gone_here(directory: CachedDirectory, editor: Editor) -> None:
    await asyncio.to_thread(editor, "create_devices", OURS, [device("a"), device("b")])
    snapshots = [await found(directory, name) for name in "ab"]
    told: list[tuple[str, str | None]] = []
    directory.on_change(lambda *change: told.append(change))
    await asyncio.to_thread(editor, "delete_application", OURS, "app1")
    await until(lambda: ("app1", None) in told)
    assert all(each.stale for each in snapshots)
    assert await directory.device("app1", "a") is None


async def test_a_password_made_elsewhere_counts_here(directory: CachedDirectory, editor: Editor, house: House) -> None:
    from freehold.registry.verifiers import Verifiers

    await asyncio.to_thread(editor, "create_device", OURS, device(spec=with_password("chosen")))
    snapshot = await found(directory)
    secret = await asyncio.to_thread(editor, "generate_password", OURS, "app1", "device1")
    await until(lambda: snapshot.stale)
    renewed = await found(directory)
    checks = Verifiers(house.vault)
    assert [checks.check(each.verifier, secret) for each in renewed.passwords] == [False, True]


async def test_writers_in_two_processes_do_not_lose_changes(
    editor: Editor, registry: RegistryService, directory: CachedDirectory
) -> None:
    editor("create_device", OURS, device())
    here = asyncio.gather(*(asyncio.to_thread(registry.generate_password, OURS, "app1", "device1") for _ in range(2)))
    for i in range(20):
        await asyncio.to_thread(editor, "create_device", OURS, device(f"d{i}"))
        await asyncio.to_thread(registry.create_device, OURS, device(f"e{i}"))
    await here
    names = [each.metadata["name"] for each in registry.list_devices(OURS, "app1")]
    assert len(names) == 41
    assert registry.get_device(OURS, "app1", "device1").metadata["generation"] == 2
    for name in names:
        assert (await found(directory, name)).name == name
