# SPDX-License-Identifier: Apache-2.0
"""The store as a dictionary: what `freehold.store.interfaces` says, in the plainest Python, to compare with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from freehold.store.interfaces import Query, Row, Value

Key = tuple[str, str, str]
Points = list[tuple[int, Value]]


class Naive:
    """Rows by identity; every answer is computed from all of them."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str, str, int, int], Row] = {}

    def write(self, rows: Sequence[Row]) -> None:
        for row in rows:
            self.rows[row.application, row.device, row.measurement, row.time, row.seq] = row

    def points(self, application: str) -> dict[Key, Points]:
        found: dict[Key, list[tuple[int, int, Value]]] = defaultdict(list)
        for row in self.rows.values():
            if row.application == application:
                for name, value in row.fields.items():
                    found[row.device, row.measurement, name].append((row.time, row.seq, value))
        return {
            key: [(time, value) for time, _, value in sorted(points, key=lambda point: point[:2])]
            for key, points in found.items()
        }

    def query(self, query: Query) -> dict[Key, Points]:
        answer = {}
        for key, points in self.points(query.application).items():
            device, measurement, name = key
            if (
                (query.devices and device not in query.devices)
                or (query.measurements and measurement not in query.measurements)
                or (query.fields and name not in query.fields)
            ):
                continue
            points = [point for point in points if query.start <= point[0] < query.end]
            if query.every is not None:
                points = self._aggregate(points, query.every, query)
            if points:
                answer[key] = points[-query.limit :]
        return answer

    def _aggregate(self, points: Points, every: int, query: Query) -> Points:
        buckets: dict[int, list[Value]] = defaultdict(list)
        for time, value in points:
            buckets[time // every * every].append(value)
        result = []
        for bucket, values in sorted(buckets.items()):
            numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
            match query.aggregate:
                case "count":
                    result.append((bucket, len(values)))
                case "last":
                    result.append((bucket, values[-1]))
                case _ if not numbers:
                    pass
                case "min":
                    result.append((bucket, min(numbers)))
                case "max":
                    result.append((bucket, max(numbers)))
                case "sum":
                    result.append((bucket, float(sum(numbers))))
                case "mean":
                    result.append((bucket, sum(numbers) / len(numbers)))
        return result
