# SPDX-License-Identifier: Apache-2.0
"""The one decision: the owner everything in their tenant, nobody anything elsewhere, unknown roles nothing."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from freehold.core.errors import FreeholdError
from freehold.identity.authorize import GRANTS, RoleAuthorizer, allowed, granted
from freehold.identity.models import Permission, Principal, Role, Via


@dataclass(frozen=True)
class Thing:
    tenant: str


def principal(*permissions: Permission) -> Principal:
    return Principal("ours", "person", "name", Via.SESSION, frozenset(permissions))


OWNER = principal(*granted("owner"))
READER = principal(Permission.APP_READ)


def refusal(who: Principal, permission: Permission, thing: Thing | None) -> FreeholdError:
    with pytest.raises(FreeholdError) as caught:
        RoleAuthorizer().require(who, permission, thing)
    return caught.value


def test_the_table_has_every_role() -> None:
    assert set(GRANTS) == set(Role)


@pytest.mark.parametrize("permission", Permission)
def test_the_owner_may_everything_in_their_tenant_and_nothing_elsewhere(permission: Permission) -> None:
    assert allowed(OWNER, permission, "ours")
    assert not allowed(OWNER, permission, "theirs")
    thing = Thing("ours")
    assert RoleAuthorizer().require(OWNER, permission, thing) is thing


@pytest.mark.parametrize("permission", Permission)
@pytest.mark.parametrize("who", [OWNER, READER, principal()])
def test_absent_and_not_yours_are_one_refusal(permission: Permission, who: Principal) -> None:
    absent, foreign = refusal(who, permission, None), refusal(who, permission, Thing("theirs"))
    assert absent.problem() == foreign.problem()
    assert absent.legacy_body() == foreign.legacy_body()
    assert absent.refusal.code == "resource.not-found"


@pytest.mark.parametrize("permission", [each for each in Permission if each is not Permission.APP_READ])
def test_what_may_be_seen_but_not_done_is_forbidden_and_named(permission: Permission) -> None:
    error = refusal(READER, permission, Thing("ours"))
    assert error.refusal.code == "identity.forbidden"
    assert permission in error.detail


@pytest.mark.parametrize("role", ["", "Owner", "admin", "root"])
def test_an_unknown_role_grants_nothing(role: str) -> None:
    assert granted(role) == frozenset()


def test_the_tenant_itself_is_asked_for_by_the_principal() -> None:
    assert RoleAuthorizer().require(OWNER, Permission.TENANT_ADMIN, OWNER) is OWNER
    assert refusal(READER, Permission.TENANT_ADMIN, READER).refusal.code == "identity.forbidden"  # type: ignore[arg-type]
