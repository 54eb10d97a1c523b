# SPDX-License-Identifier: Apache-2.0
"""The root key: 32 random bytes from which every other key of an installation is derived.

It is in `keys/root.key` (base64, readable by its owner only), or comes from the environment, where an
owner keeps it in a secret manager. Whoever loses it loses every session, access token and device secret,
so a new one is made only where there is none, and two that differ are never quietly chosen between.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from freehold.core.errors import DATA_DIRECTORY, SETTING_INVALID

VARIABLE = "FREEHOLD_VAULT_KEY"
FILE = "root.key"
SIZE = 32


def root_key(keys_dir: Path, environ: Mapping[str, str]) -> bytes:
    """The root key, made at first start. `keys_dir` must exist.

    Raises `setting.invalid` when the variable is no key, `data-directory.unusable` when the file is
    damaged, readable by others, cannot be written, or holds another key than the variable.
    """
    path = keys_dir / FILE
    given = environ.get(VARIABLE, "")
    try:
        if given:
            return _checked_against_file(_decode_variable(given), path)
        if not path.exists():
            _create(path)
        return _read(path)
    except OSError as cause:
        raise DATA_DIRECTORY.error(f"{path}: {cause}") from cause


def _decode(text: str) -> bytes:
    key = base64.b64decode(text.strip(), validate=True)
    if len(key) != SIZE:
        raise binascii.Error("wrong length")
    return key


def _decode_variable(text: str) -> bytes:
    try:
        return _decode(text)
    except (binascii.Error, ValueError):
        # Not `from`: the cause would not hold the key today, but a traceback is no place to find out.
        raise SETTING_INVALID.error(f"{VARIABLE} must be the base64 of {SIZE} bytes") from None


def _checked_against_file(key: bytes, path: Path) -> bytes:
    if path.exists() and not secrets.compare_digest(_read(path), key):
        raise DATA_DIRECTORY.error(
            f"{path} and {VARIABLE} are two different keys; remove the one that this data was not made with"
        )
    return key


def _read(path: Path) -> bytes:
    if path.stat().st_mode & 0o077:
        raise DATA_DIRECTORY.error(f"{path} can be read by others; `chmod 600` it")
    try:
        return _decode(path.read_text("ascii"))
    except (binascii.Error, ValueError):
        raise DATA_DIRECTORY.error(f"{path} is damaged; restore it from a backup") from None


def _create(path: Path) -> None:
    """Write a new key so that a power cut leaves a whole key or none, and of two processes one wins."""
    temporary = path.with_name(f"{path.name}.{secrets.token_hex(8)}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as out:
            out.write(base64.b64encode(secrets.token_bytes(SIZE)) + b"\n")
            out.flush()
            os.fsync(out.fileno())
        try:
            os.link(temporary, path)  # unlike a rename, never replaces a key that is already in use
        except FileExistsError:
            return
    finally:
        temporary.unlink()
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
