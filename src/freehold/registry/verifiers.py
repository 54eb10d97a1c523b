# SPDX-License-Identifier: Apache-2.0
"""Verifiers: what is stored of a secret so that it can be checked and not be read.

| stored | of | cost of a check |
|---|---|---|
| `{key}…` keyed BLAKE2b | a secret that Freehold generated (160 random bits) | microseconds |
| `$argon2id$…` | a chosen password; OWASP's profile, 19 MiB, t=2, p=1 | 30 to 50 ms |
| `$2a$…`, `$2b$…`, `$2y$…` bcrypt | a hash that the owner brought along | by its cost |
| `$6$…` SHA-512 crypt | likewise | by its rounds |

What a check costs follows from the form of the *presented* secret alone, never from what is stored: one of
the generated form is cheap to refuse, any other costs one argon2id. So time does not tell an unknown
device from a wrong password (`unmatchable` is the verifier of nobody). A hash that the owner brought along
is the exception: it costs what its maker chose.
"""

from __future__ import annotations

import base64
import hmac
import re
import secrets
import threading

import bcrypt
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from passlib.hash import sha512_crypt

from freehold.core.errors import RESOURCE_INVALID
from freehold.vault import secret_text
from freehold.vault.service import Vault

LONGEST_SECRET_BYTES = 1024
MOST_BCRYPT_COST = 14
"""About a second of one core; each step more doubles it."""
MOST_SHA512_ROUNDS = 200_000
"""About a quarter of a second, in which this pure Python holds the interpreter's lock."""

_GENERATED = "{key}"
_ARGON2 = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
_BCRYPT = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}")
_SHA512 = re.compile(r"\$6\$(?:rounds=(\d{1,9})\$)?[./A-Za-z0-9]{0,16}\$[./A-Za-z0-9]{86}")


class Verifiers:
    """Makes and checks verifiers. Blocking; safe between threads. At most `slots` slow hashes run at once,
    because each needs 19 MiB and a core."""

    def __init__(self, vault: Vault, slots: int = 2) -> None:
        self._vault = vault
        self._slots = threading.BoundedSemaphore(slots)
        self.unmatchable = _unmatchable()
        """An argon2id verifier that no secret matches."""

    def of_secret(self, secret: str) -> str:
        """The verifier of a secret in clear. Raises `resource.invalid` for one that is empty or too long."""
        if not 0 < len(_bytes(secret)) <= LONGEST_SECRET_BYTES:
            raise RESOURCE_INVALID.error(f"a password must have 1 to {LONGEST_SECRET_BYTES} bytes")
        if secret_text.is_generated(secret, secret_text.DEVICE):
            return self._keyed(secret)
        with self._slots:
            return _ARGON2.hash(_bytes(secret))

    def instant(self, verifier: str, secret: str) -> bool | None:
        """The answer if it is known without a slow hash, else None."""
        if verifier.startswith(_GENERATED) and hmac.compare_digest(verifier, self._keyed(secret)):
            return True
        if len(secret) > LONGEST_SECRET_BYTES:
            return False
        # A secret of the generated form is never behind argon2id; only a foreign hash may be its verifier.
        foreign = verifier.startswith(("$2", "$6$"))
        return False if not foreign and secret_text.is_generated(secret, secret_text.DEVICE) else None

    def check(self, verifier: str, secret: str) -> bool:
        """Whether `secret` is what `verifier` was made of. May take as long as the table says."""
        answer = self.instant(verifier, secret)
        if answer is not None:
            return answer
        with self._slots:
            return _slow_check(self.unmatchable if verifier.startswith(_GENERATED) else verifier, secret)

    def _keyed(self, secret: str) -> str:
        digest = self._vault.keyed_hash("registry.device-secret", _bytes(secret))
        return _GENERATED + base64.b64encode(digest).decode()


def check_foreign(kind: str, hashed: str) -> str:
    """`hashed`, if it is a hash of `kind` (`bcrypt` or `sha512`) that can be checked in bounded time.

    Raises `resource.invalid`.
    """
    if kind == "bcrypt":
        found = _BCRYPT.fullmatch(hashed)
        if not found or not 4 <= int(found.group(1)) <= MOST_BCRYPT_COST:
            raise RESOURCE_INVALID.error(
                f"a bcrypt hash is `$2a$…`, `$2b$…` or `$2y$…` of cost 4 to {MOST_BCRYPT_COST}"
            )
    else:
        found = _SHA512.fullmatch(hashed)
        if not found or int(found.group(1) or 0) > MOST_SHA512_ROUNDS:
            raise RESOURCE_INVALID.error(
                f"a sha512 hash is a SHA-512 crypt (`$6$…`) of at most {MOST_SHA512_ROUNDS} rounds"
            )
    return hashed


def _bytes(secret: str) -> bytes:
    # Anything may be presented; surrogates are escaped so that they match nothing instead of raising.
    return secret.encode(errors="surrogatepass")


def _slow_check(verifier: str, secret: str) -> bool:
    presented = _bytes(secret)
    if len(presented) > LONGEST_SECRET_BYTES:
        return False
    if verifier.startswith("$2"):
        return bcrypt.checkpw(presented[:72], verifier.encode())  # bcrypt never read more; the library refuses
    if verifier.startswith("$6$"):
        return b"\0" not in presented and bool(sha512_crypt.verify(presented, verifier))
    try:
        return _ARGON2.verify(verifier, presented)
    except (VerificationError, InvalidHashError):
        return False


def _unmatchable() -> str:
    salt, digest = (base64.b64encode(secrets.token_bytes(size)).decode().rstrip("=") for size in (16, 32))
    return f"$argon2id$v=19$m={_ARGON2.memory_cost},t={_ARGON2.time_cost},p={_ARGON2.parallelism}${salt}${digest}"
