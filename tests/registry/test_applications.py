# SPDX-License-Identifier: Apache-2.0
"""Applications as the service keeps them: versions, preconditions, deletion, what is theirs and what is ours."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from sqlalchemy import func, select

from freehold.core.errors import FreeholdError
from freehold.registry.interfaces import ApplicationRef, Preconditions
from freehold.registry.service import RegistryService
from freehold.registry.tables import application_keys, application_labels, devices
from tests.registry.conftest import ANY, OURS, House, app, code_of, device, edited


def get(registry: RegistryService, name: str = "app1") -> dict[str, Any]:
    return registry.get_application(OURS, name).as_json()


def put(registry: RegistryService, body: dict[str, Any]) -> dict[str, Any]:
    registry.update_application(OURS, body["metadata"]["name"], body)
    return get(registry, body["metadata"]["name"])


def test_drogue_64_a_new_application_has_exactly_five_metadata(registry: RegistryService, app1: str) -> None:
    shown = get(registry)
    assert set(shown["metadata"]) == {"name", "uid", "creationTimestamp", "generation", "resourceVersion"}
    assert shown["metadata"]["name"] == app1
    assert shown["metadata"]["generation"] == 0
    assert "spec" not in shown


def test_drogue_64_it_is_ready_at_once(registry: RegistryService, app1: str) -> None:
    shown = get(registry)
    conditions = {each["type"]: each for each in shown["status"]["conditions"]}
    for kind in ("KafkaReady", "Ready"):
        assert conditions[kind]["status"] == "True"
        assert conditions[kind]["lastTransitionTime"] == shown["metadata"]["creationTimestamp"]


def test_what_is_sent_is_shown(registry: RegistryService) -> None:
    body = app(labels={"a": "1"}, annotations={"b": "2"}, finalizers=["f"], spec={"x": [1]}, status={"y": {}})
    registry.create_application(OURS, body)
    shown = get(registry)
    for part in ("labels", "annotations", "finalizers"):
        assert shown["metadata"][part] == body["metadata"][part]
    assert shown["spec"] == {"x": [1]}
    assert shown["status"]["y"] == {}


def test_a_new_application_is_made_by_us_whatever_the_body_says(registry: RegistryService) -> None:
    claimed = {
        "uid": "mine",
        "generation": 9,
        "resourceVersion": "mine",
        "creationTimestamp": "2001-01-01T00:00:00Z",
        "deletionTimestamp": "2001-01-01T00:00:00Z",
    }
    registry.create_application(OURS, app(**claimed))
    metadata = get(registry)["metadata"]
    assert not any(metadata.get(name) == value for name, value in claimed.items())


CHANGES = {
    "label": lambda body: body["metadata"].update(labels={"a": "1"}),
    "annotation": lambda body: body["metadata"].update(annotations={"a": "1"}),
    "finalizer": lambda body: body["metadata"].update(finalizers=["f"]),
    "status": lambda body: body["status"].update(mine=1),
}


@pytest.mark.parametrize("part", CHANGES)
def test_drogue_65_a_change_outside_spec_is_a_new_version_of_the_same_generation(
    registry: RegistryService, app1: str, part: str
) -> None:
    before = get(registry)
    after = put(registry, edited(before, CHANGES[part]))
    assert after["metadata"]["generation"] == 0
    assert after["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"]
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["metadata"]["creationTimestamp"] == before["metadata"]["creationTimestamp"]


def test_drogue_65_a_change_of_spec_is_the_next_generation(registry: RegistryService, app1: str) -> None:
    versions = set()
    for generation, spec in enumerate([{"a": 1}, {"a": True}, {"a": 1.0}, {"a": [1]}, {}], 1):
        shown = put(registry, app(spec=spec))
        assert shown["metadata"]["generation"] == generation
        assert shown.get("spec", {}) == spec
        versions.add(shown["metadata"]["resourceVersion"])
    assert len(versions) == 5


def test_drogue_65_sending_back_what_was_read_changes_nothing(registry: RegistryService) -> None:
    registry.create_application(
        OURS, app(labels={"a": "1"}, spec={"downstream": {"password": "kafka"}}, status={"conditions": [{"type": "X"}]})
    )
    before = get(registry)
    assert put(registry, before) == before
    assert put(registry, edited(before, lambda body: body["metadata"].pop("resourceVersion"))) == before
    reordered = {part: before[part] for part in reversed(list(before))}
    assert put(registry, reordered) == before


def test_what_is_left_out_is_gone(registry: RegistryService) -> None:
    registry.create_application(OURS, app(labels={"a": "1"}, annotations={"b": "2"}, spec={"x": 1}, status={"y": 1}))
    shown = put(registry, app())
    assert not {"labels", "annotations"} & set(shown["metadata"])
    assert "spec" not in shown
    assert set(shown["status"]) == {"conditions"}


def test_conditions_of_others_stay_and_ours_stay_ours(registry: RegistryService, app1: str) -> None:
    theirs = {"type": "KnativeReady", "status": "False"}
    forged = {"type": "Ready", "status": "False", "reason": "NonReadyConditions"}
    shown = put(registry, app(status={"conditions": [forged, theirs]}))
    assert theirs in shown["status"]["conditions"]
    assert forged not in shown["status"]["conditions"]
    assert len(shown["status"]["conditions"]) == 3


@pytest.mark.parametrize("conditions", [None, {}, "Ready", 5, [None, 5, "Ready"]])
def test_conditions_of_another_shape_do_no_harm(registry: RegistryService, app1: str, conditions: object) -> None:
    shown = put(registry, app(status={"conditions": conditions}))
    assert {"KafkaReady", "Ready"} <= {c["type"] for c in shown["status"]["conditions"] if isinstance(c, dict)}
    assert put(registry, shown) == shown


@pytest.mark.parametrize("when", [{"uid": "foreign"}, {"resourceVersion": "stale"}])
def test_drogue_66_other_versions_are_refused(registry: RegistryService, app1: str, when: dict[str, str]) -> None:
    before = get(registry)
    body = app(**when, spec={"x": 1})
    assert code_of(registry.update_application, OURS, "app1", body) == "resource.changed-meanwhile"
    precondition = Preconditions(when.get("uid", ""), when.get("resourceVersion", ""))
    assert code_of(registry.delete_application, OURS, "app1", precondition) == "resource.changed-meanwhile"
    assert get(registry) == before


def test_drogue_66_the_right_version_is_taken_once(registry: RegistryService, app1: str) -> None:
    seen = get(registry)
    put(registry, edited(seen, lambda body: body.update(spec={"x": 1})))
    again = edited(seen, lambda body: body.update(spec={"x": 2}))
    assert code_of(registry.update_application, OURS, "app1", again) == "resource.changed-meanwhile"
    assert get(registry)["spec"] == {"x": 1}


def test_drogue_66_the_name_in_the_body_must_be_the_one_in_the_path(registry: RegistryService, app1: str) -> None:
    assert code_of(registry.update_application, OURS, "app1", app("app2")) == "resource.invalid"
    assert code_of(registry.update_application, OURS, "app1", {}) == "resource.invalid"


def test_a_name_is_taken_once_in_the_installation(registry: RegistryService, app1: str) -> None:
    assert code_of(registry.create_application, OURS, app()) == "resource.conflict"


def test_what_does_not_exist_is_not_found(registry: RegistryService) -> None:
    for call, more in (
        (registry.get_application, ()),
        (registry.update_application, (app(),)),
        (registry.delete_application, (ANY,)),
        (registry.list_devices, ()),
    ):
        assert code_of(call, OURS, "app1", *more) == "resource.not-found"
    assert registry.find_application("app1") is None


def test_of_an_application_everybody_may_learn_whose_it_is_inside_the_house(
    registry: RegistryService, app1: str
) -> None:
    uid = get(registry)["metadata"]["uid"]
    assert registry.find_application("app1") == ApplicationRef(uid, "app1", OURS)


def test_the_list_is_sorted_and_paged(registry: RegistryService) -> None:
    for name in ("c", "a", "b.x", "b"):
        registry.create_application(OURS, app(name, labels={"first": name[0]}))

    def names(**query: Any) -> list[str]:
        return [each.metadata["name"] for each in registry.list_applications(OURS, **query)]

    assert names() == ["a", "b", "b.x", "c"]
    assert names(limit=2) == ["a", "b"]
    assert names(limit=2, offset=1) == ["b", "b.x"]
    assert names(offset=3) == ["c"]
    assert names(limit=0) == []
    assert names(labels="first=b") == ["b", "b.x"]
    assert names(labels="first!=b", limit=1, offset=1) == ["c"]
    assert code_of(registry.list_applications, OURS, labels="first,#") == "request.invalid"


def test_labels_are_found_by_what_they_are_now(registry: RegistryService) -> None:
    registry.create_application(OURS, app(labels={"a": "1"}))
    put(registry, app(labels={"a": "2"}))
    assert registry.list_applications(OURS, labels="a=1") == []
    assert len(registry.list_applications(OURS, labels="a=2")) == 1


def test_deleting_leaves_nothing(house: House, registry: RegistryService) -> None:
    registry.create_application(OURS, app(labels={"a": "1"}))
    registry.create_device(OURS, device(labels={"a": "1"}))
    registry.delete_application(OURS, "app1", ANY)
    assert code_of(registry.get_application, OURS, "app1") == "resource.not-found"
    with house.database().read() as connection:
        for table in (devices, application_keys, application_labels):
            assert connection.execute(select(func.count()).select_from(table)).scalar() == 0


def test_a_name_that_became_free_is_another_application(registry: RegistryService, app1: str) -> None:
    before = get(registry)["metadata"]["uid"]
    registry.delete_application(OURS, "app1", ANY)
    registry.create_application(OURS, app())
    assert get(registry)["metadata"]["uid"] != before


def test_drogue_68_finalizers_hold_an_application(registry: RegistryService) -> None:
    registry.create_application(OURS, app(finalizers=["kafka", "knative"]))
    before = get(registry)["metadata"]
    registry.delete_application(OURS, "app1", ANY)
    shown = get(registry)
    assert shown["metadata"]["deletionTimestamp"]
    assert shown["metadata"]["resourceVersion"] != before["resourceVersion"]
    assert shown["metadata"]["generation"] == 0
    assert code_of(registry.delete_application, OURS, "app1", ANY) == "resource.not-found"
    shown = put(registry, edited(shown, lambda body: body["metadata"].update(finalizers=["knative"])))
    assert shown["metadata"]["finalizers"] == ["knative"]
    assert shown["metadata"]["deletionTimestamp"]
    registry.update_application(OURS, "app1", edited(shown, lambda body: body["metadata"].pop("finalizers")))
    assert code_of(registry.get_application, OURS, "app1") == "resource.not-found"


def test_drogue_68_no_device_can_be_made_in_an_application_being_deleted(registry: RegistryService) -> None:
    registry.create_application(OURS, app(finalizers=["f"]))
    registry.delete_application(OURS, "app1", ANY)
    assert code_of(registry.create_device, OURS, device()) == "resource.reference.not-found"


def test_drogue_68_an_application_waits_for_devices_with_finalizers(registry: RegistryService, app1: str) -> None:
    registry.create_devices(OURS, [device("plain"), device("one", finalizers=["f"]), device("two", finalizers=["f"])])
    registry.delete_application(OURS, "app1", ANY)
    assert get(registry)["metadata"]["finalizers"] == ["has-devices"]
    held = registry.list_devices(OURS, "app1")
    assert [each.metadata["name"] for each in held] == ["one", "two"]
    assert all(each.metadata["deletionTimestamp"] for each in held)
    assert len({each.metadata["resourceVersion"] for each in held}) == 2
    registry.update_device(OURS, "app1", "one", device("one"))
    assert get(registry)["metadata"]["finalizers"] == ["has-devices"]
    registry.update_device(OURS, "app1", "two", device("two"))
    assert code_of(registry.get_application, OURS, "app1") == "resource.not-found"


def test_drogue_68_has_devices_goes_with_the_last_device_and_the_others_stay(registry: RegistryService) -> None:
    registry.create_application(OURS, app(finalizers=["kafka"]))
    registry.create_device(OURS, device(finalizers=["f"]))
    registry.delete_application(OURS, "app1", ANY)
    assert get(registry)["metadata"]["finalizers"] == ["kafka", "has-devices"]
    registry.update_device(OURS, "app1", "device1", device())
    assert get(registry)["metadata"]["finalizers"] == ["kafka"]
    registry.update_application(OURS, "app1", app())
    assert code_of(registry.get_application, OURS, "app1") == "resource.not-found"


def test_drogue_68_a_client_cannot_remove_has_devices(registry: RegistryService, app1: str) -> None:
    registry.create_device(OURS, device(finalizers=["f"]))
    registry.delete_application(OURS, "app1", ANY)
    assert put(registry, app())["metadata"]["finalizers"] == ["has-devices"]
    assert len(registry.list_devices(OURS, "app1")) == 1


def test_of_two_writers_of_one_version_one_wins(house: House, app1: str) -> None:
    first, second = house.registry(), house.registry()
    seen = get(first)
    outcomes: list[str] = []
    start = threading.Barrier(2)

    def write(registry: RegistryService, value: int) -> None:
        start.wait()
        try:
            registry.update_application(OURS, "app1", edited(seen, lambda body: body.update(spec={"x": value})))
            outcomes.append("written")
        except FreeholdError as refused:
            outcomes.append(refused.refusal.code)

    for _ in range(10):
        outcomes.clear()
        seen = get(first)
        threads = [threading.Thread(target=write, args=(each, i)) for i, each in enumerate((first, second))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == ["resource.changed-meanwhile", "written"]
        first.update_application(OURS, "app1", app(spec={"x": "neither"}))


def test_changes_are_announced_after_they_are_committed_and_refusals_are_not(house: House) -> None:
    seen: list[bool] = []
    other = house.registry()
    registry = house.registry(lambda: seen.append(other.find_application("app1") is not None))
    registry.create_application(OURS, app())
    assert seen == [True]
    assert code_of(registry.create_application, OURS, app()) == "resource.conflict"
    assert seen == [True]
