# SPDX-License-Identifier: Apache-2.0
"""The host's side of a worker: batches out, outcomes in, and a new process whenever one is lost.

Normally a batch is one exchange. When the worker dies, hangs or talks garbage, what it had answered is kept
and the rest runs again *carefully*, with an answer after every event: the one at which the worker is lost
again is the culprit and becomes `Failed`; the others go on.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence

import structlog

from freehold.core.errors import PROCESSOR_INVALID, FreeholdError
from freehold.events.models import Event
from freehold.process.guest.script import FILE
from freehold.process.interfaces import Failed, Outcome, Script
from freehold.process.sandbox import frames
from freehold.process.sandbox.launch import Launched
from freehold.process.sandbox.limits import Limits
from freehold.process.sandbox.watchdog import Lost, ending, watch

FRAME_BYTES = 4_194_304
"""Payload bytes that go to the worker at once: far below the memory that it may have."""
PRINTED = 16_384
"""Newest output that is kept."""

LONGEST_WORDS = 4096
MEDDLED = "the script wrote into the channel of its worker"

_log = structlog.get_logger(__name__)

Launch = Callable[[], Awaitable[Launched]]


class SandboxedWorker:
    """`freehold.process.interfaces.Worker` over processes that `launch` starts.

    `launch` raises `FreeholdError(processor.sandbox.unavailable)`, and so do `start` and `run` then.
    """

    def __init__(self, script: Script, launch: Launch, limits: Limits) -> None:
        self._script = script
        self._launch = launch
        self._limits = limits
        self._process: Launched | None = None
        self._takes_event = False
        self._output = bytearray()
        # The two newest pieces: what a culprit printed may have been read together with the answer before it.
        self._newest = (b"", b"")
        self.restarts = 0
        """How many processes were replaced, for metrics."""

    # --- life ---------------------------------------------------------------------------------------

    async def start(self) -> None:
        self._process = process = await self._launch()
        try:
            loaded = await self._load(process)
        except BaseException:
            await self._end(kill=True)
            raise
        if loaded.reason is not None:
            await self.stop()
            where = f"line {loaded.line}: " if loaded.line else ""
            raise PROCESSOR_INVALID.error(where + loaded.reason, line=loaded.line, traceback=loaded.detail)
        self._takes_event = loaded.takes_event

    async def _load(self, process: Launched) -> frames.Loaded:
        nonce = secrets.randbits(64)
        process.writer.write(frames.load_request(nonce, self._script.source))
        try:
            async with asyncio.timeout(self._limits.start_seconds):
                return await frames.read_loaded(process.reader, nonce)
        except TimeoutError:
            seconds = self._limits.start_seconds
            return frames.Loaded(reason=f"the script did not load within {seconds:g} s")
        except (asyncio.IncompleteReadError, ConnectionError, frames.Garbage):
            return frames.Loaded(reason="the script ended its worker while it loaded")

    async def stop(self) -> None:
        await self._end(kill=False)

    async def _end(self, *, kill: bool) -> int:
        """End the process if there is one; returns its exit code."""
        process, self._process = self._process, None
        if process is None:
            return 0
        if kill:
            process.kill()
        try:
            return await process.close(grace=0.5)
        except BaseException:
            process.kill()  # cancelled while it waited; the next Popen reaps what is left
            raise
        finally:
            self._keep_output(process)
            process.release()

    def printed(self) -> str:
        if self._process is not None:
            self._keep_output(self._process)
        return self._output.decode("utf-8", "replace")

    def _keep_output(self, process: Launched) -> None:
        if new := process.output():
            self._newest = (self._newest[1], new)
            self._output += new
            del self._output[:-PRINTED]

    # --- batches ------------------------------------------------------------------------------------

    async def run(self, events: Sequence[Event]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        try:
            while len(outcomes) < len(events):
                await self._run_frame(_first_frame(events, len(outcomes)), outcomes)
        except BaseException:
            # Cancelled, or no sandbox any more. The process may still answer this batch: it has to go.
            await self._end(kill=True)
            raise
        return outcomes

    async def _run_frame(self, events: Sequence[Event], outcomes: list[Outcome]) -> None:
        """Append one outcome for each of `events`."""
        end = len(outcomes) + len(events)
        careful = False
        while (left := end - len(outcomes)) > 0:
            failed = await self._ensure()
            if failed is not None:
                outcomes += [failed] * left
                return
            try:
                await self._exchange(events[len(events) - left :], outcomes, careful=careful)
            except Lost as lost:
                if lost.hung:
                    await self._ask_where()
                # Without a reason of ours it ended by itself: wait for its exit code instead of killing.
                code = await self._end(kill=bool(str(lost)))
                reason = str(lost) or ending(code)
                if not careful:  # one line a batch, however many of its events are bad
                    self._log_loss(reason)
                if careful or (lost.hung and len(events) == 1):
                    outcomes.append(Failed(reason, self._last_words()))
                careful = True

    async def _ensure(self) -> Failed | None:
        """Have a process; returns the failure of everything that waits when the script loads no more."""
        if self._process is not None and self._process.alive():
            return None
        if self._process is not None:
            self._log_loss(ending(await self._end(kill=False)))
        self.restarts += 1
        try:
            await self.start()
        except FreeholdError as error:
            if error.refusal is not PROCESSOR_INVALID:
                raise
            return Failed(f"the processor does not start any more: {error.detail}"[:1000], "")
        return None

    async def _exchange(self, events: Sequence[Event], outcomes: list[Outcome], *, careful: bool) -> None:
        """One request and its answers. Raises `Lost`; what was answered before is in `outcomes`."""
        process = self._process
        assert process is not None
        nonce = secrets.randbits(64)
        process.writer.write(frames.run_request(nonce, events, careful=careful, with_events=self._takes_event))
        left = len(events)
        while True:
            answer = await self._answer(process, nonce, left)
            outcomes += answer.outcomes
            left -= len(answer.outcomes)
            self._keep_output(process)
            if answer.retiring and left < len(events):
                await self._end(kill=False)
                return
            if answer.last and left == 0:
                return
            if answer.last or answer.retiring or not answer.outcomes:
                raise Lost(MEDDLED)  # no worker says so by itself, and answers without end would be waited for

    async def _answer(self, process: Launched, nonce: int, left: int) -> frames.Answer:
        """The next answer, while the watchdog looks on. Raises `Lost`."""
        reading = asyncio.ensure_future(
            frames.read_answer(
                process.reader,
                nonce,
                most_events=left,
                output_bytes=self._limits.output_bytes,
            )
        )
        try:
            await watch(process, reading, self._limits)
            return reading.result()
        except (asyncio.IncompleteReadError, ConnectionError):
            raise Lost from None
        except frames.Garbage:
            raise Lost(MEDDLED) from None
        finally:
            reading.cancel()

    def _log_loss(self, reason: str) -> None:
        _log.warning(
            "a processor's worker is replaced",
            application=self._script.application,
            version=self._script.version,
            reason=reason,
        )

    async def _ask_where(self) -> None:
        if self._process is not None:
            self._process.ask_where()
            await asyncio.sleep(0.05)  # time to write a few lines; a worker that cannot is killed all the same

    def _last_words(self) -> str:
        """What the culprit printed, and the owner's part of the stack that a crash leaves."""
        lines = b"".join(self._newest).decode("utf-8", "replace").splitlines()
        own = [line for line in lines if not line.startswith('  File "') or f'"{FILE}"' in line]
        return "\n".join(own[-50:])[-LONGEST_WORDS:].strip()


def _first_frame(events: Sequence[Event], start: int) -> Sequence[Event]:
    """Events from `start` on, as many as fit one frame, at least one."""
    size = 0
    for end in range(start, len(events)):
        size += len(events[end].data)
        if size > FRAME_BYTES and end > start:
            return events[start:end]
    return events[start:] if start else events
