# SPDX-License-Identifier: Apache-2.0
"""From bytes to requests: llhttp (by `httptools`) with our bounds around it. No socket, no meaning.

`RequestReader.feed` gives what the bytes completed, in order. What breaks HTTP or a bound comes as a last
request whose head carries the failure; the connection answers and closes. Chunked bodies, pipelining and
bytes that arrive one by one are the parser's; what it does not bound (heads, trailers, chunk extensions) is
bounded here.

A device that keeps its connection sends the same head again and again. The last few heads of a connection
are remembered byte for byte, and an equal one is not parsed again: that saves two thirds of the cost of
reading a request (measured: six headers are six calls from C into Python).
"""

from __future__ import annotations

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from freehold.connect.http.head import Head, Request, failed
from freehold.core.errors import (
    HEADERS_TOO_LARGE,
    PAYLOAD_TOO_LARGE,
    REQUEST_INVALID,
    FreeholdError,
)

HEAD_BYTES = 16_384
HEADERS = 64
FRAMING = 8
"""Bytes on the wire for each byte of body that is allowed: chunks of one byte take six."""
KNOWN_HEADS = 4
KNOWN_BYTES = 1024
"""Longest head that is remembered."""


class RequestReader:
    """Reads the requests of one connection. `max_body` is in bytes.

    `busy` is True from a request's first byte to its last, `begun` counts requests that began, `held` is
    how many bytes of an unfinished body are in memory.
    """

    __slots__ = (
        "_chunks",
        "_complete",
        "_connection",
        "_expects",
        "_failure",
        "_framing",
        "_head",
        "_head_bytes",
        "_headers",
        "_in_head",
        "_known",
        "_max_body",
        "_parser",
        "_plain",
        "_unfinished",
        "_upgrade",
        "begun",
        "busy",
        "held",
    )

    def __init__(self, max_body: int) -> None:
        self._max_body = max_body
        self._parser = HttpRequestParser(self)
        self._known: dict[bytes, Head] = {}
        self._complete: list[Request] = []
        self._failure: FreeholdError | None = None
        self.busy = False
        self.begun = 0
        self._reset()

    def _reset(self) -> None:
        self._head = Head()
        self._in_head = True
        self._plain = True
        self._connection = self._expects = self._upgrade = False
        self._head_bytes = self._headers = self._unfinished = 0
        self._framing: list[tuple[bytes, bytes]] = []
        self._chunks: list[bytes] = []
        self.held = 0

    def feed(self, data: bytes) -> list[Request]:
        """What `data` completes, in order. After one with a `failure` nothing may be fed any more."""
        if self.busy:
            return self._parse(data)
        end = data.find(b"\r\n\r\n") + 4
        known = self._known.get(data[:end])
        if known is not None and len(data) == end + known.length:
            self.begun += 1
            return [(known, data[end:])]
        complete = self._parse(data)
        if len(complete) == 1 and self._plain:
            self._learn(complete[0][0], data, end)
        return complete

    def _learn(self, head: Head, data: bytes, end: int) -> None:
        """Remember a head that came alone with its body, in one piece, on a connection that stays."""
        if head.keep_alive and end <= KNOWN_BYTES and len(data) == end + head.length:
            if len(self._known) >= KNOWN_HEADS:
                self._known.clear()
            self._known[data[:end]] = head

    def _parse(self, data: bytes) -> list[Request]:
        begun = self.begun
        try:
            self._parser.feed_data(data)
            if self.busy and begun == self.begun:
                self._bound(len(data))
        except HttpParserUpgrade as switch:
            return self._without_upgrade(data[switch.args[0] :])
        except HttpParserError as cause:
            error = self._failure or REQUEST_INVALID.error(f"this is not HTTP/1.1: {cause}")
            self._complete.append(failed(error))
        except FreeholdError as error:
            self._complete.append(failed(error))
        complete, self._complete = self._complete, []
        return complete

    def _bound(self, size: int) -> None:
        """Bound what the parser keeps or skips without telling: unfinished lines, trailers, extensions."""
        self._unfinished += size
        if self._in_head and self._unfinished > HEAD_BYTES:
            raise HEADERS_TOO_LARGE.error(f"a request head has at most {HEAD_BYTES} bytes")
        if self._unfinished > HEAD_BYTES + FRAMING * self._max_body:
            raise self._too_large()

    def _without_upgrade(self, rest: bytes) -> list[Request]:
        """Go on as if `Upgrade` had not been asked for (RFC 9110, 7.8 lets a server ignore it).

        llhttp ends HTTP there, and would take a body for the other protocol: a parser of its own reads the
        same head without that header, and what follows.
        """
        complete, self._complete = self._complete, []
        method = self._parser.get_method()
        if method == b"CONNECT":
            complete.append(failed(REQUEST_INVALID.error("this is no proxy")))
            return complete
        head = [b"%s %s HTTP/1.1" % (method, self._head.target)]
        head += [b"%s: %s" % pair for pair in self._framing]
        self._parser = HttpRequestParser(self)
        self.begun -= 1
        return complete + self._parse(b"\r\n".join(head) + b"\r\n\r\n" + rest)

    # --- called by the parser --------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self.busy = True
        self.begun += 1
        self._reset()

    def on_url(self, part: bytes) -> None:
        self._head.target += part
        if len(self._head.target) > HEAD_BYTES:
            self._fail(HEADERS_TOO_LARGE.error(f"a request head has at most {HEAD_BYTES} bytes"))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers += 1
        self._head_bytes += len(name) + len(value)
        if self._headers > HEADERS or self._head_bytes > HEAD_BYTES:
            self._fail(HEADERS_TOO_LARGE.error(f"a request has at most {HEADERS} headers in {HEAD_BYTES} bytes"))
        if not self._in_head:
            return  # a trailer: nothing that we use may come there (RFC 9110, 6.5.1)
        name = name.lower()
        value = value.rstrip(b" \t")  # the parser leaves what RFC 9110, 5.5 takes off
        if name == b"authorization":
            if self._head.authorization is not None:
                self._fail(REQUEST_INVALID.error("the header Authorization is there twice"))
            self._head.authorization = value.decode("latin-1")
        elif name == b"content-type":
            self._head.content_type = value.decode("latin-1")
        elif name == b"content-length":
            self._head.length = int(value)
        elif name == b"transfer-encoding":
            self._plain = False
            if value.lower() != b"chunked":
                self._fail(REQUEST_INVALID.error("the only transfer coding taken is chunked"))
        elif name == b"expect":
            self._expects = value.lower() == b"100-continue"
        else:
            self._connection = self._connection or name == b"connection"
            return
        self._framing.append((name, value))

    def on_headers_complete(self) -> None:
        self._in_head = False
        head, parser = self._head, self._parser
        if parser.should_upgrade():
            self._upgrade, self._plain = True, False
            return
        if head.length > self._max_body:
            self._fail(self._too_large())
        head.method = parser.get_method()
        head.keep_alive = parser.should_keep_alive()
        # Only a client of version 1.0 has to be told that the connection stays, and only if it asked.
        head.http10 = self._connection and head.keep_alive and parser.get_http_version() == "1.0"
        if self._expects and parser.get_http_version() == "1.1":
            self._complete.append((Head(interim=True), b""))

    def on_body(self, chunk: bytes) -> None:
        self.held += len(chunk)
        if self.held > self._max_body:
            self._fail(self._too_large())
        self._chunks.append(chunk)

    def on_message_complete(self) -> None:
        if self._upgrade:
            return
        chunks = self._chunks
        self._complete.append((self._head, chunks[0] if len(chunks) == 1 else b"".join(chunks)))
        self.busy = False
        self.held = 0
        self._chunks = []

    def _fail(self, error: FreeholdError) -> None:
        # Raised through the C parser, which replaces it by an exception of its own.
        self._failure = error
        raise error

    def _too_large(self) -> FreeholdError:
        return PAYLOAD_TOO_LARGE.error(f"a body has at most {self._max_body} bytes")
