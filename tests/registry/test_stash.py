# SPDX-License-Identifier: Apache-2.0
"""Secrets out of the spec, placeholders in: all kinds, kept when sent back, refused when not understood."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from freehold.core.errors import FreeholdError
from freehold.registry.credentials import Secret, effective, passwords, placeholders, psks, unique_usernames
from freehold.registry.interfaces import PSK_PURPOSE, PasswordCredential
from freehold.registry.stash import Stashed, Stasher
from freehold.registry.verifiers import Verifiers
from freehold.vault import secret_text
from freehold.vault.service import Vault
from tests.registry.conftest import credentials
from tests.registry.test_verifiers import BCRYPT, SHA512

VAULT = Vault(bytes(range(32)))
VERIFIERS = Verifiers(VAULT)
STASHER = Stasher(VERIFIERS, VAULT)
KEY = base64.b64encode(b"a pre-shared key").decode()
VALIDITY = {"notBefore": "2020-01-01T00:00:00Z", "notAfter": "2030-01-01T00:00:00+02:00"}


def stash(spec: dict[str, Any], **more: Any) -> Stashed:
    return STASHER.stash("uid", spec, **more)


def known(stashed: Stashed) -> dict[str, Secret]:
    return {secret.id: secret for secret in stashed.new}


def refusal(*entries: Any, **more: Any) -> str:
    with pytest.raises(FreeholdError) as refused:
        stash(credentials(*entries), **more)
    assert refused.value.refusal.code == "resource.invalid"
    return refused.value.detail


SECRET_KINDS = {
    "pass": {"pass": "sesame"},
    "plain": {"pass": {"plain": "sesame"}},
    "generated": {"pass": secret_text.generate(secret_text.DEVICE)},
    "bcrypt": {"pass": {"bcrypt": BCRYPT}},
    "sha512": {"pass": {"sha512": SHA512}},
    "user": {"user": {"username": "u", "password": "sesame"}},
    "unique": {"user": {"username": "u", "password": {"bcrypt": BCRYPT}, "unique": True}},
    "psk": {"psk": {"key": KEY}},
    "timed": {"psk": {"key": KEY, "validity": VALIDITY}},
}


def secret_in(entry: dict[str, Any]) -> str:
    value: Any = entry
    while isinstance(value, dict):
        value = value.get("password") or value.get("key") or next(iter(value.values()))
    return str(value)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("kind", SECRET_KINDS)
def test_no_kind_of_secret_stays_in_the_spec(kind: str, legacy: bool) -> None:
    entry = SECRET_KINDS[kind]
    stashed = stash({"other": 1, **credentials(entry, legacy=legacy)})
    text = json.dumps(stashed.spec)
    assert secret_in(entry) not in text
    assert secret_in(entry) not in repr(stashed)
    assert stashed.spec["other"] == 1
    assert len(stashed.new) == 1
    assert set(placeholders(stashed.spec)) == stashed.used == set(known(stashed))


@pytest.mark.parametrize("kind", SECRET_KINDS)
def test_types_stay_so_that_drogues_clients_can_read_them(kind: str) -> None:
    (entry,) = effective(stash(credentials(SECRET_KINDS[kind])).spec)
    if "psk" in entry:
        assert base64.b64decode(entry["psk"]["key"], validate=True).startswith(b"{stored}")
        assert entry["psk"].get("validity") == SECRET_KINDS[kind]["psk"].get("validity")
    else:
        password = entry["pass"] if "pass" in entry else entry["user"]["password"]
        assert isinstance(password, str)
        assert password.startswith("{stored}")


@pytest.mark.parametrize("kind", SECRET_KINDS)
def test_what_was_read_may_be_sent_back(kind: str) -> None:
    first = stash(credentials(SECRET_KINDS[kind]))
    second = stash(json.loads(json.dumps(first.spec)), before=first.spec, known=known(first))
    assert second.spec == first.spec
    assert second.new == []
    assert second.used == first.used


@pytest.mark.parametrize("kind", SECRET_KINDS)
def test_drogue_65_the_same_secret_sent_again_changes_nothing(kind: str) -> None:
    first = stash(credentials(SECRET_KINDS[kind]))
    second = stash(credentials(SECRET_KINDS[kind]), before=first.spec, known=known(first))
    assert second.spec == first.spec
    assert second.new == []


def test_another_secret_at_the_same_place_is_new() -> None:
    for old, new in (("pass", "generated"), ("bcrypt", "pass"), ("psk", "pass"), ("user", "unique")):
        first = stash(credentials(SECRET_KINDS[old]))
        second = stash(credentials(SECRET_KINDS[new]), before=first.spec, known=known(first))
        assert len(second.new) == 1
        assert not second.used & first.used


def test_a_secret_in_both_sections_is_hashed_once() -> None:
    spec = credentials({"pass": "sesame"}) | credentials({"pass": "sesame"}, legacy=True)
    stashed = stash(spec)
    assert len(stashed.new) == 1
    assert len(list(placeholders(stashed.spec))) == 2


@pytest.mark.parametrize("kind", SECRET_KINDS)
def test_the_placeholder_of_another_device_is_refused(kind: str) -> None:
    theirs = stash(credentials(SECRET_KINDS[kind]))
    assert "placeholder" in refusal(*effective(theirs.spec))
    own = stash(credentials({"pass": "own"}))
    assert "placeholder" in refusal(*effective(theirs.spec), before=own.spec, known=known(own))


def test_a_placeholder_cannot_turn_a_key_into_a_password_or_back() -> None:
    both = stash(credentials({"pass": "sesame"}, {"psk": {"key": KEY}}))
    password, psk = effective(both.spec)
    as_password = base64.b64decode(psk["psk"]["key"]).decode()
    as_key = base64.b64encode(password["pass"].encode()).decode()
    for entry in ({"pass": as_password}, {"psk": {"key": as_key}}):
        assert "placeholder" in refusal(entry, before=both.spec, known=known(both))


def test_a_placeholder_may_move_to_another_place_in_its_device() -> None:
    first = stash(credentials({"pass": "a"}, {"pass": "b"}))
    turned = credentials(*reversed(effective(first.spec)))
    second = stash(turned, before=first.spec, known=known(first))
    assert second.new == []
    assert second.used == first.used


def test_a_removed_credential_is_no_longer_used() -> None:
    first = stash(credentials({"pass": "a"}, {"pass": "b"}))
    kept, _ = effective(first.spec)
    second = stash(credentials(kept), before=first.spec, known=known(first))
    assert len(second.used) == 1
    assert second.used < first.used


def test_certificates_are_public_and_stay() -> None:
    spec = credentials({"cert": "-----BEGIN CERTIFICATE-----"})
    assert stash(spec).spec == spec


MALFORMED = [
    {},
    "pass",
    None,
    [],
    {"pass": "a", "cert": "b"},
    {"password": "sesame"},
    {"Pass": "sesame"},
    {"pass": None},
    {"pass": 5},
    {"pass": ["sesame"]},
    {"pass": ""},
    {"pass": "x" * 1025},
    {"pass": {}},
    {"pass": {"md5": "sesame"}},
    {"pass": {"plain": "sesame", "bcrypt": "x"}},
    {"pass": {"plain": 5}},
    {"pass": {"bcrypt": "sesame"}},
    {"pass": {"sha512": "sesame"}},
    {"user": "u"},
    {"user": {"username": "u"}},
    {"user": {"password": "sesame"}},
    {"user": {"username": "", "password": "sesame"}},
    {"user": {"username": "x" * 256, "password": "sesame"}},
    {"user": {"username": 5, "password": "sesame"}},
    {"user": {"username": "u", "password": "sesame", "unique": "yes"}},
    {"user": {"username": "u", "password": "sesame", "pasword": "sesame"}},
    {"psk": KEY},
    {"psk": {}},
    {"psk": {"key": "not base64!"}},
    {"psk": {"key": ""}},
    {"psk": {"key": "é"}},
    {"psk": {"key": 5}},
    {"psk": {"key": base64.b64encode(b"x" * 513).decode()}},
    {"psk": {"key": KEY, "validity": {}}},
    {"psk": {"key": KEY, "validity": {"notBefore": "2020-01-01T00:00:00Z"}}},
    {"psk": {"key": KEY, "validity": {"notBefore": "x", "notAfter": "y"}}},
    {"psk": {"key": KEY, "validity": None}},
    {"psk": {"key": KEY, "identity": "sesame"}},
    {"cert": 5},
    {"cert": "-----BEGIN PRIVATE KEY-----sesame"},
    {"cert": "-----BEGIN EC PRIVATE KEY-----sesame"},
]


@pytest.mark.parametrize("entry", MALFORMED, ids=repr)
def test_what_is_not_understood_is_refused_where_it_is_and_not_repeated(entry: object) -> None:
    detail = refusal({"pass": "fine"}, entry)
    assert "spec.authentication.credentials[1]" in detail
    assert "sesame" not in detail


@pytest.mark.parametrize("section", [None, [], "x", {"credentials": {}}, {"credentials": None}, {"password": "x"}])
@pytest.mark.parametrize("name", ["authentication", "credentials"])
def test_a_malformed_section_is_refused(name: str, section: object) -> None:
    with pytest.raises(FreeholdError, match=f"spec.{name}"):
        stash({name: section})


def test_there_is_a_bound_on_credentials() -> None:
    assert "at most 32" in "".join(refusal(*({"cert": "x"} for _ in range(33))))


@pytest.mark.parametrize("spec", [{}, {"authentication": {}}, {"authentication": {"credentials": []}}])
def test_no_credentials_are_none(spec: dict[str, Any]) -> None:
    stashed = stash(spec)
    assert stashed == Stashed(spec, [], frozenset())
    assert passwords(spec, {}) == psks(spec, {}) == ()


def test_drogue_09_the_older_section_counts_only_without_the_newer() -> None:
    old = stash(credentials({"pass": "old"}, legacy=True))
    (only,) = passwords(old.spec, known(old))
    assert VERIFIERS.check(only.verifier, "old")
    both = stash(credentials({"pass": "new"}) | credentials({"pass": "old"}, legacy=True))
    (counts,) = passwords(both.spec, known(both))
    assert VERIFIERS.check(counts.verifier, "new")
    emptied = stash({"authentication": {}} | credentials({"pass": "old"}, legacy=True))
    assert passwords(emptied.spec, known(emptied)) == ()


def test_the_gate_gets_passwords_with_their_user_names() -> None:
    stashed = stash(credentials(*SECRET_KINDS.values(), {"cert": "x"}))
    found = passwords(stashed.spec, known(stashed))
    assert [(each.username, each.unique) for each in found] == [(None, False)] * 5 + [("u", False), ("u", True)]
    assert all(isinstance(each, PasswordCredential) for each in found)
    assert unique_usernames(stashed.spec) == {"u"}


def test_the_gate_gets_keys_that_the_vault_opens_for_this_device_only() -> None:
    stashed = stash(credentials({"psk": {"key": KEY}}, {"psk": {"key": "AAAA", "validity": VALIDITY}}))
    first, second = psks(stashed.spec, known(stashed))
    assert VAULT.open_sealed(PSK_PURPOSE, first.sealed_key, b"uid") == b"a pre-shared key"
    assert (first.not_before, first.not_after) == (None, None)
    assert VAULT.open_sealed(PSK_PURPOSE, second.sealed_key, b"uid") == bytes(3)
    assert (second.not_before, second.not_after) == (1_577_836_800_000_000, 1_893_448_800_000_000)


def test_a_secret_whose_row_is_lost_admits_nobody() -> None:
    stashed = stash(credentials(*SECRET_KINDS.values()))
    assert passwords(stashed.spec, {}) == psks(stashed.spec, {}) == ()


def test_a_generated_password_is_added_and_replaces_the_one_before() -> None:
    spec, rows = {"x": 1}, {}
    for _ in range(3):
        secret = secret_text.generate(secret_text.DEVICE)
        made = STASHER.with_generated(spec, rows, secret)
        spec, rows = made.spec, {s.id: s for s in [*rows.values(), *made.new] if s.id in made.used}
        (only,) = passwords(spec, rows)
        assert VERIFIERS.instant(only.verifier, secret) is True
    assert spec["x"] == 1


@pytest.mark.parametrize("legacy", [False, True])
def test_a_generated_password_goes_where_credentials_count_and_leaves_the_others(legacy: bool) -> None:
    first = stash(credentials(*SECRET_KINDS.values(), legacy=legacy))
    made = STASHER.with_generated(first.spec, known(first), secret_text.generate(secret_text.DEVICE))
    assert set(made.spec) == set(first.spec)
    assert made.used > first.used
    assert len(made.used) == len(first.used) + 1


def test_a_generated_password_respects_the_bound() -> None:
    full = stash(credentials(*({"cert": "x"} for _ in range(32))))
    with pytest.raises(FreeholdError, match="at most 32"):
        STASHER.with_generated(full.spec, {}, secret_text.generate(secret_text.DEVICE))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["pass", "user", "psk", "cert", "username", "key", "plain"]), inner, max_size=2
        )
    ),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(json_values)
def test_any_section_is_stashed_or_refused(value: object) -> None:
    try:
        stashed = stash({"authentication": value})
    except FreeholdError as refused:
        assert refused.refusal.code == "resource.invalid"  # noqa: PT017
    else:
        assert set(placeholders(stashed.spec)) == stashed.used
