# SPDX-License-Identifier: Apache-2.0
"""The tenant for whom the running code works, as a context variable without a default.

Code that forgets to set it fails instead of seeing everybody's data (DESIGN.md, promise 7).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_tenant: ContextVar[str] = ContextVar("freehold_tenant")


class NoTenant(LookupError):
    """Code that needs a tenant ran without one: a fault of ours, never of the caller."""


def current_tenant() -> str:
    """Uid of the tenant in whose name this code runs. Raises `NoTenant` where nobody set one."""
    try:
        return _tenant.get()
    except LookupError:
        raise NoTenant("no tenant is set for this task") from None


@contextmanager
def acting_for(tenant: str) -> Iterator[None]:
    """Run the body in the name of `tenant` (uid)."""
    token = _tenant.set(tenant)
    try:
        yield
    finally:
        _tenant.reset(token)
