# SPDX-License-Identifier: Apache-2.0
"""The vault: one root key, a subkey for each purpose, and the two things that code does with keys.

`seal` keeps what must be read again (pre-shared keys); `keyed_hash` keeps what must only be recognised
(sessions, tokens, generated secrets). Callers name a purpose and never see a key, so that a value made for
one purpose is worth nothing for another, and key management can grow behind this class.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from freehold.vault.rootkey import root_key

FORMAT = 1
"""First byte of everything sealed: which layout and ciphers follow."""

_KEY_ID = 4
_NONCE = 12
_HEADER = 1 + _KEY_ID


class SealError(Exception):
    """What was to be opened was not sealed by this vault for this purpose and context, or was damaged."""


@dataclass(frozen=True, slots=True)
class Vault:
    """Seals and recognises. Safe to share between threads; each process opens its own."""

    _root: bytes = field(repr=False)
    _subkeys: dict[str, bytes] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def open(cls, keys_dir: Path, environ: Mapping[str, str]) -> Vault:
        """The vault of an installation; makes its root key at first start. Raises like `root_key`."""
        return cls(root_key(keys_dir, environ))

    @property
    def key_id(self) -> bytes:
        """Four bytes that tell this root key from others and say nothing about it."""
        return self._subkey("id")[:_KEY_ID]

    def seal(self, purpose: str, plaintext: bytes, context: bytes) -> bytes:
        """`plaintext` encrypted and bound to `purpose` and `context` (whose it is, say).

        AES-256-GCM: format byte, key id, random 96-bit nonce, ciphertext with its tag. The key id is what
        a later rotation finds the right key by. One purpose may seal 2^32 times (NIST SP 800-38D, 8.3).
        """
        header = bytes((FORMAT,)) + self.key_id
        nonce = secrets.token_bytes(_NONCE)
        cipher = AESGCM(self._subkey("seal/" + purpose))
        return header + nonce + cipher.encrypt(nonce, plaintext, header + context)

    def open_sealed(self, purpose: str, sealed: bytes, context: bytes) -> bytes:
        """What `seal` was given. Raises `SealError`."""
        header, nonce = sealed[:_HEADER], sealed[_HEADER : _HEADER + _NONCE]
        if header[:1] != bytes((FORMAT,)):
            raise SealError("sealed in a format that this version does not know")
        if header[1:] != self.key_id:
            raise SealError("sealed under another root key")
        try:
            cipher = AESGCM(self._subkey("seal/" + purpose))
            return cipher.decrypt(nonce, sealed[_HEADER + _NONCE :], header + context)
        except (InvalidTag, ValueError):
            raise SealError("damaged, or sealed for something else") from None

    def keyed_hash(self, purpose: str, data: bytes) -> bytes:
        """32 bytes that only this installation can compute from `data`: keyed BLAKE2b (RFC 7693), 1 µs.

        For secrets of 128 random bits and more, and for keys of caches; a chosen password needs a slow hash.
        """
        return hashlib.blake2b(data, key=self._subkey("hash/" + purpose), digest_size=32).digest()

    def _subkey(self, info: str) -> bytes:
        key = self._subkeys.get(info)
        if key is None:
            derive = HKDF(SHA256(), length=32, salt=None, info=f"freehold/vault/1/{info}".encode())
            key = self._subkeys[info] = derive.derive(self._root)
        return key
