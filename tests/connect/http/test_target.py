# SPDX-License-Identifier: Apache-2.0
"""Request targets (drogue.md 1.2)."""

from __future__ import annotations

import contextlib
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.connect.http.target import ARGUMENTS, LONGEST_WAIT, Target, parse
from freehold.core.errors import FreeholdError


@pytest.mark.parametrize(
    ("raw", "target"),
    [
        (b"/v1/telemetry", Target("telemetry")),
        (b"/v1/a/b/c", Target("a")),
        (b"/v1/a/", Target("a")),
        (b"/v1/a%2Fb", Target("a/b")),
        (b"/v1/gr%C3%BCn", Target("grün")),
        (b"/v1/a+b", Target("a+b")),
        (b"/v1/100%", Target("100%")),
        (b"/v1/a?", Target("a")),
        (b"/v1/a?x=y&&=&z", Target("a")),
        (b"/v1/a?application=app1&device=d%40x", Target("a", application="app1", device="d@x")),
        (b"/v1/a?device=with+space", Target("a", device="with space")),
        (b"/v1/a?device=a%2Bb", Target("a", device="a+b")),
        (b"/v1/a?application=&device=", Target("a", application="", device="")),
        (b"/v1/a?data_schema=urn:x:y", Target("a", data_schema="urn:x:y")),
        (b"/v1/a?data_schema=", Target("a")),
        (b"/v1/a?as=dev2", Target("a", on_behalf="dev2")),
        (b"/v1/a?%61s=dev2", Target("a", on_behalf="dev2")),
        (b"/v1/a?ct=5", Target("a", wait=5)),
        (b"/v1/a?commandTimeout=5", Target("a", wait=5)),
        (b"/v1/a?ct=0", Target("a")),
        (b"/v1/a?ct=007", Target("a", wait=7)),
        (b"/v1/a?ct=4294967295", Target("a", wait=LONGEST_WAIT)),
        (b"http://host:8088/v1/a?ct=1", Target("a", wait=1)),
        (b"HTTPS://host/v1/a", Target("a")),
        (b"/", Target(root=True)),
        (b"/?x=y", Target(root=True)),
        (b"http://host", Target(root=True)),
    ],
)
def test_what_a_target_means(raw: bytes, target: Target) -> None:
    assert parse(raw) == target


@pytest.mark.parametrize(
    "raw", [b"/v1", b"/v1/", b"/v1//a", b"/v2/a", b"//v1/a", b"/V1/a", b"/v1?x", b"/a", b"/favicon.ico", b"/ttn/v3"]
)
def test_other_paths_are_not_there(raw: bytes) -> None:
    with pytest.raises(FreeholdError, match=r"resource\.not-found"):
        parse(raw)


@pytest.mark.parametrize(
    ("raw", "names"),
    [
        (b"/v1/%FF", "channel"),
        (b"/v1/a?device=%FF", "device"),
        (b"/v1/a?ct=", "ct"),
        (b"/v1/a?ct=-1", "ct"),
        (b"/v1/a?ct=%2B1", "ct"),
        (b"/v1/a?ct=1.5", "ct"),
        (b"/v1/a?ct=1_0", "ct"),
        (b"/v1/a?ct=+1", "ct"),
        (b"/v1/a?ct=x", "ct"),
        (b"/v1/a?ct=4294967296", "ct"),
        (b"/v1/a?ct=" + b"1" * 5000, "ct"),
        (b"/v1/a?ct=%D9%A3", "ct"),
        (b"/v1/a?ct=1&commandTimeout=2", "twice"),
        (b"/v1/a?device=a&device=b", "twice"),
        (b"/v1/a?" + b"&" * ARGUMENTS, "arguments"),
        (b"*", "target"),
        (b"host:443", "target"),
        (b"ftp://host/v1/a", "target"),
        (b"", "target"),
    ],
)
def test_what_cannot_be_read_is_named(raw: bytes, names: str) -> None:
    with pytest.raises(FreeholdError) as caught:
        parse(raw)
    assert caught.value.refusal.code == "request.invalid"
    assert names in caught.value.detail
    assert len(caught.value.detail) < 200


word = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@given(word, st.dictionaries(st.sampled_from(["application", "device", "as", "data_schema"]), word))
def test_what_a_client_encodes_is_what_we_read(channel: str, arguments: dict[str, str]) -> None:
    raw = f"/v1/{quote(channel, safe='')}?{urlencode(arguments)}".encode()
    assert parse(raw) == Target(
        channel,
        arguments.get("application"),
        arguments.get("device"),
        arguments.get("data_schema"),
        arguments.get("as"),
    )


@given(st.binary(max_size=60) | st.binary(max_size=40).map(b"/v1/".__add__))
def test_any_bytes_are_a_target_or_a_refusal(raw: bytes) -> None:
    with contextlib.suppress(FreeholdError):
        assert parse(raw).wait >= 0
