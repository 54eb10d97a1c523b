# SPDX-License-Identifier: Apache-2.0
"""Whose name the code runs in: unset is an error, and no task sees another's."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from freehold.core.tenancy import NoTenant, acting_for, current_tenant


def test_code_without_a_tenant_fails() -> None:
    with pytest.raises(NoTenant):
        current_tenant()


def test_the_tenant_lasts_as_long_as_the_body() -> None:
    with acting_for("a"):
        assert current_tenant() == "a"
        with acting_for("b"):
            assert current_tenant() == "b"
        assert current_tenant() == "a"
    with pytest.raises(NoTenant):
        current_tenant()


def test_the_tenant_ends_with_an_exception_too() -> None:
    with pytest.raises(ZeroDivisionError), acting_for("a"):
        _ = 1 / 0
    with pytest.raises(NoTenant):
        current_tenant()


async def test_tasks_do_not_see_each_other() -> None:
    async def work(tenant: str) -> list[str]:
        with acting_for(tenant):
            seen = []
            for _ in range(20):
                await asyncio.sleep(0)
                seen.append(current_tenant())
            return seen

    tenants = [f"tenant-{n}" for n in range(20)]
    assert await asyncio.gather(*(work(tenant) for tenant in tenants)) == [[tenant] * 20 for tenant in tenants]
    with pytest.raises(NoTenant):
        current_tenant()


async def test_a_task_inherits_and_a_bare_thread_does_not() -> None:
    with acting_for("a"):
        assert await asyncio.create_task(_current()) == "a"
        assert await asyncio.to_thread(current_tenant) == "a"
        with ThreadPoolExecutor(1) as pool, pytest.raises(NoTenant):
            pool.submit(current_tenant).result()


async def _current() -> str:
    return current_tenant()
