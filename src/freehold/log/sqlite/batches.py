# SPDX-License-Identifier: Apache-2.0
"""The bytes of one batch: lengths, checksums, then the records end to end. Pure functions.

Two little-endian arrays of 32-bit numbers and one join, all of it in C: 0.2 µs a record each way. The
checksum of each record (CRC-32) is compared whenever it is read.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator, Sequence
from zlib import crc32

_WORD = "I"
_SIZE = array(_WORD).itemsize
assert _SIZE == 4, "records are described by 32-bit words"

ROW_RECORDS = 4096
ROW_BYTES = 4_194_304
"""Most records and bytes in one row: what a reader must load to see one of them. A larger record has its own."""


class Damaged(Exception):
    """Record `index` of a batch cannot be trusted; `intact` are the records that were asked for before it."""

    def __init__(self, index: int, intact: list[bytes]) -> None:
        super().__init__(f"record {index} of the batch is damaged")
        self.index, self.intact = index, intact


def split(values: list[bytes]) -> Iterator[list[bytes]]:
    """`values` in parts that fit a row each."""
    if len(values) <= ROW_RECORDS and sum(map(len, values)) <= ROW_BYTES:
        yield values
        return
    part: list[bytes] = []
    size = 0
    for value in values:
        if part and (len(part) == ROW_RECORDS or size + len(value) > ROW_BYTES):
            yield part
            part, size = [], 0
        part.append(value)
        size += len(value)
    yield part


def pack(values: Sequence[bytes]) -> bytes:
    """Records → batch."""
    words = array(_WORD, map(len, values))
    words.extend(map(crc32, values))
    if sys.byteorder == "big":
        words.byteswap()
    return words.tobytes() + b"".join(values)


def unpack(data: bytes, count: int, first: int = 0) -> list[bytes]:
    """The records of a batch of `count` from number `first` on; what lies before is not looked at.

    Raises `Damaged`.
    """
    head = 2 * count * _SIZE
    if len(data) < head:
        raise Damaged(first, [])
    words = array(_WORD)
    words.frombytes(data[:head])
    if sys.byteorder == "big":
        words.byteswap()
    lengths, sums = words[first:count], words[count + first :]
    start = end = head + sum(words[:first])
    values: list[bytes] = []
    for length in lengths:
        values.append(data[end : end + length])
        end += length
    if end != len(data) or array(_WORD, map(crc32, values)) != sums:
        return _rescue(data, start, lengths, sums, first)
    return values


def _rescue(data: bytes, start: int, lengths: array[int], sums: array[int], first: int) -> list[bytes]:
    intact = _intact(data, start, lengths, sums)
    # Where a length before `first` is damaged, the others are still found from the end: it costs no other record.
    from_end = len(data) - sum(lengths)
    if first and from_end >= 0:
        others = _intact(data, from_end, lengths, sums)
        if len(others) == len(lengths):
            return others
        intact = max(intact, others, key=len)
    raise Damaged(first + len(intact), intact)


def _intact(data: bytes, start: int, lengths: array[int], sums: array[int]) -> list[bytes]:
    """The records from `start` on up to the first that is not as it was packed."""
    values: list[bytes] = []
    for length, checksum in zip(lengths, sums, strict=True):
        value = data[start : start + length]
        start += length
        if start > len(data) or crc32(value) != checksum:
            return values
        values.append(value)
    # Bytes left over belong to the last record, whose length says otherwise.
    return values if start == len(data) else values[:-1]
