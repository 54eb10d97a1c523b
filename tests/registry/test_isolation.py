# SPDX-License-Identifier: Apache-2.0
"""Two tenants: nothing of one is visible to the other, and "absent" and "not yours" are the same answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from freehold.core.errors import FreeholdError
from freehold.registry.api import BASE
from freehold.registry.service import RegistryService
from tests.registry.conftest import ANY, OURS, THEIRS, Client, app, code_of, device, with_password


@pytest.fixture
def both(registry: RegistryService) -> RegistryService:
    for tenant, name in ((OURS, "ours"), (THEIRS, "theirs")):
        registry.create_application(tenant, app(name, labels={"l": "1"}))
        registry.create_device(tenant, device("d", name, labels={"l": "1"}, spec=with_password()))
    return registry


def outcome(call: Callable[..., Any], *arguments: Any) -> dict[str, Any]:
    with pytest.raises(FreeholdError) as refused:
        call(*arguments)
    return refused.value.problem()


def test_lists_show_ones_own_only(both: RegistryService) -> None:
    for tenant, name in ((OURS, "ours"), (THEIRS, "theirs")):
        for labels in ("", "l", "l=1", "!x"):
            found = both.list_applications(tenant, labels=labels)
            assert [each.metadata["name"] for each in found] == [name]


def test_the_service_gives_nothing_of_another_tenant(both: RegistryService) -> None:
    calls: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
        (both.get_application, ()),
        (both.delete_application, (ANY,)),
        (both.list_devices, ()),
        (both.get_device, ("d",)),
        (both.delete_device, ("d", ANY)),
        (both.generate_password, ("d",)),
    ]
    for call, more in calls:
        foreign, absent = outcome(call, OURS, "theirs", *more), outcome(call, OURS, "absent", *more)
        assert str(foreign).replace("theirs", "absent") == str(absent)
        assert foreign["code"] == "resource.not-found"
    for body in (lambda name: (name, app(name)), lambda name: (name, "d", device("d", name))):
        call = both.update_application if len(body("x")) == 2 else both.update_device
        foreign, absent = outcome(call, OURS, *body("theirs")), outcome(call, OURS, *body("absent"))
        assert str(foreign).replace("theirs", "absent") == str(absent)
    assert outcome(both.create_device, OURS, device("x", "theirs")) == outcome(
        both.create_device, OURS, device("x", "absent")
    )
    assert both.get_device(THEIRS, "theirs", "d").metadata["generation"] == 0
    assert len(both.list_devices(THEIRS, "theirs")) == 1


def test_a_bulk_with_one_foreign_device_makes_none(both: RegistryService) -> None:
    bodies = [device("x", "ours"), device("y", "theirs")]
    assert code_of(both.create_devices, OURS, bodies) == "resource.reference.not-found"
    assert len(both.list_devices(OURS, "ours")) == 1


def test_device_keys_of_tenants_do_not_meet(both: RegistryService) -> None:
    both.create_device(OURS, device("same", "ours", spec={"alias": ["al"]}))
    both.create_device(THEIRS, device("same", "theirs", spec={"alias": ["al"]}))


def test_the_placeholder_of_another_tenants_secret_opens_nothing(both: RegistryService) -> None:
    theirs = both.get_device(THEIRS, "theirs", "d").spec
    assert code_of(both.create_device, OURS, device("x", "ours", spec=dict(theirs))) == "resource.invalid"
    assert code_of(both.update_device, OURS, "ours", "d", device("d", "ours", spec=dict(theirs))) == "resource.invalid"


REQUESTS: list[tuple[str, str, Any]] = [
    ("GET", "/apps/{app}", None),
    ("PUT", "/apps/{app}", lambda name: app(name)),
    ("DELETE", "/apps/{app}", None),
    ("GET", "/apps/{app}/devices", None),
    ("GET", "/apps/{app}/devices?labels=l&limit=1", None),
    ("POST", "/apps/{app}/devices", lambda name: device("new", name)),
    ("GET", "/apps/{app}/devices/d", None),
    ("PUT", "/apps/{app}/devices/d", lambda name: device("d", name)),
    ("DELETE", "/apps/{app}/devices/d", None),
    ("POST", "../../v1/apps/{app}/devices/d/password", None),
]


@pytest.mark.parametrize(
    ("method", "path", "body"), REQUESTS, ids=lambda value: value if isinstance(value, str) else ""
)
async def test_over_http_absent_and_not_yours_are_byte_for_byte_the_same(
    both: RegistryService, clients: Callable[[str | None], Client], method: str, path: str, body: Any
) -> None:
    answers = []
    for name in ("theirs", "absent"):
        url = f"{BASE}{path.format(app=name)}" if path.startswith("/") else f"/api/v1/apps/{name}/devices/d/password"
        answers.append(await clients("ann").http.request(method, url, json=body(name) if body else None))
    foreign, absent = answers
    assert foreign.status_code == absent.status_code == 404
    assert foreign.content.replace(b"theirs", b"absent") == absent.content
    assert foreign.headers.items() == absent.headers.items()
    assert both.get_device(THEIRS, "theirs", "d").as_json() == both.get_device(THEIRS, "theirs", "d").as_json()
    assert [each.metadata["name"] for each in both.list_devices(THEIRS, "theirs")] == ["d"]
    assert both.get_application(THEIRS, "theirs").metadata["generation"] == 0


async def test_each_sees_their_own_over_http(both: RegistryService, clients: Callable[[str | None], Client]) -> None:
    for person, name in (("ann", "ours"), ("bob", "theirs")):
        client = clients(person)
        assert [each["metadata"]["name"] for each in (await client.get("/apps")).json()] == [name]
        assert (await client.get(f"/apps/{name}/devices/d")).status_code == 200
