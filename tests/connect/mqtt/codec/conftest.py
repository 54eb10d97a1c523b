# SPDX-License-Identifier: Apache-2.0
"""The codec's tests run on asyncio's own loop: nothing of Freehold's but pure functions is in them."""

import asyncio
from collections.abc import Callable, Mapping


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop}
