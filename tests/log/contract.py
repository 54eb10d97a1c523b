# SPDX-License-Identifier: Apache-2.0
"""The contract of `freehold.log.interfaces` as one suite. Every engine in `tests.log.engines` passes all of it."""

from __future__ import annotations

from tests.log.contract_append import AppendContract
from tests.log.contract_keep import KeepContract
from tests.log.contract_read import ReadContract


class EventLogContract(AppendContract, ReadContract, KeepContract):
    """Appending, reading, and keeping: what goes, what stays, what is known about it."""
