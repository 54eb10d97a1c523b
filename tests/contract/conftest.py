# SPDX-License-Identifier: Apache-2.0
"""The platform that the numbered contract checks speak to (see `house.py`)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import uvloop

from tests.contract.house import Furnished, House, furnish


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Callable[[], Any]]:
    """The loop that the endpoint role runs on."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Furnished:
    return asyncio.run(furnish(tmp_path_factory.mktemp("furnished")))


@pytest.fixture
async def platform(tmp_path: Path, furnished: Furnished) -> AsyncIterator[House]:
    """A platform of its own for each test, with the application `app1` and what `Furnished` names."""
    async with House(furnished.copy(tmp_path)) as house:
        yield house
