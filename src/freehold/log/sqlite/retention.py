# SPDX-License-Identifier: Apache-2.0
"""What retention removes, found out beside the writer: it only gets told where to cut, and cuts in small slices.

Only the oldest records of a partition ever go, never some in the middle, so offsets keep no holes even where
the clock was set back.
"""

from __future__ import annotations

from dataclasses import dataclass

import apsw

from freehold.log.sqlite import schema


@dataclass(frozen=True, slots=True)
class Cut:
    """Batches of `stream` that end at or before offset `upto` go.

    `newest` is the last `seq` that existed when this was found out: a topic that is deleted and made again
    meanwhile may get the same stream id, but never the same `seq`.
    """

    stream: int
    upto: int
    newest: int


def plan(connection: apsw.Connection, before_us: int, bytes_per_topic: int) -> list[Cut]:
    """Where to cut so that nothing older than `before_us` stays, and no topic keeps more than its bytes."""
    newest = schema.ask_one(connection, schema.NEWEST)
    ends = _by_age(connection, before_us)
    for topic, size in schema.ask(
        connection,
        "SELECT s.topic, sum(b.size) FROM streams s JOIN batches b ON b.stream = s.id"
        " GROUP BY s.topic HAVING sum(b.size) > ?",
        (bytes_per_topic,),
    ):
        for stream, end in _by_size(connection, topic, size - bytes_per_topic).items():
            ends[stream] = max(end, ends.get(stream, 0))
    return [Cut(stream, end, newest) for stream, end in ends.items()]


def _by_age(connection: apsw.Connection, before_us: int) -> dict[int, int]:
    """Stream → end of its leading batches that are too old."""
    ends: dict[int, int] = {}
    for (stream,) in schema.ask(connection, "SELECT id FROM streams"):
        young = "SELECT base FROM batches WHERE stream = ? AND time >= ? ORDER BY base LIMIT 1"
        end = schema.ask_one(connection, young, (stream, before_us))
        if end is None:
            last = "SELECT base + count FROM batches WHERE stream = ? ORDER BY base DESC LIMIT 1"
            end = schema.ask_one(connection, last, (stream,))
        if end:
            ends[stream] = end
    return ends


def _by_size(connection: apsw.Connection, topic: str, excess: int) -> dict[int, int]:
    """Stream → end of its batches that must go, oldest of the topic first, until `excess` bytes went."""
    ends: dict[int, int] = {}
    for stream, end, size in connection.execute(
        "SELECT b.stream, b.base + b.count, b.size FROM streams s JOIN batches b ON b.stream = s.id"
        " WHERE s.topic = ? ORDER BY b.seq",
        (topic,),
    ):
        if excess <= 0:
            break
        ends[stream] = end
        excess -= size
    return ends
