# SPDX-License-Identifier: Apache-2.0
"""From bytes to requests: however the bytes are cut, the requests are the same; every bound holds."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.connect.http.head import Request
from freehold.connect.http.request import (
    FRAMING,
    HEAD_BYTES,
    HEADERS,
    KNOWN_BYTES,
    KNOWN_HEADS,
    RequestReader,
)

MAX_BODY = 100


@dataclass(frozen=True)
class Seen:
    """What a test compares of a request."""

    method: bytes = b""
    target: bytes = b""
    body: bytes = b""
    authorization: str | None = None
    content_type: str | None = None
    keep_alive: bool = True
    http10: bool = False
    failure: str | None = None
    interim: bool = False


def seen(request: Request) -> Seen:
    head, body = request
    failure = None if head.failure is None else head.failure.refusal.code
    if head.interim or failure:
        return Seen(interim=head.interim, failure=failure, keep_alive=head.keep_alive)
    return Seen(head.method, head.target, body, head.authorization, head.content_type, head.keep_alive, head.http10)


def read(*pieces: bytes) -> list[Seen]:
    reader = RequestReader(MAX_BODY)
    requests: list[Seen] = []
    for piece in pieces:
        requests += map(seen, reader.feed(piece))
        if requests and requests[-1].failure:
            break
    return requests


def post(body: bytes = b"hello", *headers: str, version: str = "1.1", target: str = "/v1/x") -> bytes:
    lines = [f"POST {target} HTTP/{version}", "Host: h", *headers, f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chunked(*chunks: bytes, trailer: str = "") -> bytes:
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return b"POST /v1/x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + body + b"0\r\n" + trailer.encode() + b"\r\n"


FAILED = Seen(keep_alive=False)


def failure(code: str) -> Seen:
    return Seen(failure=code, keep_alive=False)


def test_a_post() -> None:
    raw = post(b"hello", "Authorization: Basic x", "CONTENT-TYPE: text/plain ")
    assert read(raw) == [Seen(b"POST", b"/v1/x", b"hello", "Basic x", "text/plain")]


STREAM = [
    post(b"one", "Authorization: Basic x"),
    b"GET / HTTP/1.1\r\n\r\n",
    chunked(b"tw", b"o"),
    post(b"", "Expect: 100-continue"),
    post(b"up", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"),
    b"\r\n" + post(b"three", target="http://host/v1/y?ct=1"),
    chunked(b"x" * 50, trailer="Authorization: Basic forged\r\nX: y\r\n"),
    b"HEAD / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    post(b"last", "Connection: close"),
]
MEANING = [
    Seen(b"POST", b"/v1/x", b"one", "Basic x"),
    Seen(b"GET", b"/"),
    Seen(b"POST", b"/v1/x", b"two"),
    Seen(interim=True),
    Seen(b"POST", b"/v1/x", b""),
    Seen(b"POST", b"/v1/x", b"up"),
    Seen(b"POST", b"http://host/v1/y?ct=1", b"three"),
    Seen(b"POST", b"/v1/x", b"x" * 50),
    Seen(b"HEAD", b"/", http10=True),
    Seen(b"POST", b"/v1/x", b"last", keep_alive=False),
]


def test_pipelined_requests_come_in_order() -> None:
    assert read(b"".join(STREAM)) == MEANING


def test_one_by_one_they_are_the_same() -> None:
    assert read(*STREAM) == MEANING


def test_split_at_every_byte_they_are_the_same() -> None:
    raw = b"".join(STREAM)
    for cut in range(1, len(raw)):
        assert read(raw[:cut], raw[cut:]) == MEANING


def test_byte_by_byte_they_are_the_same() -> None:
    assert read(*(bytes([byte]) for byte in b"".join(STREAM))) == MEANING


@given(st.lists(st.integers(0, len(b"".join(STREAM))), max_size=12))
def test_however_it_is_cut_they_are_the_same(cuts: list[int]) -> None:
    raw = b"".join(STREAM)
    edges = [0, *sorted(cuts), len(raw)]
    assert read(*(raw[a:b] for a, b in itertools.pairwise(edges))) == MEANING


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"hello\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /a b HTTP/1.1\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: a\x00b\r\n\r\n",
        b"GET / HTTP/1.1\r\nNo colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nA : b\r\n\r\n",
        b"GET / HTTP/1.1\r\n folded\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"CONNECT h:443 HTTP/1.1\r\nHost: h\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: +5\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nContent-Length: 5, 5\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: identity\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n",
        b"POST / HTTP/1.1\r\nAuthorization: Basic a\r\nAuthorization: Basic b\r\n\r\n",
    ],
)
def test_what_is_not_http_fails_once_and_the_rest_is_not_looked_at(raw: bytes) -> None:
    assert read(raw + post()) == [failure("request.invalid")]
    assert read(post(), raw) == [Seen(b"POST", b"/v1/x", b"hello"), failure("request.invalid")]


def test_after_the_last_request_nothing_may_come() -> None:
    assert read(post(b"x", "Connection: close") + post()) == [
        Seen(b"POST", b"/v1/x", b"x", keep_alive=False),
        failure("request.invalid"),
    ]


# --- bounds --------------------------------------------------------------------------------------


def test_the_largest_body_is_read_and_one_byte_more_is_not() -> None:
    largest = b"x" * MAX_BODY
    assert read(post(largest)) == [Seen(b"POST", b"/v1/x", largest)]
    assert read(chunked(largest)) == [Seen(b"POST", b"/v1/x", largest)]
    assert read(post(largest + b"x")) == [failure("event.payload.too-large")]
    assert read(chunked(largest, b"x")) == [failure("event.payload.too-large")]


@pytest.mark.parametrize("length", [MAX_BODY + 1, 10**18, 2**64 - 1])
def test_a_declared_length_is_enough_to_refuse(length: int) -> None:
    head = b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % length
    assert read(head) == [failure("event.payload.too-large")]


def head_with(*headers: bytes) -> bytes:
    return b"GET / HTTP/1.1\r\n" + b"".join(header + b"\r\n" for header in headers)


def in_pieces(raw: bytes, size: int = 512) -> list[bytes]:
    return [raw[start : start + size] for start in range(0, len(raw), size)]


@pytest.mark.parametrize(
    "raw",
    [
        head_with(*[b"a: b"] * (HEADERS + 1)),
        head_with(b"a: " + b"x" * HEAD_BYTES),
        head_with(b"x" * (2 * HEAD_BYTES)),
        head_with(*[b"a: " + b"x" * 1000] * 20),
        b"GET /" + b"x" * (2 * HEAD_BYTES),
    ],
)
def test_large_heads_are_refused_in_one_piece_and_in_many(raw: bytes) -> None:
    ended = raw + b"\r\n"
    assert read(ended + b"\r\n")[-1].failure is not None
    assert read(*in_pieces(ended * 2))[-1] == failure("request.headers.too-large")


def test_a_head_that_never_ends_is_refused() -> None:
    reader = RequestReader(MAX_BODY)
    fed = 0
    requests: list[Request] = reader.feed(b"GET / HTTP/1.1\r\n")
    while not requests:
        requests = reader.feed(b"a" * 100)
        fed += 100
        assert fed < 2 * HEAD_BYTES
    assert seen(requests[-1]) == failure("request.headers.too-large")


@pytest.mark.parametrize("tail", [b"5;ext=" + b"x" * 100, b"0\r\n" + b"x" * 100])
def test_a_body_of_extensions_or_trailers_that_never_ends_is_refused(tail: bytes) -> None:
    reader = RequestReader(MAX_BODY)
    requests = reader.feed(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + tail)
    fed = 0
    while not requests:
        requests = reader.feed(b"x" * 100)
        fed += 100
        assert fed < HEAD_BYTES + FRAMING * MAX_BODY + 200
    assert seen(requests[-1]).failure is not None


def test_chunks_of_one_byte_fit() -> None:
    chunks = [b"x"] * MAX_BODY
    assert read(*in_pieces(chunked(*chunks), 7)) == [Seen(b"POST", b"/v1/x", b"x" * MAX_BODY)]


def test_many_trailers_are_refused() -> None:
    raw = chunked(b"x", trailer="a: b\r\n" * (HEADERS + 1))
    assert read(raw) == [failure("request.headers.too-large")]


def test_bytes_of_an_unfinished_body_are_counted() -> None:
    reader = RequestReader(MAX_BODY)
    raw = post(b"x" * 60)
    reader.feed(raw[:-20])
    assert (reader.busy, reader.held) == (True, 40)
    reader.feed(raw[-20:])
    assert (reader.busy, reader.held) == (False, 0)


# --- heads that are known ------------------------------------------------------------------------


def test_an_equal_head_is_the_same_object_and_the_bodies_are_their_own() -> None:
    reader = RequestReader(MAX_BODY)
    heads = []
    for number in range(5):
        ((head, body),) = reader.feed(post(b"no %d" % number))
        assert body == b"no %d" % number
        heads.append(head)
    assert heads[0] is heads[1] is heads[4]
    assert reader.begun == 5


def test_a_head_that_differs_is_another() -> None:
    reader = RequestReader(MAX_BODY)
    ((one, _),) = reader.feed(post(b"a", "Authorization: Basic x"))
    ((other, _),) = reader.feed(post(b"a", "Authorization: Basic y"))
    assert (one.authorization, other.authorization) == ("Basic x", "Basic y")


@pytest.mark.parametrize(
    "second",
    [
        post(b"two") + post(b"three"),
        post(b"two")[:-1],
        post(b"two") + b"G",
        post(b"two")[:20],
    ],
)
def test_a_known_head_with_more_or_less_behind_it_is_parsed(second: bytes) -> None:
    whole = post(b"two") + post(b"three") + post(b"GET!!")
    rest = whole[len(second) :] if whole.startswith(second) else None
    reader = RequestReader(MAX_BODY)
    assert [seen(each).body for each in reader.feed(post(b"one"))] == [b"one"]
    got = [seen(each).body for each in reader.feed(second)]
    if rest is not None:
        got += [seen(each).body for each in reader.feed(rest)]
        assert got == [b"two", b"three", b"GET!!"]
    else:
        assert (got, reader.busy) == ([b"two"], True)


@pytest.mark.parametrize(
    "raw",
    [
        post(b"x", "Connection: close"),
        chunked(b"x"),
        post(b"x", "Expect: 100-continue"),
        post(b"x", "X: " + "y" * KNOWN_BYTES),
        b"\r\n\r\n" + post(b"x"),
        post(b"x", version="1.0"),
    ],
)
def test_heads_that_need_the_parser_are_never_known(raw: bytes) -> None:
    reader = RequestReader(MAX_BODY)
    reader.feed(raw)
    assert not reader._known


def test_few_heads_are_known() -> None:
    reader = RequestReader(MAX_BODY)
    for number in range(20):
        reader.feed(post(b"x", f"X: {number}"))
        assert len(reader._known) <= KNOWN_HEADS


bodies = st.binary(max_size=40)
heads = st.lists(st.sampled_from(["Authorization: Basic a", "Content-Type: text/plain", "X: y"]), max_size=2)


@given(st.lists(st.tuples(bodies, heads), min_size=1, max_size=12))
def test_with_known_heads_and_without_the_meaning_is_one(requests: list[tuple[bytes, list[str]]]) -> None:
    raw = [post(body, *dict.fromkeys(headers)) for body, headers in requests]
    assert read(*raw) == read(b"".join(raw))


@given(st.lists(st.binary(max_size=80), max_size=6))
def test_any_bytes_are_requests_or_one_failure(pieces: list[bytes]) -> None:
    requests = read(*pieces)
    assert all(each.failure is None for each in requests[:-1])
