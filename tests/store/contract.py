# SPDX-License-Identifier: Apache-2.0
"""The contract of `freehold.store.interfaces` as one suite. Every engine in `tests.store.engines` passes all of it."""

from __future__ import annotations

from tests.store.contract_keep import KeepContract
from tests.store.contract_read import ReadContract
from tests.store.contract_write import WriteContract


class TelemetryContract(WriteContract, ReadContract, KeepContract):
    """Writing, reading, and what goes and stays."""
