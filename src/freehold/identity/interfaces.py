# SPDX-License-Identifier: Apache-2.0
"""Identity's contract: turn what a request shows into a `Principal`, and decide what that one may do.

Two protocols, because they change for different reasons: `Identity` grows with ways to sign in (OIDC,
OAuth2), `Authorizer` with what can be granted (roles, members of an application). APIs depend on both and
on nothing behind them. All calls block (run them in a thread from an event loop).
"""

from __future__ import annotations

from typing import Protocol, TypeVar

from freehold.identity.models import AccessToken, NewAccessToken, Permission, Principal, Role, Via

__all__ = [
    "AccessToken",
    "Authorizer",
    "Identity",
    "NewAccessToken",
    "Owned",
    "Permission",
    "Principal",
    "Role",
    "Via",
]

LINK_SECONDS = 15 * 60
FIRST_LINK_SECONDS = 24 * 3600


class Owned(Protocol):
    """Anything that belongs to one tenant: an application, a snapshot of one, a principal itself."""

    @property
    def tenant(self) -> str: ...


OwnedThing = TypeVar("OwnedThing", bound=Owned)


class Authorizer(Protocol):
    """Who may do what. The one place that says yes."""

    def require(self, principal: Principal, permission: Permission, thing: OwnedThing | None) -> OwnedThing:
        """`thing`, if `principal` may do `permission` to it. Never blocks.

        Pass the application as it was found, None included: "absent" and "not yours" are both
        `resource.not-found`, so nobody learns which. Raises `identity.forbidden` where the thing may be
        seen but this not done. For what concerns the tenant itself pass the principal.
        """
        ...


class Identity(Protocol):
    """Who is this? Secrets go in and come out as text and are never stored."""

    def ensure_first_owner(self) -> bool:
        """Make the first tenant and its owner where nobody exists yet.

        True while nobody has ever signed in: then print a link (`make_link` with `FIRST_LINK_SECONDS`).
        """
        ...

    def first_owner(self) -> str:
        """Uid of the person whom `ensure_first_owner` made. Raises `resource.not-found` before that."""
        ...

    def principal(self, person: str) -> Principal:
        """This person (uid), for a tool on the platform's own machine. Raises `resource.not-found`."""
        ...

    def make_link(self, person: str, seconds: int = LINK_SECONDS) -> str:
        """The secret of a link that signs `person` (uid) in once. Raises `resource.not-found`."""
        ...

    def redeem_link(self, secret: str) -> str:
        """A new session's secret for a link's, once. Raises `identity.link.invalid`."""
        ...

    def session(self, secret: str) -> Principal | None:
        """Whose session this is; use prolongs it. None when it never was, ended or was signed out."""
        ...

    def token(self, secret: str) -> Principal | None:
        """Whose access token this is; None when it never was, expired or was revoked."""
        ...

    def sign_out(self, secret: str) -> None:
        """End this session at once. Ending one that does not exist does no harm."""
        ...

    def sign_out_everywhere(self, principal: Principal) -> None:
        """End all sessions of this person at once."""
        ...

    def create_token(self, principal: Principal, description: str = "", expires: int | None = None) -> NewAccessToken:
        """A token that acts as this person until `expires` (microseconds). Raises `resource.invalid`."""
        ...

    def tokens(self, principal: Principal) -> list[AccessToken]:
        """The tokens of this person, the newest first."""
        ...

    def revoke_token(self, principal: Principal, uid: str) -> None:
        """Make one of this person's tokens worthless at once. Raises `resource.not-found`."""
        ...
