# SPDX-License-Identifier: Apache-2.0
"""The one decision of who may do what, and the one table that it reads.

Today a person has one role in one tenant. Members of single applications and scoped tokens come as more
rows and one more look-up in `allowed`; nobody who asks has to change.
"""

from __future__ import annotations

from collections.abc import Mapping

from freehold.core.errors import FORBIDDEN, NOT_FOUND
from freehold.identity.interfaces import OwnedThing
from freehold.identity.models import Permission, Principal, Role

GRANTS: Mapping[Role, frozenset[Permission]] = {
    Role.OWNER: frozenset(Permission),
}
"""Role → what it may do in its own tenant. In another tenant nobody may anything."""


def granted(role: str) -> frozenset[Permission]:
    """What `role`, as stored, may do. A role that this version does not know may nothing."""
    return next((permissions for known, permissions in GRANTS.items() if known == role), frozenset())


def allowed(principal: Principal, permission: Permission, tenant: str) -> bool:
    """Whether `principal` may do `permission` to things of `tenant`."""
    return principal.tenant == tenant and permission in principal.permissions


class RoleAuthorizer:
    """`Authorizer` by role in the tenant."""

    def require(self, principal: Principal, permission: Permission, thing: OwnedThing | None) -> OwnedThing:
        # A thing that may not even be read looks absent; where reading is allowed, the refusal may say more.
        visible = thing is not None and principal.tenant == thing.tenant
        if thing is None or not visible:
            raise NOT_FOUND.error()
        if not allowed(principal, permission, thing.tenant):
            raise FORBIDDEN.error(f"This needs the permission {permission}", person=principal.person)
        return thing
