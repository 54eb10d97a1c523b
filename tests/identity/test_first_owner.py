# SPDX-License-Identifier: Apache-2.0
"""The first start: one tenant, one owner, and a link as long as nobody has used one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select

from freehold.core.errors import FreeholdError
from freehold.identity.models import Permission, Via
from freehold.identity.service import IdentityService
from freehold.identity.tables import people, tenants
from tests.identity.conftest import House


def test_the_first_start_makes_an_owner_and_wants_a_link(house: House) -> None:
    identity = house.identity()
    assert identity.ensure_first_owner() is True
    principal = identity.principal(identity.first_owner())
    assert principal.name == "owner"
    assert principal.via is Via.MACHINE
    assert principal.permissions == frozenset(Permission)


def test_a_link_is_wanted_until_somebody_signed_in(house: House) -> None:
    identity = house.identity()
    assert identity.ensure_first_owner() is True
    assert identity.ensure_first_owner() is True
    identity.redeem_link(identity.make_link(identity.first_owner()))
    assert identity.ensure_first_owner() is False


def test_processes_that_start_at_once_make_one_owner(house: House) -> None:
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: house.identity().ensure_first_owner(), range(8)))
    with house.database.read() as connection:
        assert connection.execute(select(func.count()).select_from(people)).scalar() == 1
        assert connection.execute(select(func.count()).select_from(tenants)).scalar() == 1


def test_there_is_no_owner_before_the_first_start(house: House) -> None:
    with pytest.raises(FreeholdError) as refused:
        house.identity().first_owner()
    assert refused.value.refusal.code == "resource.not-found"


def test_nobody_has_a_uid_that_does_not_exist(identity: IdentityService) -> None:
    for call in (identity.principal, identity.make_link):
        with pytest.raises(FreeholdError) as refused:
            call("00000000-0000-0000-0000-000000000000")
        assert refused.value.refusal.code == "resource.not-found"
