# SPDX-License-Identifier: Apache-2.0
"""Sealing and recognising: what opens, what does not, and that purposes do not mix."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.vault.service import SealError, Vault

VAULT = Vault(bytes(range(32)))
OTHER = Vault(bytes(32))


@given(st.text(max_size=40), st.binary(max_size=300), st.binary(max_size=40))
def test_what_is_sealed_opens_again(purpose: str, plaintext: bytes, context: bytes) -> None:
    sealed = VAULT.seal(purpose, plaintext, context)
    assert Vault(bytes(range(32))).open_sealed(purpose, sealed, context) == plaintext


def test_the_plaintext_is_not_in_what_is_sealed_and_no_two_seals_are_equal() -> None:
    secret = b"a pre-shared key of a device"
    seals = {VAULT.seal("psk", secret, b"device") for _ in range(50)}
    assert len(seals) == 50
    assert not any(secret in sealed for sealed in seals)


@pytest.mark.parametrize(
    ("purpose", "context"), [("psk", b"other device"), ("psk", b""), ("password", b"device"), ("", b"device")]
)
def test_purpose_and_context_must_be_the_same(purpose: str, context: bytes) -> None:
    sealed = VAULT.seal("psk", b"key", b"device")
    with pytest.raises(SealError):
        VAULT.open_sealed(purpose, sealed, context)


def test_context_cannot_be_moved_into_the_header() -> None:
    sealed = VAULT.seal("psk", b"key", b"ab")
    with pytest.raises(SealError):
        VAULT.open_sealed("psk", sealed[:5] + b"a" + sealed[5:], b"b")


def test_every_changed_byte_is_noticed() -> None:
    sealed = VAULT.seal("psk", b"key", b"device")
    for position in range(len(sealed)):
        damaged = bytearray(sealed)
        damaged[position] ^= 1
        with pytest.raises(SealError):
            VAULT.open_sealed("psk", bytes(damaged), b"device")


def test_every_shorter_text_is_noticed() -> None:
    sealed = VAULT.seal("psk", b"key", b"device")
    for length in range(len(sealed)):
        with pytest.raises(SealError):
            VAULT.open_sealed("psk", sealed[:length], b"device")


def test_another_root_key_is_named_as_the_reason() -> None:
    with pytest.raises(SealError, match="another root key"):
        OTHER.open_sealed("psk", VAULT.seal("psk", b"key", b""), b"")


def test_a_format_of_the_future_is_named_as_the_reason() -> None:
    sealed = VAULT.seal("psk", b"key", b"")
    with pytest.raises(SealError, match="format"):
        VAULT.open_sealed("psk", b"\x02" + sealed[1:], b"")


def test_hashes_depend_on_root_key_purpose_and_data() -> None:
    hashes = {
        vault.keyed_hash(purpose, data)
        for vault in (VAULT, OTHER)
        for purpose in ("session", "token")
        for data in (b"", b"a", b"b")
    }
    assert len(hashes) == 12
    assert all(len(value) == 32 for value in hashes)


def test_a_hash_is_the_same_in_every_process_and_release() -> None:
    # Stored values depend on these bytes: a change here locks every device and person out.
    assert VAULT.key_id.hex() == "65e79dc2"
    hashed = VAULT.keyed_hash("registry.secret", b"frd_x").hex()
    assert hashed == "bcf4a038b630967050a1773a2891d234470a3a0145df14c81eb562276253c825"


def test_sealing_and_hashing_for_one_purpose_use_different_keys() -> None:
    vault = Vault(bytes(range(32)))
    vault.seal("same", b"", b"")
    vault.keyed_hash("same", b"")
    keys = [key for info, key in vault._subkeys.items() if info.endswith("same")]
    assert len(keys) == 2
    assert keys[0] != keys[1]


def test_no_key_is_in_its_repr() -> None:
    vault = Vault(b"\x01secret root key of this vault!!\x02")
    vault.seal("psk", b"", b"")
    text = repr(vault)
    assert "secret root key" not in text
    assert "psk" not in text


def test_a_vault_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        VAULT._root = bytes(32)  # type: ignore[misc]


def test_an_opened_vault_reads_what_an_earlier_one_sealed(tmp_path: Path) -> None:
    sealed = Vault.open(tmp_path, {}).seal("psk", b"key", b"device")
    assert Vault.open(tmp_path, {}).open_sealed("psk", sealed, b"device") == b"key"
