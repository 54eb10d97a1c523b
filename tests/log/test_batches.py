# SPDX-License-Identifier: Apache-2.0
"""The bytes of a batch: there and back, and every single flipped bit or lost byte is found where it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.log.sqlite.batches import ROW_BYTES, ROW_RECORDS, Damaged, pack, split, unpack

records = st.lists(st.binary(max_size=40), min_size=1, max_size=12)


@given(records)
def test_there_and_back(values: list[bytes]) -> None:
    assert unpack(pack(values), len(values)) == values


@given(records, st.data())
def test_from_any_record_on(values: list[bytes], data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(values) - 1))
    assert unpack(pack(values), len(values), first) == values[first:]


@given(records, st.data())
def test_a_flipped_bit_is_found_and_costs_one_record(values: list[bytes], data: st.DataObject) -> None:
    packed = bytearray(pack(values))
    bit = data.draw(st.integers(0, 8 * len(packed) - 1))
    packed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Damaged) as found:
        unpack(bytes(packed), len(values))
    index = found.value.index
    assert found.value.intact == values[:index]
    if index + 1 < len(values):
        assert unpack(bytes(packed), len(values), index + 1) == values[index + 1 :]
    place = bit // 8
    if place >= 8 * len(values):
        start = 8 * len(values)
        for number, value in enumerate(values):
            if start <= place < start + len(value):
                assert index == number
            start += len(value)
    else:
        assert index == place // 4 % len(values)  # lengths first, then checksums


@given(records, st.data())
def test_a_cut_batch_gives_what_is_whole(values: list[bytes], data: st.DataObject) -> None:
    packed = pack(values)
    kept = data.draw(st.integers(0, len(packed) - 1))
    with pytest.raises(Damaged) as found:
        unpack(packed[:kept], len(values))
    assert found.value.intact == values[: found.value.index]


@given(records, st.binary(min_size=1, max_size=9))
def test_bytes_too_many_are_damage_of_the_last(values: list[bytes], more: bytes) -> None:
    with pytest.raises(Damaged) as found:
        unpack(pack(values) + more, len(values))
    assert found.value.index == len(values) - 1
    assert found.value.intact == values[:-1]


@given(st.binary(max_size=300), st.integers(1, 20), st.data())
def test_any_bytes_are_records_or_damage(data: bytes, count: int, draw: st.DataObject) -> None:
    first = draw.draw(st.integers(0, count - 1))
    index, values = count, list[bytes]()
    try:
        values = unpack(data, count, first)
    except Damaged as damage:
        index, values = damage.index, damage.intact
        assert index < count
    assert len(values) == index - first  # and what is asked for next is further on


@pytest.mark.parametrize(
    ("sizes", "rows"),
    [
        ([1] * ROW_RECORDS, 1),
        ([1] * (ROW_RECORDS + 1), 2),
        ([0] * (3 * ROW_RECORDS), 3),
        ([ROW_BYTES // 2] * 2, 1),
        ([ROW_BYTES // 2] * 3, 2),
        ([ROW_BYTES + 1], 1),
        ([1, ROW_BYTES + 1, 1], 3),
    ],
)
def test_rows_hold_neither_too_many_nor_too_much(sizes: list[int], rows: int) -> None:
    values = [b"x" * size for size in sizes]
    parts = list(split(values))
    assert [value for part in parts for value in part] == values
    assert len(parts) == rows
    assert all(part for part in parts)
    assert all(len(part) <= ROW_RECORDS and (len(part) == 1 or sum(map(len, part)) <= ROW_BYTES) for part in parts)
