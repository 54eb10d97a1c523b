# SPDX-License-Identifier: Apache-2.0
"""The directory: one fresh snapshot of each thing, stale as soon as it changed, bounded, and calm in a storm."""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from freehold.core.bus import REGISTRY_CHANGED, MemoryBus
from freehold.core.errors import FreeholdError
from freehold.core.lifecycle import Component
from freehold.registry import cache, changes, loader
from freehold.registry.cache import CachedDirectory
from freehold.registry.interfaces import DeviceSnapshot, Directory
from freehold.registry.service import RegistryService
from freehold.registry.snapshots import Loaded
from tests.registry.conftest import ANY, OURS, House, app, credentials, device
from tests.registry.test_trust import PEM, SUBJECT, anchors

pytestmark = pytest.mark.usefixtures("app1")

NEVER = 3600.0
UNIQUE = credentials({"user": {"username": "u", "password": {"bcrypt": "$2b$04$" + "a" * 53}, "unique": True}})


@asynccontextmanager
async def running(house: House, **more: Any) -> AsyncIterator[CachedDirectory]:
    """A directory that looks for changes only when told, unless said otherwise."""
    directory = CachedDirectory(house.database(), **{"poll_seconds": NEVER, **more})
    await directory.start()
    try:
        yield directory
    finally:
        await directory.drain()
        await directory.stop()


@pytest.fixture
async def directory(house: House) -> AsyncIterator[CachedDirectory]:
    async with running(house) as directory:
        yield directory


async def found(directory: CachedDirectory, key: str = "device1", application: str = "app1") -> DeviceSnapshot:
    snapshot = await directory.device(application, key)
    assert snapshot is not None
    return snapshot


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.005)


def test_it_is_a_directory_and_a_component(house: House) -> None:
    directory: Directory = CachedDirectory(house.database())
    assert isinstance(directory, Component)


# --- finding ---------------------------------------------------------------------------------------


async def test_what_was_found_is_in_memory(directory: CachedDirectory, registry: RegistryService) -> None:
    registry.create_device(OURS, device())
    assert directory.cached_device("app1", "device1") is None
    snapshot = await found(directory)
    assert directory.cached_device("app1", "device1") is snapshot
    assert await found(directory) is snapshot


async def test_every_key_leads_to_one_snapshot(directory: CachedDirectory, registry: RegistryService) -> None:
    registry.create_device(OURS, device(spec={"alias": ["al"], **UNIQUE}))
    snapshot = await found(directory, "al")
    assert await found(directory, "u") is snapshot
    assert await found(directory) is snapshot
    assert await directory.device_by_name("app1", "device1") is snapshot
    assert directory.cached_device("app1", "u") is snapshot


async def test_devices_share_their_application(directory: CachedDirectory, registry: RegistryService) -> None:
    registry.create_devices(OURS, [device("a"), device("b")])
    application = await directory.application("app1")
    assert application is not None
    assert (await found(directory, "a")).application is application
    assert (await found(directory, "b")).application is application
    assert await directory.application("app1") is application


async def test_drogue_08_management_asks_by_real_name(directory: CachedDirectory, registry: RegistryService) -> None:
    registry.create_device(OURS, device(spec={"alias": ["al"]}))
    assert await directory.device_by_name("app1", "al") is None
    assert (await found(directory, "al")).name == "device1"
    assert await directory.device_by_name("app1", "al") is None


async def test_an_application_is_found_by_its_anchor(directory: CachedDirectory, registry: RegistryService) -> None:
    registry.update_application(OURS, "app1", app(spec=anchors(PEM)))
    registry.create_device(OURS, device("CN=x"))
    by_name = await directory.application("app1")
    assert by_name is not None
    assert await directory.application(SUBJECT) is by_name
    assert (await found(directory, "CN=x", SUBJECT)).application is by_name


HOSTILE = ["", "\ud800", "a\0b", "x" * 1025, "ü" * 600, "'; DROP TABLE devices; --", "%", "\n"]


@pytest.mark.parametrize("text", HOSTILE)
async def test_hostile_names_are_nobody_and_harm_no_neighbour(
    directory: CachedDirectory, registry: RegistryService, text: str
) -> None:
    registry.create_device(OURS, device())
    answers = await asyncio.gather(
        directory.device("app1", text),
        directory.device(text, "device1"),
        directory.device_by_name("app1", text),
        directory.application(text),
        directory.device("app1", "device1"),
    )
    assert answers[:4] == [None] * 4
    assert answers[4] is not None
    assert directory.cached_device(text, text) is None


# --- absence ---------------------------------------------------------------------------------------


async def test_absence_is_remembered_for_a_moment(directory: CachedDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(5):
        assert await directory.device("app1", "nobody") is None
        assert await directory.application("nothing") is None
    assert directory._loader.reads == 2
    monkeypatch.setattr(cache, "ABSENT_SECONDS", -1.0)
    directory._absent.clear()
    for _ in range(2):
        assert await directory.device("app1", "nobody") is None
    assert directory._loader.reads == 4


async def test_what_comes_into_being_is_found_after_its_change(
    directory: CachedDirectory, registry: RegistryService
) -> None:
    assert await directory.device("app1", "device1") is None
    assert await directory.device("app2", "device1") is None
    registry.create_device(OURS, device())
    registry.create_application(OURS, app("app2"))
    await directory.refresh()
    assert (await found(directory)).name == "device1"
    assert await directory.application("app2") is not None


async def test_the_memory_of_absence_is_bounded(directory: CachedDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "MOST_ABSENT", 10)
    await asyncio.gather(*(directory.device("app1", f"guess{i}") for i in range(95)))
    assert 0 < len(directory._absent) <= 10


# --- changes ---------------------------------------------------------------------------------------


async def test_a_changed_device_is_stale_and_its_neighbour_is_not(
    directory: CachedDirectory, registry: RegistryService
) -> None:
    registry.create_devices(OURS, [device("a"), device("b")])
    await directory.refresh()
    a, b = await found(directory, "a"), await found(directory, "b")
    registry.update_device(OURS, "app1", "a", device("a", spec={"core": {"disabled": True}}))
    assert not a.stale
    await directory.refresh()
    assert (a.stale, b.stale, a.application.stale) == (True, False, False)
    assert directory.cached_device("app1", "a") is None
    assert directory.cached_device("app1", "b") is b
    renewed = await found(directory, "a")
    assert (renewed.enabled, renewed.stale) == (False, False)
    assert renewed.application is b.application


async def test_a_changed_application_makes_all_in_it_stale(
    directory: CachedDirectory, registry: RegistryService
) -> None:
    registry.create_application(OURS, app("app2"))
    registry.create_devices(OURS, [device("a"), device("b"), device("c", "app2")])
    await directory.refresh()
    ours = [await found(directory, name) for name in "ab"]
    other = await found(directory, "c", "app2")
    registry.update_application(OURS, "app1", app(spec={"core": {"disabled": True}}))
    await directory.refresh()
    assert all(each.stale and each.application.stale for each in ours)
    assert not other.stale
    assert not other.application.stale
    renewed = await found(directory, "a")
    assert not renewed.stale
    assert renewed.application.enabled is False
    assert await directory.application("app1") is renewed.application


async def test_a_deleted_device_is_stale_and_gone(directory: CachedDirectory, registry: RegistryService) -> None:
    registry.create_device(OURS, device())
    await directory.refresh()
    snapshot = await found(directory)
    registry.delete_device(OURS, "app1", "device1", ANY)
    await directory.refresh()
    assert snapshot.stale
    assert await directory.device("app1", "device1") is None


async def test_an_alias_that_moves_leads_to_the_other_device(
    directory: CachedDirectory, registry: RegistryService
) -> None:
    registry.create_devices(OURS, [device("a", spec={"alias": ["al"]}), device("b")])
    await directory.refresh()
    assert (await found(directory, "al")).name == "a"
    registry.update_device(OURS, "app1", "a", device("a"))
    registry.update_device(OURS, "app1", "b", device("b", spec={"alias": ["al"]}))
    await directory.refresh()
    assert (await found(directory, "al")).name == "b"


async def test_an_application_made_again_under_its_name_is_another(
    directory: CachedDirectory, registry: RegistryService
) -> None:
    registry.create_device(OURS, device())
    await directory.refresh()
    old = await found(directory)
    registry.delete_application(OURS, "app1", ANY)
    registry.create_application(OURS, app())
    registry.create_device(OURS, device("new"))
    # Even before the change was applied: a new device must never carry the old application's uid.
    new = await found(directory, "new")
    assert new.application.uid != old.application.uid
    assert old.stale
    assert old.application.stale
    await directory.refresh()
    assert await directory.device("app1", "device1") is None


async def test_a_snapshot_that_only_a_connection_holds_still_becomes_stale(
    house: House, registry: RegistryService
) -> None:
    registry.create_devices(OURS, [device(f"d{i}") for i in range(10)])
    async with running(house, size=2) as directory:
        held = [await found(directory, f"d{i}") for i in range(10)]
        assert sum(directory.cached_device("app1", f"d{i}") is not None for i in range(10)) == 2
        registry.update_device(OURS, "app1", "d0", device("d0", spec={"x": 1}))
        await directory.refresh()
        assert [each.stale for each in held] == [True] + [False] * 9
        registry.update_application(OURS, "app1", app(spec={"x": 1}))
        await directory.refresh()
        assert all(each.stale for each in held)


async def test_an_evicted_snapshot_that_a_connection_holds_is_the_one_found_again(
    house: House, registry: RegistryService
) -> None:
    registry.create_devices(OURS, [device("a"), device("b")])
    async with running(house, size=1) as directory:
        held = await found(directory, "a")
        await found(directory, "b")
        assert directory.cached_device("app1", "a") is None
        assert await found(directory, "a") is held


async def test_what_nobody_holds_is_forgotten(house: House, registry: RegistryService) -> None:
    registry.create_devices(OURS, [device(f"d{i}") for i in range(50)])
    async with running(house, size=5) as directory:
        for i in range(50):
            await found(directory, f"d{i}")
        gc.collect()
        assert len(directory._devices) == 5
        # Those of this installation: other tests' houses may still stand.
        ours = {each.application.uid for each in directory._devices.values()}
        alive = [each for each in gc.get_objects() if isinstance(each, DeviceSnapshot) and each.application.uid in ours]
        assert len(alive) == 5


async def test_the_least_recently_used_leaves_first(house: House, registry: RegistryService) -> None:
    registry.create_devices(OURS, [device(name) for name in "abc"])
    async with running(house, size=2) as directory:
        await found(directory, "a")
        await found(directory, "b")
        assert directory.cached_device("app1", "a")
        await found(directory, "c")
        assert [directory.cached_device("app1", name) is not None for name in "abc"] == [True, False, True]


async def test_handlers_are_told_after_snapshots_are_stale(
    directory: CachedDirectory, registry: RegistryService
) -> None:
    registry.create_device(OURS, device())
    await directory.refresh()
    snapshot = await found(directory)
    told: list[tuple[str, str | None, bool]] = []
    directory.on_change(lambda application, name: told.append((application, name, snapshot.stale)))
    registry.update_device(OURS, "app1", "device1", device(spec={"x": 1}))
    registry.update_application(OURS, "app1", app(spec={"x": 1}))
    assert told == []
    await directory.refresh()
    assert told == [("app1", "device1", True), ("app1", None, True)]
    await directory.refresh()
    assert len(told) == 2


async def test_a_handler_that_fails_keeps_no_other_from_being_told(
    directory: CachedDirectory, registry: RegistryService
) -> None:
    told: list[str | None] = []
    directory.on_change(lambda application, name: 1 / 0 and None)
    directory.on_change(lambda application, name: told.append(name))
    registry.create_device(OURS, device())
    await directory.refresh()
    assert told == ["device1"]


async def test_a_directory_that_fell_behind_trusts_nothing(
    directory: CachedDirectory, registry: RegistryService, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.create_devices(OURS, [device("a"), device("b")])
    await directory.refresh()
    snapshots = [await found(directory, name) for name in "ab"]
    told: list[tuple[str, str | None]] = []
    directory.on_change(lambda *change: told.append(change))
    monkeypatch.setattr(changes, "KEPT", 2)
    for i in range(5):
        registry.update_device(OURS, "app1", "a", device("a", spec={"x": i}))
    await directory.refresh()
    assert all(each.stale for each in snapshots)
    assert told == [("app1", None)]
    assert (await found(directory, "a")).spec == {"x": 4}


# --- how changes arrive ----------------------------------------------------------------------------


async def test_a_word_on_the_bus_is_enough(house: House, registry: RegistryService) -> None:
    bus = MemoryBus()
    registry.create_device(OURS, device())
    async with running(house, bus=bus) as directory:
        snapshot = await found(directory)
        registry.update_device(OURS, "app1", "device1", device(spec={"x": 1}))
        bus.publish(REGISTRY_CHANGED, b"")
        await until(lambda: snapshot.stale)
    bus.publish(REGISTRY_CHANGED, b"")
    assert not directory._wake.is_set()


async def test_no_word_is_needed(house: House, registry: RegistryService) -> None:
    registry.create_device(OURS, device())
    async with running(house, poll_seconds=0.01) as directory:
        snapshot = await found(directory)
        registry.update_device(OURS, "app1", "device1", device(spec={"x": 1}))
        await until(lambda: snapshot.stale)


async def test_a_quiet_registry_costs_no_queries(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(house, poll_seconds=0.001) as directory:
        await until(lambda: not directory._feed.moved())
        reads: list[int] = []
        original = directory._feed.read
        monkeypatch.setattr(directory._feed, "read", lambda position: reads.append(position) or original(position))
        looks = 0
        moved = directory._feed.moved

        def look() -> bool:
            nonlocal looks
            looks += 1
            return moved()

        monkeypatch.setattr(directory._feed, "moved", look)
        await until(lambda: looks >= 20)
        assert reads == []


async def test_trouble_with_the_database_is_said_and_heals(
    house: House, registry: RegistryService, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.create_device(OURS, device())
    async with running(house, poll_seconds=0.01) as directory:
        snapshot = await found(directory)
        assert directory.health() is None

        def broken(position: int) -> Any:
            raise sqlite3.OperationalError("disk I/O error")

        with monkeypatch.context() as patch:
            patch.setattr(directory._feed, "read", broken)
            registry.update_device(OURS, "app1", "device1", device(spec={"x": 1}))
            await until(lambda: directory.health() is not None)
            assert "disk I/O error" in str(directory.health())
            assert not snapshot.stale
        await until(lambda: directory.health() is None)
        await until(lambda: snapshot.stale)


async def test_a_follower_that_died_is_said(house: House) -> None:
    async with running(house) as directory:
        assert directory._task is not None
        directory._task.cancel()
        await asyncio.gather(directory._task, return_exceptions=True)
        assert directory.health() is not None


async def test_a_registry_that_cannot_be_read_is_unavailable_not_empty(
    directory: CachedDirectory, house: House, registry: RegistryService
) -> None:
    registry.create_device(OURS, device())
    with house.database().write() as connection:
        connection.exec_driver_sql("ALTER TABLE device_keys RENAME TO away")
    for ask in (directory.device, directory.device_by_name):
        with pytest.raises(FreeholdError) as refused:
            await ask("app1", "device1")
        assert refused.value.refusal.code == "device.authentication.unavailable"
    with house.database().write() as connection:
        connection.exec_driver_sql("ALTER TABLE away RENAME TO device_keys")
    assert (await found(directory)).name == "device1"


# --- many at once ----------------------------------------------------------------------------------


async def test_one_question_asked_by_many_is_asked_once(directory: CachedDirectory, registry: RegistryService) -> None:
    registry.create_device(OURS, device())
    snapshots = await asyncio.gather(*(directory.device("app1", "device1") for _ in range(100)))
    assert len({id(each) for each in snapshots}) == 1
    assert directory._loader.reads == 1


async def test_a_fleet_that_reconnects_is_read_in_batches(
    directory: CachedDirectory, registry: RegistryService
) -> None:
    registry.create_devices(OURS, [device(f"d{i}") for i in range(1000)])
    snapshots = await asyncio.gather(*(directory.device("app1", f"d{i}") for i in range(1000)))
    assert [each.name for each in snapshots if each] == [f"d{i}" for i in range(1000)]
    assert directory._loader.reads <= 1000 // loader.BATCH + 2


async def test_who_gives_up_takes_the_answer_from_nobody(directory: CachedDirectory, registry: RegistryService) -> None:
    registry.create_device(OURS, device())
    tasks = [asyncio.create_task(directory.device("app1", "device1")) for _ in range(3)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert isinstance(answers[1], DeviceSnapshot)
    assert answers[1] is answers[2]


async def test_more_questions_than_can_wait_are_refused(
    directory: CachedDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loader, "MOST_WAITING", 10)
    answers = await asyncio.gather(*(directory.device("app1", f"g{i}") for i in range(15)), return_exceptions=True)
    refused = [each for each in answers if isinstance(each, FreeholdError)]
    assert len(refused) == 5
    assert {each.refusal.code for each in refused} == {"device.authentication.unavailable"}
    assert await directory.device("app1", "later") is None


async def test_who_waits_while_it_stops_is_refused(house: House, registry: RegistryService) -> None:
    registry.create_device(OURS, device())
    async with running(house) as directory:
        hold = threading.Event()
        for _ in range(2):  # both threads are busy
            directory._threads.submit(hold.wait)
        asked = asyncio.create_task(directory.device("app1", "device1"))
        await asyncio.sleep(0)
    hold.set()
    with pytest.raises(FreeholdError):
        await asked


# --- reads and changes that overtake each other ----------------------------------------------------


class Slow:
    """A read of the registry that ends when it is let go."""

    def __init__(self, directory: CachedDirectory) -> None:
        self._read = directory._loader._read
        self.has_read = threading.Event()
        self.let_go = threading.Event()
        self.times = 0
        directory._loader._read = self

    def __call__(self, batch: Any) -> Loaded:
        loaded = self._read(batch)
        self.times += 1
        if self.times == 1:
            self.has_read.set()
            self.let_go.wait()
        return loaded


async def overtaken(directory: CachedDirectory, change: Callable[[], None]) -> DeviceSnapshot | None:
    """The answer to a question whose read began before `change` and ended after that was applied."""
    slow = Slow(directory)
    asked = asyncio.create_task(directory.device("app1", "device1"))
    await asyncio.to_thread(slow.has_read.wait)
    change()
    await directory.refresh()
    slow.let_go.set()
    return await asked


async def test_a_read_that_a_change_overtook_is_read_again(
    directory: CachedDirectory, registry: RegistryService
) -> None:
    registry.create_device(OURS, device())
    await directory.refresh()
    off = device(spec={"core": {"disabled": True}})
    snapshot = await overtaken(directory, lambda: registry.update_device(OURS, "app1", "device1", off))
    assert snapshot is not None
    assert (snapshot.enabled, snapshot.stale) == (False, False)


async def test_a_read_that_a_change_of_the_application_overtook_is_read_again(
    directory: CachedDirectory, registry: RegistryService
) -> None:
    registry.create_device(OURS, device())
    await directory.refresh()
    off = app(spec={"core": {"disabled": True}})
    snapshot = await overtaken(directory, lambda: registry.update_application(OURS, "app1", off))
    assert snapshot is not None
    assert (snapshot.application.enabled, snapshot.stale) == (False, False)


async def test_a_device_made_while_it_was_looked_for_is_not_remembered_as_absent(
    directory: CachedDirectory, registry: RegistryService
) -> None:
    assert await overtaken(directory, lambda: (registry.create_device(OURS, device()), None)[1]) is None
    assert (await found(directory)).name == "device1"


async def test_a_read_overtaken_by_more_than_is_remembered_is_read_again(
    directory: CachedDirectory, registry: RegistryService
) -> None:
    registry.create_device(OURS, device())
    await directory.refresh()

    def change() -> None:
        registry.update_device(OURS, "app1", "device1", device(spec={"x": 1}))
        registry.create_devices(OURS, [device(f"d{i}") for i in range(cache.MOST_RECENT + 1)])

    snapshot = await overtaken(directory, change)
    assert snapshot is not None
    assert (snapshot.spec, snapshot.stale) == ({"x": 1}, False)


async def test_under_changes_without_end_an_answer_comes_all_the_same(
    directory: CachedDirectory, registry: RegistryService
) -> None:
    registry.create_device(OURS, device())
    await directory.refresh()
    read, versions = directory._loader._read, iter(range(1000))

    def read_and_change(batch: Any) -> Loaded:
        loaded = read(batch)
        registry.update_device(OURS, "app1", "device1", device(spec={"x": next(versions)}))
        asyncio.run_coroutine_threadsafe(directory.refresh(), loop).result()
        return loaded

    loop = asyncio.get_running_loop()
    directory._loader._read = read_and_change
    snapshot = await found(directory)
    assert snapshot.stale
    assert directory._loader.reads == cache.ATTEMPTS
