# SPDX-License-Identifier: Apache-2.0
"""The pipeline behind the log: read a batch, run the processor, write rows and position in one transaction.

One `ApplicationPipeline` per application, so that a slow or broken processor holds up nobody but its owner.
While a batch is being written the next one is read and processed (depth one). The log keeps what is not
stored yet: a processor that cannot start, or a store that does not answer, only lets events wait.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from freehold.core.errors import FreeholdError
from freehold.events.models import CONNECTION_EVENT, DEVICE_EVENT, Event, decode, encode
from freehold.log.interfaces import Chunk, Consumer, LogReader, RecordDamaged
from freehold.process.interfaces import Failed, Measured, Outcome, Processors, Sandbox, Worker
from freehold.store.interfaces import Batch, DeadLetter, DeviceState, Row, TelemetryWriter

_log = structlog.get_logger(__name__)

GROUP = "store"
READ_BYTES = 1 << 20
READ_WAIT = 5.0
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0
LONGEST_DETAIL = 8192
LOOK_SECONDS = 0.25
"""How soon a new application's first event is noticed; the question costs a look at a small table."""


class RowsOf(Protocol):
    """Turns an event, and what its processor made of it (None: it has none), into rows.

    Returns rows and, for what the store could never hold, reasons that become dead letters.
    """

    def __call__(self, event: Event, measured: Sequence[Measured] | None) -> tuple[Sequence[Row], Sequence[str]]: ...


class Counters:
    """What the pipeline did, all applications together."""

    def __init__(self) -> None:
        self.events = self.rows = self.dead_letters = self.damaged = self.restarts = 0


class ApplicationPipeline:
    """Carries one application's events from the log to the store."""

    def __init__(
        self,
        application: str,
        *,
        log: LogReader,
        store: TelemetryWriter,
        processors: Processors,
        sandbox: Sandbox,
        rows_of: RowsOf,
        batch: int,
        counters: Counters,
    ) -> None:
        self.application = application
        self._log, self._store = log, store
        self._processors, self._sandbox = processors, sandbox
        self._rows_of, self._batch = rows_of, batch
        self._counters = counters
        self._worker: Worker | None = None
        self._version = 0
        self._outdated = True
        self._lock = asyncio.Lock()
        self.problem: str | None = None
        """Why this application's events wait; None while they flow."""

    async def run(self) -> None:
        """Until cancelled. Any fault is logged, shown as `problem`, and tried again after a pause."""
        pause = FIRST_PAUSE
        while True:
            try:
                await self._carry()
            except Exception as cause:
                # The owner must see why events wait; the loop must live for when the cause is gone.
                self.problem = str(cause) or repr(cause)
                if not isinstance(cause, FreeholdError):
                    _log.exception("the pipeline stumbled", application=self.application)
                self._counters.restarts += 1
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)

    def processor_changed(self) -> None:
        """Use the active version from the next batch on."""
        self._outdated = True

    async def retry(self, letter: DeadLetter) -> bool:
        """Run a dead letter's event again; True when it left the list."""
        event = decode(letter.event)
        batch = Batch(resolved=[(self.application, letter.event_id)])
        made = await self._make([event], batch)
        if made.dead_letters:
            await self._store.write(Batch(dead_letters=made.dead_letters))
            return False
        await self._store.write(made)
        return True

    async def close(self) -> None:
        if self._worker is not None:
            await self._worker.stop()
            self._worker = None

    # --- inside ----------------------------------------------------------------------------------

    async def _carry(self) -> None:
        """Read on from the stored position, batch after batch."""
        positions = await self._store.positions(self.application)
        consumer = self._log.consumer(GROUP, self.application, positions=positions)
        writing: asyncio.Task[None] | None = None
        try:
            while True:
                chunks = await self._read(consumer)
                if chunks:
                    batch = await self._batch_of(chunks)
                    if writing is not None:
                        await writing
                    events = sum(len(chunk.values) for chunk in chunks)
                    writing = asyncio.create_task(self._write(batch, events))
                elif writing is not None:
                    await writing
                    writing = None
        finally:
            if writing is not None:
                await asyncio.gather(writing, return_exceptions=True)
            await consumer.close()

    async def _read(self, consumer: Consumer) -> list[Chunk]:
        try:
            return await consumer.read(max_records=self._batch, max_bytes=READ_BYTES, wait=READ_WAIT)
        except RecordDamaged as damage:
            # It was whole when it was acknowledged: the disk lost it. Say so loudly, and go on behind it.
            self._counters.damaged += 1
            _log.error("a damaged record is skipped", topic=damage.topic, offset=damage.offset)
            await consumer.seek({damage.partition: damage.offset + 1})
            return []

    async def _batch_of(self, chunks: Sequence[Chunk]) -> Batch:
        events = [decode(value) for chunk in chunks for value in chunk.values]
        positions = {(chunk.topic, chunk.partition): chunk.next_offset for chunk in chunks}
        return await self._make(events, Batch(states=_states(self.application, events), positions=positions))

    async def _make(self, events: Sequence[Event], batch: Batch) -> Batch:
        """`batch` with the rows and dead letters of `events`."""
        measuring = [event for event in events if event.type == DEVICE_EVENT]
        async with self._lock:
            worker = await self._current_worker()
            outcomes: Sequence[Outcome | None] = [None] * len(measuring)
            if worker is not None and measuring:
                outcomes = await worker.run(measuring)
            version = self._version
        rows: list[Row] = []
        dead: list[DeadLetter] = []
        rows_of = self._rows_of
        for event, outcome in zip(measuring, outcomes, strict=True):
            if isinstance(outcome, Failed):
                dead.append(_dead_letter(event, version, outcome.reason, outcome.detail))
                continue
            made, refused = rows_of(event, outcome)
            rows.extend(made)
            if refused:
                dead.append(_dead_letter(event, version, refused[0], "\n".join(refused)))
        return Batch(rows, batch.states, dead, batch.positions, batch.resolved)

    async def _write(self, batch: Batch, events: int) -> None:
        """Write until it is written: the store may be away for as long as it likes."""
        pause = FIRST_PAUSE
        while True:
            try:
                await self._store.write(batch)
            except FreeholdError as refusal:
                self.problem = str(refusal)
                await asyncio.sleep(pause)
                pause = min(pause * 2, LONGEST_PAUSE)
                continue
            self.problem = None
            self._counters.events += events
            self._counters.rows += len(batch.rows)
            self._counters.dead_letters += len(batch.dead_letters)
            return

    async def _current_worker(self) -> Worker | None:
        """The worker of the active version, None when the application has no processor."""
        if not self._outdated:
            return self._worker
        script = await self._processors.active(self.application)
        if script is None or script.version != self._version:
            await self.close()
            self._version = script.version if script is not None else 0
        if script is not None and self._worker is None:
            if (problem := self._sandbox.problem()) is not None:
                raise RuntimeError(problem)
            worker = self._sandbox.worker(script)
            await worker.start()
            self._worker = worker
        self._outdated = False
        return self._worker


def _states(application: str, events: Sequence[Event]) -> list[DeviceState]:
    """The newest state of each device that `events` speak of."""
    states: dict[str, DeviceState] = {}
    for event in events:
        connected: bool | None = None
        if event.type == CONNECTION_EVENT:
            connected = event.data == b'{"connected":true}'
        elif event.type != DEVICE_EVENT:
            continue
        known = states.get(event.device)
        if connected is None and known is not None:
            connected = known.connected
        states[event.device] = DeviceState(application, event.device, event.time, event.subject, connected)
    return list(states.values())


def _dead_letter(event: Event, version: int, reason: str, detail: str) -> DeadLetter:
    return DeadLetter(
        application=event.applicationuid,
        event_id=event.id,
        time=event.time,
        device=event.device,
        channel=event.subject,
        reason=reason[:500],
        detail=detail[:LONGEST_DETAIL],
        event=encode(event),
        processor_version=version,
    )


class Pipeline:
    """Component `process.pipeline`: one `ApplicationPipeline` for every topic that the log has."""

    def __init__(self, make: Callable[[str, Counters], ApplicationPipeline], log: LogReader) -> None:
        self._make, self._log = make, log
        self._running: dict[str, tuple[ApplicationPipeline, asyncio.Task[None]]] = {}
        self._looking: asyncio.Task[None] | None = None
        self.counters = Counters()

    @property
    def name(self) -> str:
        return "process.pipeline"

    async def start(self) -> None:
        self._looking = asyncio.create_task(self._look_for_topics())

    async def drain(self) -> None:
        """Stop reading; what was written is written, the rest waits in the log."""
        tasks = [task for _, task in self._running.values()]
        if self._looking is not None:
            tasks.append(self._looking)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def stop(self) -> None:
        await asyncio.gather(*(pipeline.close() for pipeline, _ in self._running.values()), return_exceptions=True)
        self._running.clear()

    def health(self) -> str | None:
        problems = [pipeline.problem for pipeline, _ in self._running.values() if pipeline.problem]
        return f"{len(problems)} application(s) wait: {problems[0]}" if problems else None

    def problems(self) -> dict[str, str]:
        """Application uid → why its events wait."""
        return {uid: pipeline.problem for uid, (pipeline, _) in self._running.items() if pipeline.problem}

    def processor_changed(self, application: str) -> None:
        if application in self._running:
            self._running[application][0].processor_changed()

    async def retry(self, application: str, letter: DeadLetter) -> bool:
        """Raises KeyError for an application that has no events."""
        return await self._running[application][0].retry(letter)

    async def forget(self, application: str) -> None:
        """Stop for an application that was deleted."""
        if application not in self._running:
            return
        pipeline, task = self._running.pop(application)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await pipeline.close()

    async def _look_for_topics(self) -> None:
        while True:
            for topic in await self._log.topics():
                if topic not in self._running:
                    pipeline = self._make(topic, self.counters)
                    self._running[topic] = (pipeline, asyncio.create_task(pipeline.run()))
            await asyncio.sleep(LOOK_SECONDS)
