# SPDX-License-Identifier: Apache-2.0
"""What the store did since it started: plain integers, for metrics to read (`freehold.core.metrics`)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Counters:
    """Of the writing side, all applications together."""

    commits: int = 0
    """Transactions, those of upkeep included."""
    rows: int = 0
    """Rows made durable."""
    late_rows: int = 0
    """Rows left out because they are older than what retention has deleted."""
    refused_fields: int = 0
    """Values left out because their device has as many fields as it may."""
