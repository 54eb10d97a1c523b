# SPDX-License-Identifier: Apache-2.0
"""The two tables of drogue.md 1.1: what is presented, and which stored credential it counts against."""

from __future__ import annotations

import base64
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.connect.credentials import parse_basic, present, split_device_user, verifiers
from freehold.connect.interfaces import Presented
from freehold.core.errors import FreeholdError
from freehold.registry.interfaces import PasswordCredential
from tests.connect.doubles import Directory


def basic(user: str, password: str = "foo") -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


DECISIONS = [
    # application=, device=, Basic user → application, key, username
    (None, None, "dev@app", ("app", "dev", None)),
    (None, None, "de%40v@app", ("app", "de@v", None)),
    (None, None, "dev@app@x", ("app@x", "dev", None)),
    (None, None, "d%C3%BC@app", ("app", "dü", None)),
    ("A", None, "dev", ("A", "dev", None)),
    ("A", None, "dev@app", ("A", "dev@app", None)),
    ("A", None, "de%40v@app", ("A", "de@v@app", None)),
    ("A", None, "de%40v", ("A", "de%40v", None)),
    ("A", "D", "user", ("A", "D", "user")),
    ("A", "D", "user@app", ("A", "D", "user@app")),
    (None, "D", "user@app", ("app", "D", "user")),
    (None, "D", "us%40er@app", ("app", "D", "us@er")),
]


@pytest.mark.parametrize(("application", "device", "user", "expected"), DECISIONS)
def test_decision_table(
    application: str | None, device: str | None, user: str, expected: tuple[str, str, str | None]
) -> None:
    name, key, username = expected
    assert present(basic(user, "p:w"), application, device, "addr") == Presented(name, key, "p:w", username, "addr")


@pytest.mark.parametrize(
    ("authorization", "application", "device", "reason"),
    [
        (None, None, None, "no credentials"),
        (None, "A", "D", "no credentials"),
        (basic("dev"), None, None, "without application"),
        (basic("dev"), None, "D", "without application"),
        (basic("d%FF@app"), None, None, "UTF-8"),
        ("Bearer x", None, None, "not Basic"),
        ("basic " + basic("a@b")[6:], None, None, "not Basic"),
        ("Basic", None, None, "no password"),
        ("Basic ", None, None, "no password"),
        ("Basic  " + basic("a@b")[6:], None, None, "base64"),
        ("Basic !!!!", None, None, "base64"),
        ("Basic YQ", None, None, "no password"),
        ("Basic /w==", None, None, "base64"),
        ("Digest x", None, None, "not Basic"),
        ("", None, None, "not Basic"),
    ],
)
def test_drogue_04_everything_else_is_refused_alike(
    authorization: str | None, application: str | None, device: str | None, reason: str
) -> None:
    with pytest.raises(FreeholdError) as caught:
        present(authorization, application, device, "addr")
    assert caught.value.refusal.code == "device.credentials.rejected"
    assert reason in caught.value.context["reason"]
    assert caught.value.detail == ""  # the reason is for the log, never for the device


@given(
    st.text(st.characters(exclude_categories=["Cs"])).filter(lambda user: ":" not in user),
    st.text(st.characters(exclude_categories=["Cs"])),
)
def test_basic_with_and_without_padding(user: str, password: str) -> None:
    authorization = basic(user, password)
    assert parse_basic(authorization) == (user, password)
    assert parse_basic(authorization.rstrip("=")) == (user, password)


@given(st.text(max_size=40))
def test_any_authorization_is_read_or_refused(authorization: str) -> None:
    for application in (None, "A"):
        for device in (None, "D"):
            with contextlib.suppress(FreeholdError):
                shown = present(authorization, application, device, "")
                assert authorization.startswith("Basic ")
                assert shown.application == application or application is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a@b", ("a", "b")), ("a%40c@b", ("a@c", "b")), ("@b", ("", "b")), ("a@", ("a", "")), ("a", None), ("", None)],
)
def test_user_names(text: str, expected: tuple[str, str] | None) -> None:
    assert split_device_user(text) == expected


PASS = PasswordCredential("pass")
SHARED = PasswordCredential("user", "U")
UNIQUE = PasswordCredential("unique", "U", unique=True)
OWN_NAME = PasswordCredential("own", "device1")


@pytest.mark.parametrize(
    ("key", "username", "matches"),
    [
        # password only, for the key that resolved to the device: its name, an alias, its unique user name
        ("device1", None, ["pass", "own"]),
        ("alias", None, ["pass", "own"]),
        ("U", None, ["pass", "unique", "own"]),
        # user name and password
        ("device1", "U", ["user", "unique"]),
        ("device1", "device1", ["pass", "own"]),
        ("alias", "alias", []),
        ("alias", "device1", ["pass", "own"]),
        ("device1", "other", []),
        ("device1", "", []),
    ],
)
def test_stored_credentials_that_count(key: str, username: str | None, matches: list[str]) -> None:
    device = Directory().add("device1", PASS, SHARED, UNIQUE, OWN_NAME, aliases=["alias", "U"])
    shown = Presented("app1", key, "secret", username, "")
    assert list(verifiers(device, shown)) == matches
