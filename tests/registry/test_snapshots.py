# SPDX-License-Identifier: Apache-2.0
"""What the hot path sees of a resource: enabled or not, keys, gateways, dialects; read in batches."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event

from freehold.registry.interfaces import DeviceSnapshot
from freehold.registry.service import RegistryService
from freehold.registry.snapshots import Wanted, load
from freehold.registry.verifiers import Verifiers
from tests.registry.conftest import ANY, OURS, House, app, credentials, device, with_password
from tests.registry.test_trust import PEM, SUBJECT, anchors

pytestmark = pytest.mark.usefixtures("app1")


def snapshot(house: House, key: str = "device1") -> DeviceSnapshot:
    wanted = Wanted("app1", key)
    return load(house.database(), [wanted]).devices[wanted]


def made(house: House, registry: RegistryService, **spec: Any) -> DeviceSnapshot:
    registry.create_device(OURS, device(spec=spec))
    return snapshot(house)


def test_a_plain_device(house: House, registry: RegistryService) -> None:
    found = made(house, registry)
    assert (found.name, found.enabled, found.stale) == ("device1", True, False)
    assert found.uid == registry.get_device(OURS, "app1", "device1").metadata["uid"]
    assert (found.application.name, found.application.tenant, found.application.enabled) == ("app1", OURS, True)
    assert (found.passwords, found.psks, found.gateways, found.aliases) == ((), (), frozenset(), frozenset())
    assert found.mqtt_dialect is None
    assert found.application.mqtt_dialect is None
    assert found.spec == {}


CORES = [
    (None, False),
    ({}, True),
    ({"disabled": False}, True),
    ({"disabled": True}, False),
    ({"disabled": "false"}, False),
    ({"disabled": 0}, False),
    ({"disabled": None}, False),
    ([], False),
    ("disabled", False),
    ({"other": 1}, True),
]


@pytest.mark.parametrize(("core", "enabled"), CORES)
def test_drogue_20_core_switches_device_and_application_off_and_nonsense_does_too(
    house: House, registry: RegistryService, core: object, enabled: bool
) -> None:
    found = made(house, registry, core=core)
    assert found.enabled is enabled
    assert found.application.enabled is True
    registry.update_application(OURS, "app1", app(spec={"core": core}))
    assert snapshot(house).application.enabled is enabled
    registry.update_application(OURS, "app1", app())
    assert snapshot(house).application.enabled is True


def test_drogue_21_what_is_being_deleted_is_off(house: House, registry: RegistryService) -> None:
    registry.create_device(OURS, device(finalizers=["f"]))
    registry.delete_device(OURS, "app1", "device1", ANY)
    assert snapshot(house).enabled is False
    assert snapshot(house).application.enabled is True
    registry.delete_application(OURS, "app1", ANY)
    assert snapshot(house).application.enabled is False


@pytest.mark.parametrize(
    ("selector", "gateways"),
    [
        ({"matchNames": ["gw1", "gw2"]}, {"gw1", "gw2"}),
        ({"matchNames": []}, set()),
        ({"matchNames": "gw1"}, set()),
        ({"matchNames": ["gw1", 5, None]}, {"gw1"}),
        ({"matchNames": {"gw1": 1}}, set()),
        ({}, set()),
        (None, set()),
        (["gw1"], set()),
    ],
)
def test_gateways_are_names_and_nonsense_lets_nobody_speak(
    house: House, registry: RegistryService, selector: object, gateways: set[str]
) -> None:
    assert made(house, registry, gatewaySelector=selector).gateways == gateways


@pytest.mark.parametrize(
    ("mqtt", "dialect"),
    [
        ({"dialect": {"type": "plainTopic"}}, {"type": "plainTopic"}),
        ({"dialect": "plainTopic"}, None),
        ({}, None),
        (None, None),
        ([], None),
    ],
)
def test_the_dialect_is_handed_on_as_it_is(
    house: House, registry: RegistryService, mqtt: object, dialect: object
) -> None:
    found = made(house, registry, mqtt=mqtt)
    assert found.mqtt_dialect == dialect
    registry.update_application(OURS, "app1", app(spec={"mqtt": mqtt}))
    assert snapshot(house).application.mqtt_dialect == dialect


UNIQUE = {"user": {"username": "u", "password": "foo", "unique": True}}


@pytest.mark.parametrize("key", ["device1", "al", "u"])
def test_a_device_is_found_by_each_of_its_keys(house: House, registry: RegistryService, key: str) -> None:
    registry.create_device(OURS, device(spec={"alias": ["al", "device1"], **credentials(UNIQUE)}))
    found = snapshot(house, key)
    assert found.name == "device1"
    assert found.aliases == {"al", "u"}


def test_by_name_means_the_real_name(house: House, registry: RegistryService) -> None:
    registry.create_device(OURS, device(spec={"alias": ["al"]}))
    batch = [Wanted("app1", key, by_name=True) for key in ("device1", "al")]
    assert list(load(house.database(), batch).devices) == batch[:1]


def test_credentials_are_not_in_the_spec_of_a_snapshot(house: House, registry: RegistryService) -> None:
    spec = {"x": 1, **credentials(UNIQUE), **credentials({"pass": "old"}, legacy=True)}
    found = made(house, registry, **spec)
    assert found.spec == {"x": 1}
    (password,) = found.passwords
    assert Verifiers(house.vault).check(password.verifier, "foo")
    assert password.verifier not in repr(found)


def test_snapshots_cannot_be_changed_through_their_spec(house: House, registry: RegistryService) -> None:
    found = made(house, registry, x=1)
    for spec in (found.spec, found.application.spec):
        with pytest.raises(TypeError):
            spec["x"] = 2  # type: ignore[index]


def test_an_application_is_found_by_the_subject_of_its_anchor(house: House, registry: RegistryService) -> None:
    registry.update_application(OURS, "app1", app(spec=anchors(PEM)))
    registry.create_device(OURS, device("CN=Device 1"))
    wanted = Wanted(SUBJECT, "CN=Device 1")
    assert load(house.database(), [wanted]).devices[wanted].application.name == "app1"


def test_a_batch_costs_as_many_queries_as_one(house: House, registry: RegistryService) -> None:
    registry.create_application(OURS, app("app2"))
    registry.create_devices(OURS, [device(f"d{i}", f"app{i % 2 + 1}", spec=with_password()) for i in range(6)])
    database = house.database()
    queries: list[str] = []
    event.listen(database.engine, "before_cursor_execute", lambda *a: queries.append(a[2]))
    batch = [Wanted(f"app{i % 2 + 1}", f"d{i}") for i in range(6)] + [Wanted("app1", "no"), Wanted("no", "d1")]
    batch += [Wanted("app1"), Wanted("no")]
    loaded = load(database, batch)
    assert [wanted for wanted in batch if wanted in loaded.devices] == batch[:6]
    assert set(loaded.applications) == {"app1", "app2"}
    # The position, the applications, and devices with their secrets for each of the two.
    assert len([query for query in queries if query.startswith("SELECT")]) == 6
    applications = {id(each.application) for each in loaded.devices.values()}
    assert len(applications) == 2


def test_a_read_knows_how_new_it_is(house: House, registry: RegistryService) -> None:
    first = load(house.database(), []).position
    registry.create_device(OURS, device())
    assert load(house.database(), []).position == first + 1
