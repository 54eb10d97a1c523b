# SPDX-License-Identifier: Apache-2.0
"""Platforms for the tests of the MQTT endpoint (see `tests/contract/house.py`)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import uvloop

from freehold.connect.mqtt import endpoint
from tests.contract.house import Furnished, House, furnish

OpenHouse = Callable[..., Awaitable[House]]


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Callable[[], Any]] | None:
    """The loop that the endpoint role runs on; the codec's tests have no endpoint."""
    return None if "codec" in item.path.parts else {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Furnished:
    return asyncio.run(furnish(tmp_path_factory.mktemp("furnished")))


@pytest.fixture
def secrets(furnished: Furnished) -> Mapping[str, str]:
    """The generated password of each device."""
    return furnished.secrets


@pytest.fixture
async def open_house(tmp_path: Path, furnished: Furnished, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[OpenHouse]:
    """Opens a furnished house with settings of its own, once: `await open_house({"mqtt.inbox": 2})`."""
    monkeypatch.setattr(endpoint, "SWEEP_SECONDS", 0.05)  # so that what waits for a sweep waits less
    async with AsyncExitStack() as stack:

        async def build(overrides: Mapping[str, Any] | None = None, **more: Any) -> House:
            return await stack.enter_async_context(House(furnished.copy(tmp_path), overrides, **more))

        yield build


@pytest.fixture
async def house(open_house: OpenHouse) -> House:
    return await open_house()
