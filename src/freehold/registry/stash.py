# SPDX-License-Identifier: Apache-2.0
"""The way in for credentials: secrets out of the spec, placeholders in.

A spec that was read and is sent back keeps its secrets, because its placeholders are recognised; no answer,
log line or copy of a spec can hold one.

Drogue takes these sections as they come. Here a malformed one is refused: what we do not understand might
hold a secret that we would store in clear.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from freehold.core.errors import FreeholdError
from freehold.core.ids import new_uid
from freehold.registry.credentials import (
    MARK,
    SECTIONS,
    Secret,
    decode64,
    encode64,
    invalid,
    is_generated,
    only,
    placeholders,
    psk_id,
    validity,
)
from freehold.registry.interfaces import PSK_PURPOSE
from freehold.registry.verifiers import Verifiers, check_foreign
from freehold.vault.service import Vault

MOST = 32
"""Credentials of one section: each may cost a slow hash."""
LONGEST_PSK = 512
"""Bytes; OpenSSL takes no longer key."""


@dataclass(frozen=True, slots=True)
class Stashed:
    """A spec fit to be stored: which secrets it refers to, and which of those are new."""

    spec: dict[str, Any]
    new: list[Secret]
    used: frozenset[str]


class Stasher:
    """Replaces the secrets of specs by placeholders. Slow where passwords were chosen: not for a transaction."""

    def __init__(self, verifiers: Verifiers, vault: Vault) -> None:
        self._verifiers = verifiers
        self._vault = vault

    def stash(
        self,
        device: str,
        spec: Mapping[str, Any],
        before: Mapping[str, Any] | None = None,
        known: Mapping[str, Secret] | None = None,
    ) -> Stashed:
        """The storable form of `spec` for the device with uid `device`.

        `before` and `known` are its stored spec and secrets: a placeholder must be one of these, and a
        secret in clear that is still the same at the same place keeps its row, so that sending the same
        thing twice changes nothing. Raises `resource.invalid`.
        """
        run = _Run(self._verifiers, self._vault, device, known or {})
        stored = dict(spec)
        for name in SECTIONS:
            if name in spec:
                stored[name] = run.section(f"spec.{name}", spec[name], (before or {}).get(name, {}))
        return Stashed(stored, list(run.new.values()), frozenset(run.used))

    def with_generated(self, device_spec: Mapping[str, Any], known: Mapping[str, Secret], secret: str) -> Stashed:
        """`device_spec` with the generated `secret` as a `pass`, in place of an earlier generated one.

        Raises `resource.invalid` when there are too many credentials already.
        """
        row = Secret(new_uid(), verifier=self._verifiers.of_secret(secret), generated=True)
        name = next((name for name in SECTIONS if name in device_spec), SECTIONS[0])
        section = dict(device_spec.get(name, {}))
        kept = [entry for entry in section.get("credentials", []) if not is_generated(entry, known)]
        if len(kept) >= MOST:
            raise invalid(f"spec.{name}.credentials", f"must be a list of at most {MOST}")
        section["credentials"] = [*kept, {"pass": MARK + row.id}]
        spec = {**device_spec, name: section}
        return Stashed(spec, [row], frozenset(placeholders(spec)))


class _Run:
    """One pass over one device's spec."""

    def __init__(self, verifiers: Verifiers, vault: Vault, device: str, known: Mapping[str, Secret]) -> None:
        self._verifiers, self._vault, self._device, self._known = verifiers, vault, device, known
        self.new: dict[str, Secret] = {}
        """By secret: clients that fill both sections send each secret twice, and hashing is slow."""
        self.used: set[str] = set()

    def section(self, path: str, section: Any, before: Mapping[str, Any]) -> dict[str, Any]:
        entries = only(path, section, {"credentials"}).get("credentials", [])
        if not isinstance(entries, list) or len(entries) > MOST:
            raise invalid(f"{path}.credentials", f"must be a list of at most {MOST}")
        old = before.get("credentials", [])
        stored = [
            self._entry(f"{path}.credentials[{i}]", entry, old[i] if i < len(old) else {})
            for i, entry in enumerate(entries)
        ]
        return {"credentials": stored} if "credentials" in section else {}

    def _entry(self, path: str, entry: Any, old: Mapping[str, Any]) -> dict[str, Any]:
        if len(only(path, entry, {"pass", "user", "psk", "cert"})) != 1:
            raise invalid(path, "must have exactly one of `pass`, `user`, `psk`, `cert`")
        ((kind, value),) = entry.items()
        path = f"{path}.{kind}"
        match kind:
            case "pass":
                return {kind: self._password(path, value, old.get("pass"))}
            case "user":
                return {kind: self._user(path, value, old.get("user", {}))}
            case "psk":
                return {kind: self._psk(path, value, old.get("psk", {}))}
            case _:
                if not isinstance(value, str) or "PRIVATE KEY" in value:
                    raise invalid(path, "must be a certificate, without its private key")
                return {kind: value}

    def _user(self, path: str, user: Any, old: Mapping[str, Any]) -> dict[str, Any]:
        only(path, user, {"username", "password", "unique"})
        name, unique = user.get("username"), user.get("unique", False)
        if not isinstance(name, str) or not 0 < len(name.encode(errors="surrogatepass")) <= 255:
            raise invalid(f"{path}.username", "must be text of 1 to 255 bytes")
        if not isinstance(unique, bool):
            raise invalid(f"{path}.unique", "must be true or false")
        return {**user, "password": self._password(f"{path}.password", user.get("password"), old.get("password"))}

    def _password(self, path: str, value: Any, old: Any) -> str:
        kind, text = "plain", value
        if isinstance(value, dict) and len(value) == 1:
            ((kind, text),) = value.items()
        if kind not in {"plain", "bcrypt", "sha512"} or not isinstance(text, str):
            raise invalid(path, 'must be text, or one of {"plain": …}, {"bcrypt": …}, {"sha512": …}')
        if text.startswith(MARK):
            return self._keep(path, text.removeprefix(MARK), "verifier")
        previous = self._known.get(old.removeprefix(MARK)) if isinstance(old, str) else None
        if previous and previous.verifier and self._is_same(kind, previous.verifier, text):
            return self._keep(path, previous.id, "verifier")
        try:
            return MARK + self._add(f"{kind} {text}", lambda id: Secret(id, verifier=self._verifier(kind, text)))
        except FreeholdError as error:
            raise invalid(path, error.detail) from None

    def _is_same(self, kind: str, verifier: str, text: str) -> bool:
        return self._verifiers.check(verifier, text) if kind == "plain" else verifier == text

    def _verifier(self, kind: str, text: str) -> str:
        return self._verifiers.of_secret(text) if kind == "plain" else check_foreign(kind, text)

    def _psk(self, path: str, psk: Any, old: Mapping[str, Any]) -> dict[str, Any]:
        only(path, psk, {"key", "validity"})
        if "validity" in psk:
            validity(psk["validity"], f"{path}.validity")
        key = decode64(f"{path}.key", psk.get("key"))
        if key.startswith(MARK.encode()):
            kept = self._keep(f"{path}.key", key.decode(errors="replace").removeprefix(MARK), "sealed")
            return {**psk, "key": encode64(kept)}
        if not 0 < len(key) <= LONGEST_PSK:
            raise invalid(f"{path}.key", f"must be 1 to {LONGEST_PSK} bytes")
        previous = self._known.get(psk_id(old))
        if previous and previous.sealed and self._open(previous.sealed) == key:
            return {**psk, "key": encode64(self._keep(path, previous.id, "sealed"))}
        id = self._add(f"psk {key.hex()}", lambda id: Secret(id, sealed=self._seal(key)))
        return {**psk, "key": encode64(MARK + id)}

    def _seal(self, key: bytes) -> bytes:
        return self._vault.seal(PSK_PURPOSE, key, self._device.encode())

    def _open(self, sealed: bytes) -> bytes:
        return self._vault.open_sealed(PSK_PURPOSE, sealed, self._device.encode())

    def _add(self, what: str, make: Callable[[str], Secret]) -> str:
        if what not in self.new:
            self.new[what] = make(new_uid())
        id = self.new[what].id
        self.used.add(id)
        return id

    def _keep(self, path: str, id: str, column: str) -> str:
        known = self._known.get(id)
        if known is None or getattr(known, column) is None:
            raise invalid(path, "is the placeholder of a secret that this device does not have; send the secret")
        self.used.add(id)
        return MARK + id
