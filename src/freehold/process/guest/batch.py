# SPDX-License-Identifier: Apache-2.0
"""One batch: call `main` for each event and send what came of it, whatever the script does.

Results are collected and sent in pieces of 256 KiB, or every fifth of a second, so that the host sees that
the worker is alive and keeps what is finished when a later event kills it.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

from .budget import Budget, CpuTimeExceeded
from .channel import LAST, RETIRING, Channel, Request
from .codec import decode, encode_slowly
from .contract import NAMELESS, Broken, Names, pack, unwrap
from .printing import Printed
from .script import Script, describe

PIECE = 262_144
EVERY = 0.2


class Runner:
    """Runs batches until the script has used up its memory."""

    def __init__(
        self,
        script: Script,
        channel: Channel,
        budget: Budget,
        printed: Printed,
        *,
        output_bytes: int,
        cpu_seconds: float,
    ) -> None:
        self._script = script
        self._channel = channel
        self._budget = budget
        self._printed = printed
        self._output_bytes = output_bytes
        self._cpu_seconds = cpu_seconds
        self._serial = 0
        self._request: Request
        self._events: list[dict[str, Any]] = []
        self._pieces: list[bytes] = []
        self._retiring = False

    def run(self, request: Request) -> bool:
        """Answer `request`; False when this worker must not be used again."""
        self._request = request
        self._events = decode(request.metadata) if request.metadata else []
        index = 0
        while index < request.count and not self._retiring:
            try:
                index = self._run_from(index)
            except CpuTimeExceeded as error:
                # The limit struck between the script and our bookkeeping: the event counts as stopped.
                index = self._budget.at - self._serial
                self._budget.at = ~self._budget.at
                self._pieces.append(self._failure(error))
                index += 1
        self._serial += request.count
        self._budget.at = ~self._serial
        self._printed.end_of_batch()
        self._send(RETIRING if self._retiring else LAST)
        return not self._retiring

    def _run_from(self, index: int) -> int:
        """The events from `index` on; returns where it stopped. Every line here is paid for by every event."""
        request, script, budget, pieces = self._request, self._script, self._budget, self._pieces
        payloads, kinds, ends = request.payloads, request.kinds, request.ends
        main, takes_event, most = script.main, script.takes_event, self._output_bytes
        first, sent, size = self._serial, monotonic(), 0
        begin = ends[index - 1] if index else 0
        while index < request.count:
            end = ends[index]
            budget.at = first + index
            try:
                data, names = unwrap(payloads[begin:end], kinds[index], takes_event=takes_event)
                result = main(data, self._event(index, names)) if takes_event else main(data)
                piece = pack(result, names)
                if len(piece) > most:
                    raise Broken(f"the result has {len(piece)} bytes; process.output_bytes allows {most}")
            except BaseException as error:
                piece = self._failure(error)
            budget.at = ~(first + index)
            pieces.append(piece)
            index += 1
            begin = end
            size += len(piece)
            if request.careful or self._retiring or size > PIECE or monotonic() - sent > EVERY:
                if self._retiring:
                    break
                self._send(0)
                size, sent = 0, monotonic()
        return index

    def _event(self, index: int, names: Names) -> dict[str, Any]:
        event = self._events[index]
        if names is not NAMELESS:
            event["measurement"], event["sensor"], _ = names
        return event

    def _failure(self, error: BaseException) -> bytes:
        reason, detail, _ = describe(error, self._cpu_seconds)
        # What ran out of memory may have filled it with state that no later event would survive.
        self._retiring = self._retiring or isinstance(error, MemoryError)
        return encode_slowly({"reason": reason, "detail": detail})

    def _send(self, flags: int) -> None:
        pieces = self._pieces
        self._channel.send(self._request.nonce, flags, len(pieces), b"[" + b",".join(pieces) + b"]")
        pieces.clear()
