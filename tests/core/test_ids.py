# SPDX-License-Identifier: Apache-2.0
"""Identifiers: the form of RFC 9562, order, and that no two are ever equal."""

from __future__ import annotations

import multiprocessing
import re
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.core import ids
from freehold.core.ids import new_secret, new_uid, uuid7, uuid7_tail

MANY = 1_000_000


def test_uuid7_is_one_by_the_rfc() -> None:
    before = time.time_ns() // 1_000_000
    text = uuid7()
    after = time.time_ns() // 1_000_000
    parsed = uuid.UUID(text)
    assert str(parsed) == text  # canonical: lower case, hyphens where they belong
    assert parsed.version == 7
    assert parsed.variant == uuid.RFC_4122
    assert before <= parsed.int >> 80 <= after


def test_a_million_ids_are_unique_and_in_order() -> None:
    made = [uuid7() for _ in range(MANY)]
    assert all(before < after for before, after in pairwise(made))
    assert len(set(made)) == MANY
    shape = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
    assert all(shape.fullmatch(text) for text in made[::997])


def test_tails_are_as_unique_as_the_ids() -> None:
    made = [uuid7_tail(uuid7()) for _ in range(MANY // 10)]
    assert len(set(made)) == len(made)
    assert all(0 <= tail < 1 << 62 for tail in made)
    assert made == sorted(made)


def test_a_clock_set_back_does_not_set_ids_back(monkeypatch: pytest.MonkeyPatch) -> None:
    first = uuid7()
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now - 3_600_000_000_000)
    later = [uuid7() for _ in range(100)]
    assert [first, *later] == sorted({first, *later})
    monkeypatch.undo()
    assert uuid7() > later[-1]


def test_time_is_in_the_id_when_the_clock_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = time.time_ns() // 1_000_000 + 10_000
    monkeypatch.setattr(ids, "_last_ms", 0)  # so that this test leaves no time to come behind
    for millisecond in range(moment, moment + 50):
        monkeypatch.setattr(time, "time_ns", lambda ms=millisecond: ms * 1_000_000 + 123)
        assert uuid.UUID(uuid7()).int >> 80 == millisecond
    monkeypatch.undo()
    ids._reseed()


def test_threads_never_share_an_id() -> None:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    start = threading.Barrier(4)

    def make() -> list[str]:
        start.wait()
        return [uuid7() for _ in range(30_000)]

    try:
        with ThreadPoolExecutor(4) as pool:
            made = [text for future in [pool.submit(make) for _ in range(4)] for text in future.result()]
    finally:
        sys.setswitchinterval(usual)
    assert len(set(made)) == 4 * 30_000


def _make_in_child(results: Any) -> None:
    results.put([uuid7() for _ in range(1000)])


def test_forked_children_never_share_an_id() -> None:
    uuid7()
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    children = [context.Process(target=_make_in_child, args=(results,)) for _ in range(5)]
    for child in children:
        child.start()
    made = [uuid7() for _ in range(1000)]
    for _ in children:
        made += results.get(timeout=60)
    for child in children:
        child.join(60)
    assert len(set(made)) == 6000
    assert len({uuid7_tail(text) for text in made}) == 6000


def test_the_counter_has_room_for_a_lifetime() -> None:
    for _ in range(200):
        ids._reseed()
        assert ids._counter < 1 << 47  # of 48 bits: 140 million million ids until it would touch its neighbour


def test_processes_differ_in_the_bits_that_stay() -> None:
    seen = set()
    for _ in range(50):
        ids._reseed()
        text = uuid7()
        seen.add(text[14:23])
        assert uuid.UUID(text).variant == uuid.RFC_4122
    assert len(seen) > 45  # 26 random bits


@given(st.one_of(st.text(max_size=50), st.uuids().map(str), st.text(st.characters(categories=["Cs"]), max_size=3)))
def test_any_id_has_a_stable_tail(event_id: str) -> None:
    tail = uuid7_tail(event_id)
    assert 0 <= tail < 1 << 62
    assert uuid7_tail(event_id) == tail


@pytest.mark.parametrize(
    ("event_id", "tail"),
    [
        ("01890a5d-ac96-774b-bcce-b302099a8057", 0x3CCE_B302_099A_8057),
        ("01890A5D-AC96-774B-BCCE-B302099A8057", 0x3CCE_B302_099A_8057),
        ("", 0x24A6_A057_7479_B2B4),
        ("abc", 0x18BB_14D8_33D5_9559),
        ("ä", 0x304D_BBE2_5E2B_A039),
        ("\ud800", 0x0208_783E_927D_0D68),
        ("01890a5d-ac96-774b-bcce-b302099a805g", 0x202F_891D_4527_7A4D),
    ],
)
def test_a_tail_never_changes(event_id: str, tail: int) -> None:
    """Stored rows hold it. Of a UUIDv7 it is what follows the variant; of any other id a digest."""
    assert uuid7_tail(event_id) == tail


def test_uids_say_nothing_about_their_age() -> None:
    made = [new_uid() for _ in range(1000)]
    assert len(set(made)) == 1000
    assert {uuid.UUID(text).version for text in made} == {4}
    assert made != sorted(made)


def test_secrets_are_long_and_fit_into_urls() -> None:
    made = [new_secret() for _ in range(1000)]
    assert len(set(made)) == 1000
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{27}", secret) for secret in made)  # 160 bits
    assert new_secret("fh_").startswith("fh_")
    assert len(new_secret("fh_")) == 30
