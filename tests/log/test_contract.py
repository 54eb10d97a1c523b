# SPDX-License-Identifier: Apache-2.0
"""Runs the contract over every engine."""

from __future__ import annotations

from tests.log.contract import EventLogContract


class TestContract(EventLogContract):
    pass
