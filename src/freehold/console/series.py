# SPDX-License-Identifier: Apache-2.0
"""What the chart page needs to know of an application's series, as JSON for `static/js/telemetry.js`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from freehold.store.interfaces import SeriesInfo

MOST = 2000
"""Series that a page offers; past it the filter by device narrows them."""

CHOSEN_AT_FIRST = 4


def series_for_page(app: str, series: Sequence[SeriesInfo], *, device: str = "") -> dict[str, Any]:
    """Newest first, so that what is alive is what is offered and chosen first."""
    newest = sorted(series, key=lambda one: one.last_time, reverse=True)[:MOST]
    return {
        "app": app,
        "device": device,
        "chosenAtFirst": CHOSEN_AT_FIRST,
        "series": [
            {
                "device": one.device,
                "measurement": one.measurement,
                "field": one.field,
                "kind": kind(one.last_value),
                "last": one.last_value,
                "time": one.last_time // 1000,
            }
            for one in newest
        ],
    }


def kind(value: object) -> str:
    """How a series is drawn: `text` as a table, `bool` in steps, `number` as a line."""
    if isinstance(value, bool):
        return "bool"
    return "text" if isinstance(value, str) else "number"
