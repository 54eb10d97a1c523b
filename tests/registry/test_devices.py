# SPDX-License-Identifier: Apache-2.0
"""Devices as the service keeps them: keys and collisions, secrets that come and go, writers in parallel."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from sqlalchemy import func, select

from freehold.core.errors import FreeholdError
from freehold.registry.interfaces import Preconditions
from freehold.registry.service import RegistryService, open_registry
from freehold.registry.tables import device_keys, device_labels, device_secrets, devices
from freehold.registry.verifiers import Verifiers
from freehold.vault import secret_text
from tests.registry.conftest import ANY, OURS, House, app, code_of, credentials, device, edited, with_password

pytestmark = pytest.mark.usefixtures("app1")


def get(registry: RegistryService, name: str = "device1") -> dict[str, Any]:
    return registry.get_device(OURS, "app1", name).as_json()


def put(registry: RegistryService, body: dict[str, Any]) -> dict[str, Any]:
    registry.update_device(OURS, "app1", body["metadata"]["name"], body)
    return get(registry, body["metadata"]["name"])


def rows(house: House, table: Any) -> int:
    with house.database().read() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def test_a_new_device_shows_what_was_sent(registry: RegistryService) -> None:
    body = device(labels={"a": "1"}, annotations={"b": "2"}, spec={"x": 1}, status={"y": 2})
    assert registry.create_device(OURS, body) == ("app1", "device1")
    shown = get(registry)
    assert shown["metadata"]["application"] == "app1"
    assert shown["metadata"]["labels"] == {"a": "1"}
    assert shown["metadata"]["annotations"] == {"b": "2"}
    assert (shown["spec"], shown["status"]) == ({"x": 1}, {"y": 2})


def test_a_device_with_nothing_shows_nothing(registry: RegistryService) -> None:
    registry.create_device(OURS, device())
    assert set(get(registry)) == {"metadata"}


@pytest.mark.parametrize("name", ["bar/baz", "a@b", "x" * 255, "ü" * 127, "🛰", "..", "'; --", "%2F"])
def test_drogue_69_names_are_any_text_of_255_bytes(registry: RegistryService, name: str) -> None:
    registry.create_device(OURS, device(name))
    assert get(registry, name)["metadata"]["name"] == name


@pytest.mark.parametrize("name", ["", "x" * 256, "ü" * 128, "a\nb"])
def test_drogue_69_other_names_are_refused(registry: RegistryService, name: str) -> None:
    assert code_of(registry.create_device, OURS, device(name)) == "resource.invalid"


@pytest.mark.parametrize("application", ["missing", "App1", "x" * 300])
def test_drogue_69_the_application_must_exist(registry: RegistryService, application: str) -> None:
    assert code_of(registry.create_device, OURS, device(application=application)) == "resource.reference.not-found"


def test_a_device_without_an_application_is_refused(registry: RegistryService) -> None:
    assert code_of(registry.create_device, OURS, app("device1")) == "resource.invalid"


def taken_by(name: str = "other", **spec: Any) -> dict[str, Any]:
    return device(name, spec=spec)


UNIQUE = credentials({"user": {"username": "key", "password": "frd", "unique": True}})
NOT_UNIQUE = credentials({"user": {"username": "key", "password": "frd"}})


@pytest.mark.parametrize("first", [device("key"), taken_by(alias=["key"]), taken_by(**UNIQUE)])
@pytest.mark.parametrize("second", [device("key"), device("x", spec={"alias": ["key"]}), device("x", spec=UNIQUE)])
def test_drogue_69_name_alias_and_unique_user_name_are_one_key_space(
    registry: RegistryService, first: dict[str, Any], second: dict[str, Any]
) -> None:
    registry.create_device(OURS, first)
    with pytest.raises(FreeholdError) as refused:
        registry.create_device(OURS, second)
    assert refused.value.refusal.code == "resource.conflict"
    assert "key" in refused.value.detail
    # By a change, too.
    registry.create_device(OURS, device("x"))
    if second["metadata"]["name"] == "x":
        assert code_of(registry.update_device, OURS, "app1", "x", second) == "resource.conflict"
        assert get(registry, "x")["metadata"]["generation"] == 0


def test_user_names_that_are_not_unique_may_repeat(registry: RegistryService) -> None:
    registry.create_device(OURS, device("a", spec=NOT_UNIQUE))
    registry.create_device(OURS, device("b", spec=NOT_UNIQUE))
    registry.create_device(OURS, device("key"))


def test_a_device_may_repeat_its_own_keys(registry: RegistryService) -> None:
    registry.create_device(OURS, device("key", spec={"alias": ["key", "key", "other"], **UNIQUE}))


def test_keys_are_of_one_application_only(registry: RegistryService) -> None:
    registry.create_application(OURS, app("app2"))
    registry.create_device(OURS, device("key"))
    registry.create_device(OURS, device("key", "app2"))


def test_a_key_that_was_given_up_is_free(registry: RegistryService) -> None:
    registry.create_device(OURS, device("a", spec={"alias": ["key"], **UNIQUE}))
    registry.update_device(OURS, "app1", "a", device("a"))
    registry.create_device(OURS, device("b", spec={"alias": ["key"]}))
    registry.delete_device(OURS, "app1", "b", ANY)
    registry.create_device(OURS, device("key"))


@pytest.mark.parametrize("alias", ["text", {"aliases": ["a"]}, None, 5, [1, None, "good"]])
def test_an_alias_section_of_another_shape_has_no_keys(house: House, registry: RegistryService, alias: object) -> None:
    registry.create_device(OURS, device(spec={"alias": alias}))
    assert get(registry)["spec"] == {"alias": alias}
    assert rows(house, device_keys) == (2 if isinstance(alias, list) else 1)


@pytest.mark.parametrize("alias", [[""], ["x" * 1025], ["a\0b"], [str(i) for i in range(1001)]])
def test_aliases_that_nobody_could_use_are_refused(registry: RegistryService, alias: list[str]) -> None:
    assert code_of(registry.create_device, OURS, device(spec={"alias": alias})) == "resource.invalid"
    registry.create_device(OURS, device())
    body = device(spec={"alias": alias})
    assert code_of(registry.update_device, OURS, "app1", "device1", body) == "resource.invalid"


def test_drogue_08_management_finds_devices_by_name_only(registry: RegistryService) -> None:
    registry.create_device(OURS, device(spec={"alias": ["al"], **UNIQUE}))
    for key in ("al", "key"):
        assert code_of(registry.get_device, OURS, "app1", key) == "resource.not-found"
        assert code_of(registry.generate_password, OURS, "app1", key) == "resource.not-found"


def test_drogue_65_versions_and_generations(registry: RegistryService) -> None:
    registry.create_device(OURS, device(spec=with_password()))
    first = get(registry)
    assert put(registry, first) == first
    assert put(registry, device(spec=with_password())) == first
    second = put(registry, edited(first, lambda body: body["metadata"].update(labels={"a": "1"})))
    assert second["metadata"]["generation"] == 0
    assert second["metadata"]["resourceVersion"] != first["metadata"]["resourceVersion"]
    third = put(registry, device(spec=with_password("bar")))
    assert third["metadata"]["generation"] == 1
    assert third["spec"] != first["spec"]


@pytest.mark.parametrize("when", [{"uid": "foreign"}, {"resourceVersion": "stale"}])
def test_drogue_66_other_versions_are_refused(registry: RegistryService, when: dict[str, str]) -> None:
    registry.create_device(OURS, device())
    before = get(registry)
    body = device(**when, spec={"x": 1})
    assert code_of(registry.update_device, OURS, "app1", "device1", body) == "resource.changed-meanwhile"
    precondition = Preconditions(when.get("uid", ""), when.get("resourceVersion", ""))
    assert code_of(registry.delete_device, OURS, "app1", "device1", precondition) == "resource.changed-meanwhile"
    assert get(registry) == before


@pytest.mark.parametrize("body", [device("other"), device(application="app2"), app("device1"), {}])
def test_drogue_66_names_in_the_body_must_be_those_in_the_path(registry: RegistryService, body: dict[str, Any]) -> None:
    registry.create_device(OURS, device())
    assert code_of(registry.update_device, OURS, "app1", "device1", body) == "resource.invalid"


def test_drogue_68_finalizers_hold_a_device(registry: RegistryService) -> None:
    registry.create_device(OURS, device(finalizers=["f"]))
    registry.delete_device(OURS, "app1", "device1", ANY)
    shown = get(registry)
    assert shown["metadata"]["deletionTimestamp"]
    assert code_of(registry.delete_device, OURS, "app1", "device1", ANY) == "resource.not-found"
    registry.update_device(OURS, "app1", "device1", edited(shown, lambda body: body["metadata"].pop("finalizers")))
    assert code_of(registry.get_device, OURS, "app1", "device1") == "resource.not-found"


def test_removing_finalizers_of_a_device_that_lives_removes_nothing(registry: RegistryService) -> None:
    registry.create_device(OURS, device(finalizers=["f"]))
    assert "finalizers" not in put(registry, device())["metadata"]


def test_what_does_not_exist_is_not_found(registry: RegistryService) -> None:
    for call, more in (
        (registry.get_device, ()),
        (registry.update_device, (device(),)),
        (registry.delete_device, (ANY,)),
        (registry.generate_password, ()),
    ):
        assert code_of(call, OURS, "app1", "device1", *more) == "resource.not-found"


def test_secrets_go_with_their_credential_and_their_device(house: House, registry: RegistryService) -> None:
    two = credentials({"pass": "a"}, {"psk": {"key": "AAAA"}})
    registry.create_device(OURS, device(spec=two, labels={"a": "1"}))
    registry.create_device(OURS, device("other", spec=two))
    assert rows(house, device_secrets) == 4
    put(registry, edited(get(registry), lambda body: body["spec"]["authentication"]["credentials"].pop()))
    assert rows(house, device_secrets) == 3
    put(registry, device(spec=with_password("b")))
    assert rows(house, device_secrets) == 3
    registry.delete_device(OURS, "app1", "device1", ANY)
    assert rows(house, device_secrets) == 2
    assert rows(house, device_labels) == 0
    put(registry, device("other"))
    assert rows(house, device_secrets) == 0


def test_a_write_that_fails_leaves_no_secrets(house: House, registry: RegistryService) -> None:
    registry.create_device(OURS, device("a", spec={"alias": ["key"]}))
    body = device("b", spec={"alias": ["key"], **with_password()})
    assert code_of(registry.create_device, OURS, body) == "resource.conflict"
    registry.create_device(OURS, device("b", spec=with_password()))
    assert code_of(registry.update_device, OURS, "app1", "b", body) == "resource.conflict"
    assert rows(house, device_secrets) == 1


def verifiers_of(house: House) -> list[str]:
    with house.database().read() as connection:
        return list(connection.execute(select(device_secrets.c.verifier)).scalars())


def test_a_generated_password_is_shown_once_and_replaces_the_one_before(
    house: House, registry: RegistryService
) -> None:
    registry.create_device(OURS, device(spec=with_password("chosen")))
    made = [registry.generate_password(OURS, "app1", "device1") for _ in range(3)]
    assert len(set(made)) == 3
    assert all(secret_text.is_generated(secret, "frd_") for secret in made)
    checks = Verifiers(house.vault)
    stored = verifiers_of(house)
    assert len(stored) == 2
    for secret, expected in ((made[2], True), (made[0], False), (made[1], False), ("chosen", True)):
        assert any(checks.check(verifier, secret) for verifier in stored) is expected
    shown = get(registry)
    assert shown["metadata"]["generation"] == 3
    assert len(shown["spec"]["authentication"]["credentials"]) == 2


def test_a_secret_that_the_owner_sent_is_not_replaced_even_if_it_has_our_form(
    house: House, registry: RegistryService
) -> None:
    sent = secret_text.generate(secret_text.DEVICE)
    registry.create_device(OURS, device(spec=with_password(sent)))
    registry.generate_password(OURS, "app1", "device1")
    assert len(verifiers_of(house)) == 2


def test_many_devices_are_made_in_one_piece(house: House, registry: RegistryService) -> None:
    registry.create_application(OURS, app("app2"))
    bodies = [device(f"d{i}", f"app{i % 2 + 1}", labels={"i": str(i)}, spec=with_password("x")) for i in range(20)]
    made = registry.create_devices(OURS, bodies)
    assert made == [(f"app{i % 2 + 1}", f"d{i}") for i in range(20)]
    assert len(registry.list_devices(OURS, "app1")) == 10
    for broken, code in (
        (device("d0"), "resource.conflict"),
        (device("new"), "resource.conflict"),
        (device("fine", "missing"), "resource.reference.not-found"),
        (device("fine", spec={"authentication": None}), "resource.invalid"),
    ):
        assert code_of(registry.create_devices, OURS, [device("new"), broken]) == code
    assert rows(house, devices) == 20
    assert registry.create_devices(OURS, []) == []


def test_the_list_is_sorted_and_paged(registry: RegistryService) -> None:
    registry.create_devices(OURS, [device(name, labels={"n": name[0]}) for name in ("c", "a", "B", "ab")])

    def names(**query: Any) -> list[str]:
        return [each.metadata["name"] for each in registry.list_devices(OURS, "app1", **query)]

    assert names() == ["B", "a", "ab", "c"]
    assert names(limit=2, offset=1) == ["a", "ab"]
    assert names(labels="n=a") == ["a", "ab"]
    assert names(labels="n=a", limit=1, offset=1) == ["ab"]
    assert code_of(registry.list_devices, OURS, "app1", labels="#") == "request.invalid"


def test_of_two_writers_of_one_version_one_wins(house: House) -> None:
    registries = [house.registry(), house.registry()]
    registries[0].create_device(OURS, device())
    for _ in range(10):
        seen = get(registries[0])
        outcomes: list[str] = []
        start = threading.Barrier(2)

        def write(registry: RegistryService, value: object, seen: Any, start: Any, outcomes: list[str]) -> None:
            start.wait()
            try:
                registry.update_device(OURS, "app1", "device1", edited(seen, lambda b: b.update(spec={"x": value})))
                outcomes.append("written")
            except FreeholdError as refused:
                outcomes.append(refused.refusal.code)

        threads = [
            threading.Thread(target=write, args=(each, [i, seen["metadata"]["resourceVersion"]], seen, start, outcomes))
            for i, each in enumerate(registries)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == ["resource.changed-meanwhile", "written"]


def test_writers_without_preconditions_all_get_through(house: House) -> None:
    registries = [house.registry() for _ in range(4)]
    registries[0].create_device(OURS, device())
    made: list[str] = []

    def generate(registry: RegistryService) -> None:
        made.append(registry.generate_password(OURS, "app1", "device1"))

    threads = [threading.Thread(target=generate, args=(each,)) for each in registries]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 4
    assert get(registries[0])["metadata"]["generation"] == 4
    (verifier,) = verifiers_of(house)
    assert sum(Verifiers(house.vault).check(verifier, secret) for secret in made) == 1


def test_a_tool_opens_the_registry_by_its_folder(house: House, tmp_path: Any) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    tool = open_registry(house.database(), keys, {})
    tool.create_device(OURS, device())
    assert secret_text.is_generated(tool.generate_password(OURS, "app1", "device1"), "frd_")
