# SPDX-License-Identifier: Apache-2.0
"""What a request shows of its sender: exactly one thing, and from one of our own pages."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.core.errors import FreeholdError
from freehold.identity.presented import SAFE_METHODS, Credentials, Shown, credentials, origin_of, same_origin

OURS = frozenset({"https://iot.example", "http://127.0.0.1:8080"})


def basic(text: str, padding: bool = True) -> str:
    encoded = base64.b64encode(text.encode()).decode()
    return "Basic " + (encoded if padding else encoded.rstrip("="))


def is_refused(authorization: str | None, cookie: str | None) -> bool:
    with pytest.raises(FreeholdError) as refused:
        credentials(authorization, cookie)
    return refused.value.refusal.code == "identity.not-signed-in"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_bearer_token(scheme: str) -> None:
    assert credentials(f"{scheme} frh_x", None) == Credentials(Shown.TOKEN, "frh_x")


@pytest.mark.parametrize("padding", [True, False])
@pytest.mark.parametrize("user", ["owner", "", "a b", "é"])
def test_drogues_basic_with_a_token_as_the_password(user: str, padding: bool) -> None:
    assert credentials(basic(f"{user}:frh_x", padding), None) == Credentials(Shown.TOKEN, "frh_x", user)


def test_the_password_may_hold_colons() -> None:
    assert credentials(basic("u:a:b"), None).secret == "a:b"


def test_a_session_cookie() -> None:
    assert credentials(None, "frs_x") == Credentials(Shown.SESSION, "frs_x")


def test_the_secret_is_not_in_a_repr() -> None:
    assert "frh_x" not in repr(credentials("Bearer frh_x", None))


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        " ",
        "Bearer",
        "Bearer ",
        "Basic",
        "Basic ",
        "Basic !",
        "Basic é",
        basic("nocolon"),
        basic("user:"),
        "Basic " + base64.b64encode(b"\xff:\xff").decode(),
        "Digest username=x",
        "frh_x",
    ],
)
def test_nothing_or_nonsense_is_not_signed_in(authorization: str | None) -> None:
    assert is_refused(authorization, None)
    assert is_refused(authorization, "")


@pytest.mark.parametrize("authorization", ["Bearer frh_x", basic("u:frh_x"), "Digest x"])
def test_two_ways_at_once_are_refused(authorization: str) -> None:
    assert is_refused(authorization, "frs_x")


@given(st.text() | st.text().map("Basic {}".format), st.text())
def test_any_header_gives_a_secret_or_the_one_refusal(authorization: str, cookie: str) -> None:
    try:
        outcome = credentials(authorization, cookie).secret
    except FreeholdError as refused:
        outcome = refused.refusal.code
    assert outcome == "identity.not-signed-in" or (outcome and not (authorization and cookie))


@pytest.mark.parametrize("method", sorted(SAFE_METHODS))
@pytest.mark.parametrize("headers", [{}, {"sec-fetch-site": "cross-site"}, {"origin": "https://evil.example"}])
def test_what_changes_nothing_may_come_from_anywhere(method: str, headers: dict[str, str]) -> None:
    assert same_origin(method, headers, OURS)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "post", "PROPFIND", ""])
@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "same-origin", "origin": "https://iot.example"}, True),
        ({"origin": "https://iot.example"}, True),
        ({"origin": "http://127.0.0.1:8080"}, True),
        ({"sec-fetch-site": "same-site"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "none"}, False),
        ({"sec-fetch-site": ""}, False),
        ({"sec-fetch-site": "cross-site", "origin": "https://iot.example"}, False),
        ({"origin": "https://evil.example"}, False),
        ({"origin": "http://iot.example"}, False),
        ({"origin": "https://iot.example:8443"}, False),
        ({"origin": "https://iot.example.evil.example"}, False),
        ({"origin": "null"}, False),
        ({"origin": ""}, False),
        ({"referer": "https://iot.example/"}, False),
        ({}, False),
    ],
)
def test_what_changes_something_must_come_from_our_own_page(
    method: str, headers: dict[str, str], expected: bool
) -> None:
    assert same_origin(method, headers, OURS) is expected


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://iot.example/console/", "https://iot.example"),
        ("https://iot.example:443", "https://iot.example"),
        ("http://iot.example:80/", "http://iot.example"),
        ("http://iot.example:443/", "http://iot.example:443"),
        ("HTTPS://IOT.example/", "https://iot.example"),
        ("http://127.0.0.1:8080/x", "http://127.0.0.1:8080"),
        ("http://[::1]:8080/", "http://[::1]:8080"),
        ("https://user:pass@iot.example/", "https://iot.example"),
        ("ftp://iot.example", ""),
        ("iot.example", ""),
        ("http://", ""),
        ("http://[::", ""),
        ("http://a:99999/", ""),
        ("http://a:b/", ""),
        ("", ""),
    ],
)
def test_the_origin_of_a_url_is_written_as_browsers_do(url: str, origin: str) -> None:
    assert origin_of(url) == origin
