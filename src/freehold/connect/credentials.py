# SPDX-License-Identifier: Apache-2.0
"""What a device shows of itself, sorted by the decision table of drogue.md 1.1. Pure functions.

HTTP and CoAP both carry an `Authorization` text and the query arguments `application` and `device`; which
credentials of a device then count is the second table there.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterator
from urllib.parse import unquote

from freehold.connect.interfaces import Presented
from freehold.core.errors import CREDENTIALS_REJECTED, FreeholdError
from freehold.registry.interfaces import DeviceSnapshot


def split_device_user(text: str) -> tuple[str, str] | None:
    """(device key, application) of `X@Y`, None where there is no `@`.

    Split at the first `@`; the left part is percent-decoded, so a device whose name has an `@` sends `%40`;
    the right part is verbatim. Raises `device.credentials.rejected` where `%XX` do not make UTF-8.
    """
    left, at, application = text.partition("@")
    if not at:
        return None
    try:
        return unquote(left, errors="strict"), application
    except UnicodeDecodeError:
        raise _rejected("user name is not percent-encoded UTF-8") from None


def present(authorization: str | None, application: str | None, device: str | None, address: str) -> Presented:
    """What the `Authorization` text and the query arguments present together.

    Raises `device.credentials.rejected` for every row of the table that fails; its context says which.
    """
    if authorization is None:
        raise _rejected("no credentials")
    user, password = parse_basic(authorization)
    scoped = split_device_user(user)
    if application is not None:
        whole = user if scoped is None else "@".join(scoped)
        if device is None:
            return Presented(application, whole, password, None, address)
        return Presented(application, device, password, whole, address)
    if scoped is None:
        raise _rejected("user name without application")
    key, application = scoped
    if device is None:
        return Presented(application, key, password, None, address)
    return Presented(application, device, password, key, address)


def parse_basic(authorization: str) -> tuple[str, str]:
    """User and password of `Basic …` (RFC 7617; the scheme's case counts and padding may be missing).

    Raises `device.credentials.rejected` for every other scheme and form.
    """
    scheme, _, token = authorization.partition(" ")
    if scheme != "Basic":
        raise _rejected("scheme is not Basic")
    padded = token + "=" * (-len(token) % 4)
    try:
        text = binascii.a2b_base64(padded, strict_mode=True).decode("utf-8")
    except ValueError:
        raise _rejected("Basic credentials are not base64 of UTF-8") from None
    user, colon, password = text.partition(":")
    if not colon:
        raise _rejected("Basic credentials hold no password")
    return user, password


def verifiers(device: DeviceSnapshot, presented: Presented) -> Iterator[str]:
    """The verifiers of `device` against which the presented password counts (drogue.md 1.1, second table)."""
    for credential in device.passwords:
        if credential.username is None:
            counts = presented.username is None or presented.username == device.name
        elif presented.username is not None:
            counts = presented.username == credential.username
        elif credential.unique:
            counts = presented.key == credential.username
        else:
            counts = credential.username == device.name
        if counts:
            yield credential.verifier


def _rejected(reason: str) -> FreeholdError:
    return CREDENTIALS_REJECTED.error(reason=reason)
