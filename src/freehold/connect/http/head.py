# SPDX-License-Identifier: Apache-2.0
"""What the reader of requests hands to whoever serves them."""

from __future__ import annotations

from freehold.core.errors import FreeholdError


class Head:
    """All of a request but its body. Or, in its place, `interim` (the peer waits for `100 Continue`) or a
    `failure`.

    Header values are as they came, None when absent. `length` is the body's by `Content-Length`. `http10` is
    True for a client of that version that asked to keep the connection. `identity` belongs to whoever serves
    the request: what it learned of this head is still there when the same head comes again.
    """

    __slots__ = (
        "authorization",
        "content_type",
        "failure",
        "http10",
        "identity",
        "interim",
        "keep_alive",
        "length",
        "method",
        "target",
    )

    def __init__(self, *, interim: bool = False, failure: FreeholdError | None = None) -> None:
        self.method = b""
        self.target = b""
        self.authorization: str | None = None
        self.content_type: str | None = None
        self.length = 0
        self.keep_alive = interim
        self.http10 = False
        self.interim = interim
        self.failure = failure
        self.identity: object = None


Request = tuple[Head, bytes]
"""Head and body."""


def failed(error: FreeholdError) -> Request:
    """What stands in for a request that cannot be read."""
    return Head(failure=error), b""
