# SPDX-License-Identifier: Apache-2.0
"""What a request shows of its sender, and whether a browser sent it from one of our own pages. Pure functions.

Exactly one way to sign in counts: with two, a proxy and we could pick different ones.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from urllib.parse import urlsplit

from freehold.core.errors import NOT_SIGNED_IN

COOKIE = "freehold_session"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""RFC 9110, 9.2.1. Nothing of ours changes anything on these."""


class Shown(Enum):
    SESSION = auto()
    TOKEN = auto()


@dataclass(frozen=True, slots=True)
class Credentials:
    """The secret of a session or an access token; `user` is the name that Basic carries, None without one."""

    kind: Shown
    secret: str = field(repr=False)
    user: str | None = None


def credentials(authorization: str | None, session: str | None) -> Credentials:
    """From the `Authorization` header and the session cookie. Raises `identity.not-signed-in`.

    `Bearer <token>` and `Basic <user>:<token>` (contract drogue.md 3.1) carry an access token.
    """
    if authorization and session:
        raise NOT_SIGNED_IN.error("Send either an `Authorization` header or the session cookie, not both")
    if session:
        return Credentials(Shown.SESSION, session)
    scheme, _, value = (authorization or "").partition(" ")
    match scheme.lower():
        case "bearer" if value:
            return Credentials(Shown.TOKEN, value.strip())
        case "basic":
            user, secret = _basic(value)
            return Credentials(Shown.TOKEN, secret, user)
    raise NOT_SIGNED_IN.error()


def _basic(value: str) -> tuple[str, str]:
    try:
        # Some of Drogue's clients leave the padding off.
        text = base64.b64decode(value.strip() + "=" * (-len(value.strip()) % 4), validate=True).decode()
    except (binascii.Error, ValueError):
        raise NOT_SIGNED_IN.error("`Authorization: Basic` is not base64 of UTF-8 text") from None
    user, colon, secret = text.partition(":")
    if not colon or not secret:
        raise NOT_SIGNED_IN.error("`Authorization: Basic` needs an access token as the password")
    return user, secret


def same_origin(method: str, headers: Mapping[str, str], origins: frozenset[str]) -> bool:
    """Whether a request with a session cookie may do what its method says (no request forgery).

    Browsers say where a request comes from: `Sec-Fetch-Site` on HTTPS and localhost, `Origin` elsewhere.
    `origins` are ours. Who sends neither with a cookie is no browser that we know, so the answer is no.
    """
    if method.upper() in SAFE_METHODS:
        return True
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    return headers.get("origin") in origins


def origin_of(url: str) -> str:
    """Scheme, host and port of `url` as browsers write an origin (RFC 6454, 6.2); empty for no URL."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # the URL may be made from a hostile `Host` header
        return ""
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return ""
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    default = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}" + (f":{port}" if port not in {None, default} else "")
