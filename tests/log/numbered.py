# SPDX-License-Identifier: Apache-2.0
"""Records that say who they are, and the check of a log against what was acknowledged.

A record's text is `key/number/` and filling that follows from both, so that a torn or mixed-up record shows.
Numbers of a key only grow, so that order and repeats show.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Collection

from freehold.log.interfaces import LogReader
from tests.log.installation import offsets_of, read_all, values_of

Name = tuple[str, int]


def record(key: str, number: int) -> bytes:
    chance = random.Random(f"{key}/{number}")
    size = chance.choice((0, 10, 100, 100, 1000, 5000, 30_000))
    return f"{key}/{number}/".encode() + chance.randbytes(size)


def name_of(value: bytes) -> Name:
    """Key and number of a record that is whole. Fails the test on any other."""
    key, number, _ = value.split(b"/", 2)
    name = key.decode(), int(number)
    assert value == record(*name), f"torn record {name}"
    return name


async def check(log: LogReader, topic: str, acknowledged: Collection[Name]) -> set[Name]:
    """Read `topic`; everything acknowledged must be there, once, whole, in order, at dense offsets.

    Returns what was found.
    """
    chunks = await read_all(log, topic)
    for partition, offsets in offsets_of(chunks).items():
        assert offsets == list(range(len(offsets))), f"offsets of partition {partition}"
    names = [name_of(value) for value in values_of(chunks)]
    by_key: dict[str, list[int]] = defaultdict(list)
    for key, number in names:
        by_key[key].append(number)
    for key, numbers in by_key.items():
        assert numbers == sorted(set(numbers)), f"order of {key}"
    lost = set(acknowledged) - set(names)
    assert not lost, f"{len(lost)} acknowledged records are lost: {sorted(lost)[:5]}"
    return set(names)
