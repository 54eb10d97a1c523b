# SPDX-License-Identifier: Apache-2.0
"""Frames between host and worker: fixed binary headers around bytes that are passed on as they are.

Payloads reach the worker byte by byte as devices sent them, behind an array of their lengths: the host
encodes nothing. The worker answers with one JSON array a frame. Every answer repeats the random nonce of
its batch, so that bytes which a script writes to this descriptor by itself are not taken for an answer.
Both ends run the same Python on the same machine: sizes are fixed, the byte order is the machine's.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct

REQUEST = Struct("=QBBIII")
"""nonce, kind, flags, number of events, bytes of metadata, bytes of payloads"""
ANSWER = Struct("=QBII")
"""nonce, flags, number of events, bytes of JSON"""

HELLO = b"hello\n"
"""The worker's first words, said when it has given up all rights. The host asks the kernel who said them."""

LOAD, RUN = 1, 2
CAREFUL = 1
"""Request flag: answer after every event, so that the host knows at which one the worker died."""
LAST = 1
"""Answer flag: the batch is done."""
RETIRING = 2
"""Answer flag: the worker ends itself (out of memory); the host goes on with a new one."""

JSON, TEXT, BINARY = 0, 1, 2
"""Kinds of payload."""

LENGTHS = "I"
"""Type code of the array of lengths: 32 bit."""


@dataclass(frozen=True, slots=True)
class Request:
    """One frame from the host. `ends[i]` is where payload i ends in `payloads`."""

    nonce: int
    kind: int
    careful: bool
    count: int
    kinds: bytes
    ends: Sequence[int]
    metadata: bytes
    payloads: memoryview


class Channel:
    """The worker's end."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        # Unbuffered writes through the descriptor, buffered reads: a request is read by three calls.
        self._input = open(descriptor, "rb", buffering=65536, closefd=False)  # noqa: SIM115

    def hello(self) -> None:
        os.write(self.descriptor, HELLO)

    def read(self) -> Request | None:
        """The next request; None when the host is gone."""
        head = self._input.read(REQUEST.size)
        if len(head) < REQUEST.size:
            return None
        nonce, kind, flags, count, metadata_size, size = REQUEST.unpack(head)
        lengths = array(LENGTHS, self._input.read(array(LENGTHS).itemsize * count))
        kinds = self._input.read(count)
        metadata = self._input.read(metadata_size)
        payloads = memoryview(self._input.read(size))
        if len(payloads) < size:
            return None
        ends: list[int] = []
        end = 0
        for length in lengths:
            end += length
            ends.append(end)
        return Request(nonce, kind, bool(flags & CAREFUL), count, kinds, ends, metadata, payloads)

    def send(self, nonce: int, flags: int, count: int, payload: bytes) -> None:
        """Write one answer. Raises OSError when the host is gone or the script closed our descriptor."""
        left = memoryview(ANSWER.pack(nonce, flags, count, len(payload)) + payload)
        while left:
            left = left[os.write(self.descriptor, left) :]
