# SPDX-License-Identifier: Apache-2.0
"""`spec.downstream.password`: the one secret that an application's own spec may hold (contract drogue.md 4.2).

It must be readable again by whatever connects that user, so it is sealed in place: the stored spec and every
answer hold `{sealed}…`, which only the vault of this installation opens, and only for this application.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from freehold.core.errors import RESOURCE_INVALID
from freehold.vault.service import Vault

PURPOSE = "registry.downstream"

_MARK = "{sealed}"


def seal_password(vault: Vault, application: str, spec: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, Any]:
    """`spec` with its password sealed for the application with uid `application`, whose stored spec is `before`.

    The sealed text that was read may be sent back, and a password that is still the same changes nothing.
    Raises `resource.invalid`.
    """
    password = _password(spec)
    if password is None:
        return dict(spec)
    if not isinstance(password, str):
        raise RESOURCE_INVALID.error("spec.downstream.password: must be text")
    stored = _password(before)
    if password.startswith(_MARK):
        if password != stored:
            raise RESOURCE_INVALID.error("spec.downstream.password: is sealed for something else; send the password")
    elif stored is not None and open_password(vault, application, before) == password:
        password = stored
    else:
        sealed = vault.seal(PURPOSE, password.encode(errors="surrogatepass"), application.encode())
        password = _MARK + base64.b64encode(sealed).decode()
    return {**spec, "downstream": {**spec["downstream"], "password": password}}


def open_password(vault: Vault, application: str, spec: Mapping[str, Any]) -> str | None:
    """The password in a stored spec; None without one. Raises `SealError`."""
    password = _password(spec)
    if password is None:
        return None
    sealed = base64.b64decode(password.removeprefix(_MARK))
    return vault.open_sealed(PURPOSE, sealed, application.encode()).decode(errors="surrogatepass")


def _password(spec: Mapping[str, Any]) -> Any:
    section = spec.get("downstream")
    return section.get("password") if isinstance(section, dict) else None
