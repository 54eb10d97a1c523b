# SPDX-License-Identifier: Apache-2.0
"""The credential sections of a device's stored spec, and what the gate checks against (contract drogue.md 4.3).

A stored spec never holds a secret. Each is a row of `device_secrets`, and `{stored}<row id>` stands in its
place (base64 of that in `psk.key`, so that clients which decode the field still can). `stash` is the way in.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from freehold.core.clock import from_rfc3339
from freehold.core.errors import RESOURCE_INVALID, FreeholdError
from freehold.registry.interfaces import PasswordCredential, PskCredential

SECTIONS = ("authentication", "credentials")
"""Where credentials are; the second, older place counts only where the first is absent."""

MARK = "{stored}"


@dataclass(frozen=True, slots=True)
class Secret:
    """A row of `device_secrets`: either `verifier` or `sealed` is set."""

    id: str
    verifier: str | None = field(default=None, repr=False)
    sealed: bytes | None = field(default=None, repr=False)
    generated: bool = False


def effective(spec: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The credentials that count, from the section that counts."""
    section: Mapping[str, Any] = next((spec[name] for name in SECTIONS if name in spec), {})
    return list(section.get("credentials", []))


def unique_usernames(spec: Mapping[str, Any]) -> set[str]:
    return {entry["user"]["username"] for entry in effective(spec) if "user" in entry and entry["user"].get("unique")}


def placeholders(spec: Mapping[str, Any]) -> Iterator[str]:
    """The ids of the secrets that a stored spec refers to."""
    for name in SECTIONS:
        for entry in spec.get(name, {}).get("credentials", []):
            if (id := _stored_id(entry)) is not None:
                yield id


def passwords(spec: Mapping[str, Any], known: Mapping[str, Secret]) -> tuple[PasswordCredential, ...]:
    """What the gate checks passwords against."""
    found = []
    for entry in effective(spec):
        secret = known.get(_stored_id(entry) or "")
        if secret is not None and secret.verifier is not None:
            user = entry.get("user", {})
            found.append(PasswordCredential(secret.verifier, user.get("username"), user.get("unique", False)))
    return tuple(found)


def psks(spec: Mapping[str, Any], known: Mapping[str, Secret]) -> tuple[PskCredential, ...]:
    """The pre-shared keys, still sealed, in the order of the spec."""
    found = []
    for entry in effective(spec):
        secret = known.get(_stored_id(entry) or "")
        if secret is not None and secret.sealed is not None:
            bounds = validity(entry["psk"]["validity"], "") if "validity" in entry["psk"] else (None, None)
            found.append(PskCredential(secret.sealed, *bounds))
    return tuple(found)


def validity(value: Any, path: str) -> tuple[int, int]:
    """(notBefore, notAfter) in microseconds. Both are needed (contract drogue.md 1.1). Raises `resource.invalid`."""
    bounds = only(path, value, {"notBefore", "notAfter"})
    try:
        return from_rfc3339(bounds["notBefore"]), from_rfc3339(bounds["notAfter"])
    except (KeyError, TypeError, ValueError):
        raise invalid(path, "needs `notBefore` and `notAfter`, both RFC 3339 times") from None


def _stored_id(entry: Mapping[str, Any]) -> str | None:
    if "psk" in entry:
        return psk_id(entry["psk"])
    password = entry["pass"] if "pass" in entry else entry.get("user", {}).get("password")
    return password.removeprefix(MARK) if password is not None else None


def psk_id(psk: Mapping[str, Any]) -> str:
    return base64.b64decode(psk.get("key", "")).decode().removeprefix(MARK)


def is_generated(entry: Mapping[str, Any], known: Mapping[str, Secret]) -> bool:
    secret = known.get(_stored_id(entry) or "")
    return secret is not None and secret.generated


def encode64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def decode64(path: str, value: Any) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise invalid(path, "must be base64") from None


def only(path: str, value: Any, keys: set[str]) -> dict[str, Any]:
    """`value`, an object with no other than `keys`. The names of others are not repeated: they may be secrets."""
    if not isinstance(value, dict) or not value.keys() <= keys:
        raise invalid(path, f"must be an object of {', '.join(sorted(keys))}")
    return value


def invalid(field: str, rule: str) -> FreeholdError:
    return RESOURCE_INVALID.error(f"{field}: {rule}")
