# SPDX-License-Identifier: Apache-2.0
"""The form of every secret that Freehold hands out: prefix, 160 random bits, checksum.

The prefix says what it is (and lets scanners find one that leaked), the checksum tells a typing error or
a guess from a real one without asking a database. Being of this form is how a secret shows that it is
random enough for a fast hash.
"""

from __future__ import annotations

import string
import zlib

from freehold.core.ids import new_secret

DEVICE = "frd_"
"""A device's password."""
ACCESS = "frh_"
"""A person's access token."""
SESSION = "frs_"
"""A console session, in a cookie."""
LINK = "frl_"
"""A one-time sign-in link."""

_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_PREFIX = 4
_RANDOM = 27  # 160 bits as URL-safe base64
_CHECKSUM = 6  # 62^6 > 2^32
_LENGTH = _PREFIX + _RANDOM + _CHECKSUM


def generate(prefix: str) -> str:
    """A new secret: 37 URL-safe characters."""
    body = new_secret(prefix)
    return body + _checksum(body)


def is_generated(text: str, prefix: str) -> bool:
    """Whether `text` has the form of what `generate` makes. Proves nothing about who made it."""
    if len(text) != _LENGTH or not text.startswith(prefix) or not text.isascii():
        return False
    return _checksum(text[:-_CHECKSUM]) == text[-_CHECKSUM:]


def _checksum(text: str) -> str:
    number = zlib.crc32(text.encode())
    digits = []
    for _ in range(_CHECKSUM):
        number, digit = divmod(number, 62)
        digits.append(_ALPHABET[digit])
    return "".join(reversed(digits))
