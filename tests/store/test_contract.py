# SPDX-License-Identifier: Apache-2.0
"""Runs the contract over every engine."""

from __future__ import annotations

from tests.store.contract import TelemetryContract


class TestContract(TelemetryContract):
    pass
