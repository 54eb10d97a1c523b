# SPDX-License-Identifier: Apache-2.0
"""Every entry of the error catalogue, in the words of every protocol."""

from __future__ import annotations

import copy
import json
import pickle
import re
from http import HTTPStatus

import pytest

from freehold.core import errors
from freehold.core.errors import CATALOGUE, FreeholdError, Refusal

# OASIS MQTT 5.0, 2.4: every reason code of 0x80 and above.
MQTT5_FAILURES = {
    *(0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8B, 0x8C, 0x8D, 0x8E, 0x8F),
    *(0x90, 0x91, 0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F),
    *(0xA0, 0xA1, 0xA2),
}

# RFC 7252 12.1.2, RFC 7959 2.9 (4.08), RFC 8132 6 (4.09, 4.22), RFC 8516 (4.29).
COAP_FAILURES = {
    *("4.00", "4.01", "4.02", "4.03", "4.04", "4.05", "4.06", "4.08", "4.09", "4.12", "4.13", "4.15", "4.22"),
    *("4.29", "5.00", "5.01", "5.02", "5.03", "5.04", "5.05"),
}

EVERY_ENTRY = pytest.mark.parametrize("entry", CATALOGUE.values(), ids=CATALOGUE)


@EVERY_ENTRY
def test_codes_are_real_ones(entry: Refusal) -> None:
    assert 400 <= HTTPStatus(entry.status) <= 599
    assert entry.mqtt in MQTT5_FAILURES
    assert entry.coap in COAP_FAILURES


@EVERY_ENTRY
def test_protocols_agree_on_whose_fault_it_is(entry: Refusal) -> None:
    assert entry.coap[0] == str(entry.status)[0]


@EVERY_ENTRY
def test_the_code_is_dotted_and_stable_in_form(entry: Refusal) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*(\.[a-z]+(-[a-z]+)*)*", entry.code)
    assert CATALOGUE[entry.code] is entry
    assert re.fullmatch(r"errors\.md#[a-z-]+", entry.anchor)


def test_anchors_are_unique() -> None:
    assert len({entry.anchor for entry in CATALOGUE.values()}) == len(CATALOGUE)


def test_every_entry_has_a_name_in_the_module() -> None:
    named = [value for value in vars(errors).values() if isinstance(value, Refusal)]
    assert {entry.code for entry in named} == set(CATALOGUE)
    assert len(named) == len(CATALOGUE)


def test_a_code_cannot_be_used_twice() -> None:
    code = next(iter(CATALOGUE))
    before = dict(CATALOGUE)
    with pytest.raises(ValueError, match=code):
        errors._refusal(code, 400, 0x80, "4.00", "Title", "Remedy.")
    assert before == CATALOGUE


@EVERY_ENTRY
def test_an_entry_teaches(entry: Refusal) -> None:
    assert entry.title
    assert not entry.title.endswith(".")
    assert len(entry.remedy) > 15
    assert entry.remedy.endswith(".")
    assert re.fullmatch(r"[A-Z][A-Za-z]+", entry.legacy)


@EVERY_ENTRY
@pytest.mark.parametrize("detail", ["", "the field `name` is missing"])
def test_problem_details(entry: Refusal, detail: str) -> None:
    problem = json.loads(json.dumps(entry.error(detail).problem()))
    assert set(problem) == {"type", "title", "status", "detail", "code", "remedy"}
    assert problem["status"] == entry.status
    assert problem["code"] == entry.code
    assert problem["type"] == entry.anchor
    assert problem["detail"] == (detail or entry.title)
    assert problem["remedy"] == entry.remedy


@EVERY_ENTRY
def test_drogues_body(entry: Refusal) -> None:
    assert entry.error().legacy_body() == {"error": entry.legacy, "message": entry.title}
    assert entry.error("detail").legacy_body()["message"] == "detail"
    assert entry.error("detail").legacy_body("fixed by the contract")["message"] == "fixed by the contract"


@EVERY_ENTRY
def test_reason_string(entry: Refusal) -> None:
    assert entry.error().reason_string() == f"{entry.title} [{entry.code}]"
    assert entry.error("detail").reason_string() == f"detail [{entry.code}]"
    assert len(entry.error().reason_string().encode()) < 200  # beside a small maximum packet size


def test_what_the_log_and_the_developer_see() -> None:
    error = errors.NOT_FOUND.error("no device x", device="x", attempt=2)
    assert str(error) == "resource.not-found: no device x"
    assert str(errors.NOT_FOUND.error()) == f"resource.not-found: {errors.NOT_FOUND.title}"
    assert error.context == {"device": "x", "attempt": 2}
    assert error.refusal is errors.NOT_FOUND


def test_an_error_is_raised_and_kept_like_any_exception() -> None:
    cause = ValueError("cause")
    error = errors.CONFLICT.error("taken", name="x")
    with pytest.raises(FreeholdError) as caught:
        raise error from cause
    assert caught.value is error
    assert caught.value.__cause__ is cause
    assert error in {error}  # contextlib and task groups put exceptions into sets
    assert error != errors.CONFLICT.error("taken", name="x")


def test_an_error_travels_between_processes() -> None:
    error = errors.CONFLICT.error("taken", name="x")
    for copied in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert isinstance(copied, FreeholdError)
        assert (copied.refusal, copied.detail, copied.context) == (errors.CONFLICT, "taken", {"name": "x"})


def test_absent_and_not_yours_look_the_same() -> None:
    assert "not yours" in errors.NOT_FOUND.title
    assert not [entry for entry in CATALOGUE.values() if entry.status == 404 and "yours" in entry.code]
