# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the log's tests: every engine in turn, in a directory of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.log.engines import ENGINES, Engine

settings.register_profile("patient", deadline=None)  # a busy machine is no failure
settings.load_profile("patient")

pytest.register_assert_rewrite(
    "tests.log.contract_append", "tests.log.contract_keep", "tests.log.contract_read", "tests.log.installation"
)

from tests.log.installation import Installation  # noqa: E402 - after its asserts are to be rewritten


@pytest.fixture(params=list(ENGINES))
def engine(request: pytest.FixtureRequest) -> Engine:
    return ENGINES[request.param]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where the log lives; not made yet."""
    return tmp_path / "log"


@pytest.fixture
async def installation(engine: Engine, place: Path) -> AsyncIterator[Installation]:
    made = Installation(engine, place)
    yield made
    await made.close()
