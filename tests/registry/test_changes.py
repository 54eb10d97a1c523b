# SPDX-License-Identifier: Apache-2.0
"""The change feed: in order, without holes, in the transaction of the change, and honest about its end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import delete, func, select, update

from freehold.registry import changes
from freehold.registry.changes import Change, Feed, record
from freehold.registry.service import RegistryService
from freehold.registry.tables import changes as table
from tests.registry.conftest import ANY, OURS, House, app, code_of, device, with_password


@pytest.fixture
def feed(house: House) -> Iterator[Feed]:
    feed = Feed(house.database())
    feed.open()
    yield feed
    feed.close()


def since(feed: Feed, position: int) -> list[Change]:
    return [change for _, change in feed.read(position).changed]


def test_every_change_is_told_with_what_it_concerns(feed: Feed, registry: RegistryService) -> None:
    registry.create_application(OURS, app())
    registry.create_device(OURS, device("a", finalizers=["f"]))
    registry.create_devices(OURS, [device("b"), device("c")])
    registry.update_device(OURS, "app1", "b", device("b", spec=with_password()))
    registry.generate_password(OURS, "app1", "b")
    registry.delete_device(OURS, "app1", "a", ANY)
    registry.update_device(OURS, "app1", "a", device("a"))
    registry.update_application(OURS, "app1", app(spec={"x": 1}))
    registry.delete_application(OURS, "app1", ANY)
    expected: list[str | None] = [None, "a", "b", "c", "b", "b", "a", "a", None, None]
    assert since(feed, 0) == [("app1", name) for name in expected]


def test_what_changes_nothing_is_not_told(feed: Feed, registry: RegistryService) -> None:
    registry.create_application(OURS, app())
    registry.create_device(OURS, device())
    position = feed.read(0).position
    registry.update_application(OURS, "app1", app())
    registry.update_device(OURS, "app1", "device1", device())
    assert code_of(registry.create_device, OURS, device()) == "resource.conflict"
    assert since(feed, position) == []
    assert feed.read(position).position == position


def test_the_last_device_of_a_deleted_application_takes_it_along(feed: Feed, registry: RegistryService) -> None:
    registry.create_application(OURS, app())
    registry.create_device(OURS, device(finalizers=["f"]))
    registry.delete_application(OURS, "app1", ANY)
    position = feed.read(0).position
    registry.update_device(OURS, "app1", "device1", device())
    assert since(feed, position) == [("app1", "device1"), ("app1", None)]


def test_a_reader_goes_on_where_it_was(house: House, feed: Feed, registry: RegistryService) -> None:
    registry.create_application(OURS, app())
    first = feed.read(0)
    assert feed.read(first.position).changed == []
    registry.create_device(OURS, device())
    second = feed.read(first.position)
    assert [change for _, change in second.changed] == [("app1", "device1")]
    assert second.position == first.position + 1
    late = Feed(house.database())
    assert late.open() == second.position
    late.close()


def test_a_change_that_is_rolled_back_was_never_told(house: House, feed: Feed) -> None:
    database = house.database()

    def fail() -> None:
        with database.write() as connection:
            record(connection, [("app1", None)])
            raise ZeroDivisionError

    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            fail()
    assert feed.read(0).changed == []
    with database.write() as connection:
        record(connection, [("app1", None)])
    news = feed.read(0)
    assert (news.position, news.missed) == (1, False)


def test_the_feed_stays_short_and_says_when_something_was_missed(
    house: House, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "KEPT", 5)
    with house.database().write() as connection:
        for i in range(8):
            record(connection, [("app1", str(i))])
        assert connection.execute(select(func.count()).select_from(table)).scalar() == 5
    assert feed.read(3).missed is False
    assert [name for _, name in since(feed, 3)] == ["3", "4", "5", "6", "7"]
    for position in (0, 2):
        assert feed.read(position).missed is True
    assert feed.read(2).position == 8


def test_an_older_database_put_back_is_noticed(house: House, feed: Feed) -> None:
    database = house.database()
    with database.write() as connection:
        record(connection, [("app1", str(i)) for i in range(5)])
    position = feed.read(0).position
    with database.write() as connection:
        connection.execute(delete(table).where(table.c.id > 2))
        connection.exec_driver_sql("UPDATE sqlite_sequence SET seq = 2 WHERE name = 'registry_changes'")
    news = feed.read(position)
    assert (news.missed, news.position) == (True, 2)


def test_positions_are_never_given_twice(house: House, feed: Feed) -> None:
    database = house.database()
    with database.write() as connection:
        record(connection, [("app1", None)])
        connection.execute(delete(table))
    with database.write() as connection:
        record(connection, [("app1", None)])
    assert feed.read(1).position == 2


def test_it_moves_when_somebody_else_commits_and_not_when_nobody_does(house: House, feed: Feed) -> None:
    assert feed.moved() is True  # never looked before
    assert feed.moved() is False
    database = house.database()
    with database.read() as connection:
        connection.execute(select(table)).all()
    assert feed.moved() is False
    with database.write() as connection:
        record(connection, [("app1", None)])
        assert feed.moved() is False
    assert feed.moved() is True
    assert feed.moved() is False


def test_a_feed_that_cannot_tell_says_that_it_moved(house: House) -> None:
    unopened = Feed(house.database())
    assert unopened.moved() is True
    assert unopened.moved() is True
    unopened.close()


def test_a_feed_names_things_by_what_they_are_called(house: House, feed: Feed) -> None:
    with house.database().write() as connection:
        record(connection, [("app1", "'; --"), ("app1", "🛰/x")])
        connection.execute(update(table).values(time=0))
    assert since(feed, 0) == [("app1", "'; --"), ("app1", "🛰/x")]
