# SPDX-License-Identifier: Apache-2.0
"""Ports for a whole platform in a test."""

from __future__ import annotations

import contextlib
import random
import socket

PORTS = (1883, 8080, 8088)


def free_offset() -> int:
    """A `--port-offset` at which the platform's ports are free, below the range of clients' own ports."""
    for _ in range(100):
        offset = random.randrange(2000, 20_000)
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in PORTS:
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port + offset))
            return offset
    raise RuntimeError("no free ports")
