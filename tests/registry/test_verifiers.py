# SPDX-License-Identifier: Apache-2.0
"""Verifiers: which form a secret gets, what matches, what is refused, and that cost tells nothing."""

from __future__ import annotations

import bcrypt
import pytest
from argon2 import PasswordHasher, extract_parameters
from hypothesis import given
from hypothesis import strategies as st
from passlib.hash import sha512_crypt

from freehold.core.errors import FreeholdError
from freehold.registry.verifiers import LONGEST_SECRET_BYTES, MOST_SHA512_ROUNDS, Verifiers, check_foreign
from freehold.vault import secret_text
from freehold.vault.service import Vault

VAULT = Vault(bytes(range(32)))
VERIFIERS = Verifiers(VAULT)
GENERATED = secret_text.generate(secret_text.DEVICE)

BCRYPT = bcrypt.hashpw(b"foo", bcrypt.gensalt(4)).decode()
# The two first vectors of the specification of SHA-crypt; `openssl passwd -6` gives the same.
SHA512 = "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"
SHA512_ROUNDS = (
    "$6$rounds=10000$saltstringsaltst$"
    "OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v."
)


def refusal(call: object, *arguments: object) -> str:
    assert callable(call)
    with pytest.raises(FreeholdError) as refused:
        call(*arguments)
    assert refused.value.refusal.code == "resource.invalid"
    return refused.value.detail


def test_a_generated_secret_gets_a_keyed_hash_that_answers_at_once() -> None:
    verifier = VERIFIERS.of_secret(GENERATED)
    assert verifier.startswith("{key}")
    assert VERIFIERS.instant(verifier, GENERATED) is True
    assert VERIFIERS.instant(verifier, secret_text.generate(secret_text.DEVICE)) is False
    assert VERIFIERS.of_secret(GENERATED) == verifier


def test_a_generated_secret_means_nothing_in_another_installation() -> None:
    assert not Verifiers(Vault(bytes(32))).check(VERIFIERS.of_secret(GENERATED), GENERATED)


@pytest.mark.parametrize("secret", ["foo", "x", "frd_short", "a" * 40, "0123456789abcdef" * 2, "pässwörd", " "])
def test_a_chosen_password_gets_argon2id_with_owasps_parameters(secret: str) -> None:
    verifier = VERIFIERS.of_secret(secret)
    parameters = extract_parameters(verifier)
    assert (parameters.memory_cost, parameters.time_cost, parameters.parallelism) == (19_456, 2, 1)
    assert verifier.startswith("$argon2id$")
    assert secret not in verifier or len(secret) == 1
    assert VERIFIERS.check(verifier, secret)
    assert not VERIFIERS.check(verifier, secret + "x")


def test_equal_passwords_have_different_verifiers() -> None:
    assert VERIFIERS.of_secret("foo") != VERIFIERS.of_secret("foo")


def test_other_prefixes_are_no_device_secrets() -> None:
    assert VERIFIERS.of_secret(secret_text.generate(secret_text.ACCESS)).startswith("$argon2id$")


@pytest.mark.parametrize("secret", ["", "x" * (LONGEST_SECRET_BYTES + 1), "ü" * 513])
def test_empty_and_endless_passwords_are_refused(secret: str) -> None:
    assert "1 to 1024 bytes" in refusal(VERIFIERS.of_secret, secret)


def test_the_longest_password_works() -> None:
    secret = "ü" * 512
    assert VERIFIERS.check(VERIFIERS.of_secret(secret), secret)


@pytest.mark.parametrize(
    ("kind", "hashed", "right", "wrong"),
    [
        ("bcrypt", BCRYPT, "foo", "bar"),
        ("bcrypt", BCRYPT.replace("$2b$", "$2a$"), "foo", "Foo"),
        ("bcrypt", BCRYPT.replace("$2b$", "$2y$"), "foo", ""),
        ("sha512", SHA512, "Hello world!", "Hello world"),
        ("sha512", SHA512_ROUNDS, "Hello world!", "hello world!"),
    ],
)
def test_drogue_10_hashes_that_the_owner_brings(kind: str, hashed: str, right: str, wrong: str) -> None:
    verifier = check_foreign(kind, hashed)
    assert VERIFIERS.check(verifier, right)
    assert not VERIFIERS.check(verifier, wrong)
    assert not VERIFIERS.check(verifier, right + "\0")
    assert not VERIFIERS.check(verifier, "\ud800")


def test_bcrypt_reads_72_bytes_as_everywhere() -> None:
    long = "x" * 72
    hashed = bcrypt.hashpw(long.encode(), bcrypt.gensalt(4)).decode()
    assert VERIFIERS.check(hashed, long + "more")
    assert not VERIFIERS.check(hashed, "x" * 71)


@pytest.mark.parametrize(
    ("kind", "hashed"),
    [
        ("bcrypt", ""),
        ("bcrypt", "foo"),
        ("bcrypt", BCRYPT[:-1]),
        ("bcrypt", BCRYPT + "x"),
        ("bcrypt", BCRYPT + "\n"),
        ("bcrypt", BCRYPT.replace("$04$", "$03$")),
        ("bcrypt", BCRYPT.replace("$04$", "$15$")),
        ("bcrypt", BCRYPT.replace("$04$", "$31$")),
        ("bcrypt", BCRYPT.replace("$2b$", "$2x$")),
        ("bcrypt", SHA512),
        ("sha512", ""),
        ("sha512", "Hello world!"),
        ("sha512", SHA512[:-1]),
        ("sha512", SHA512 + "x"),
        ("sha512", SHA512.replace("$6$", "$5$")),
        ("sha512", SHA512_ROUNDS.replace("10000", str(MOST_SHA512_ROUNDS + 1))),
        ("sha512", SHA512_ROUNDS.replace("10000", "999999999999999999")),
        ("sha512", SHA512_ROUNDS.replace("10000", "-1")),
        ("sha512", BCRYPT),
    ],
)
def test_what_is_no_hash_or_costs_too_much_is_refused_without_repeating_it(kind: str, hashed: str) -> None:
    detail = refusal(check_foreign, kind, hashed)
    assert kind in detail
    assert not hashed or hashed not in detail


def test_our_reader_and_libpass_agree_on_hashes_made_today() -> None:
    for rounds in (1000, 5000, 20_000):
        hashed = sha512_crypt.using(rounds=rounds).hash("foo")
        assert VERIFIERS.check(check_foreign("sha512", hashed), "foo")


def test_nobody_matches_the_verifier_of_nobody() -> None:
    assert not VERIFIERS.check(VERIFIERS.unmatchable, "foo")
    assert not VERIFIERS.check(VERIFIERS.unmatchable, GENERATED)
    assert Verifiers(VAULT).unmatchable != VERIFIERS.unmatchable
    ours = extract_parameters(VERIFIERS.of_secret("foo"))
    assert extract_parameters(VERIFIERS.unmatchable) == ours


@pytest.mark.parametrize("secret", ["wrong", "frd_x", "x" * 37, GENERATED[:-1] + "!", GENERATED.upper(), "\ud800"])
def test_a_wrong_chosen_password_is_slow_whoever_it_is_for(secret: str) -> None:
    known = (VERIFIERS.of_secret("foo"), VERIFIERS.of_secret(GENERATED))
    for verifier in (*known, VERIFIERS.unmatchable):
        assert VERIFIERS.instant(verifier, secret) is None
        assert VERIFIERS.check(verifier, secret) is False


def test_a_wrong_generated_secret_is_fast_whoever_it_is_for() -> None:
    wrong = secret_text.generate(secret_text.DEVICE)
    for verifier in (VERIFIERS.of_secret("foo"), VERIFIERS.of_secret(GENERATED), VERIFIERS.unmatchable):
        assert VERIFIERS.instant(verifier, wrong) is False


@pytest.mark.parametrize("length", [LONGEST_SECRET_BYTES + 1, 100_000])
def test_an_endless_password_costs_no_hash(length: int) -> None:
    for verifier in (VERIFIERS.of_secret("foo"), VERIFIERS.of_secret(GENERATED), BCRYPT, SHA512):
        assert VERIFIERS.instant(verifier, "x" * length) is False


def test_a_password_too_long_in_bytes_only_does_not_match() -> None:
    stored = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("ü" * 600)
    assert VERIFIERS.check(stored, "ü" * 600) is False


@pytest.mark.parametrize("verifier", ["", "{key}", "{key}x", "$argon2id$", "$argon2id$v=19$m=8,t=1,p=1$$", "plain"])
def test_a_damaged_verifier_matches_nothing(verifier: str) -> None:
    for secret in ("foo", "", verifier or "x", GENERATED):
        assert VERIFIERS.check(verifier, secret) is False


@given(st.text(max_size=80))
def test_no_text_makes_a_look_raise_or_match(secret: str) -> None:
    assert VERIFIERS.instant(VERIFIERS.of_secret(GENERATED), secret) is not True
    assert VERIFIERS.instant(VERIFIERS.unmatchable, secret) is not True
