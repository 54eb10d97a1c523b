# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the store's tests: every engine in turn, in a directory of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.store.engines import ENGINES, Engine

pytest.register_assert_rewrite(
    "tests.store.contract_keep",
    "tests.store.contract_read",
    "tests.store.contract_write",
    "tests.store.numbered",
    "tests.store.telemetry",
)

from tests.store.telemetry import Both, Telemetry  # noqa: E402 - after its asserts are to be rewritten


@pytest.fixture(params=list(ENGINES))
def engine(request: pytest.FixtureRequest) -> Engine:
    return ENGINES[request.param]


@pytest.fixture
async def telemetry(engine: Engine, tmp_path: Path) -> AsyncIterator[Telemetry]:
    made = Telemetry(engine, tmp_path)
    yield made
    await made.close()


@pytest.fixture
async def both(telemetry: Telemetry) -> Both:
    return Both(telemetry, await telemetry.open(), telemetry.reader())
