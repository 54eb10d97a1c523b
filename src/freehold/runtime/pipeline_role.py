# SPDX-License-Identifier: Apache-2.0
"""The role `pipeline`: from the log through the owner's processor into the store."""

from __future__ import annotations

import asyncio

import structlog

from freehold.core.bus import PROCESSOR_CHANGED, Bus
from freehold.core.datadir import DataDir
from freehold.core.settings import Settings
from freehold.process.pipeline import ApplicationPipeline, Counters, Pipeline
from freehold.process.sandbox.engines import choose
from freehold.process.service import ProcessorService
from freehold.runtime import engines, messages
from freehold.runtime.housekeeping import Housekeeping, orphans
from freehold.runtime.roles import Role
from freehold.store.rows import rows_of

_log = structlog.get_logger(__name__)
DAY_US = 86_400 * 1_000_000


def build_pipeline(settings: Settings, bus: Bus) -> Role:
    data = DataDir(settings.data)
    database = engines.meta_database(settings)
    log, store, reader = (
        engines.log_reader(settings),
        engines.telemetry_writer(settings),
        engines.telemetry_reader(settings),
    )
    sandbox = choose(settings.process, data.root)
    processors = ProcessorService(
        database=database,
        bus=bus,
        sandbox=sandbox,
        folder=data.process,
        versions_kept=settings.process.versions_kept,
    )

    def make(application: str, counters: Counters) -> ApplicationPipeline:
        return ApplicationPipeline(
            application,
            log=log,
            store=store,
            processors=processors,
            sandbox=sandbox,
            rows_of=rows_of,
            batch=settings.process.batch,
            counters=counters,
        )

    pipeline = Pipeline(make, log)
    retries: set[asyncio.Task[None]] = set()

    async def retry(wanted: messages.Retry) -> None:
        letter = await reader.dead_letter(wanted.application, wanted.event_id)
        if letter is not None:
            await pipeline.retry(wanted.application, letter)

    def on_retry(message: bytes) -> None:
        task = asyncio.get_running_loop().create_task(retry(messages.decode_retry(message)))
        retries.add(task)
        task.add_done_callback(_finished(retries))

    async def retain() -> None:
        await store.retain(
            age_us=int(settings.store.retention_days * DAY_US),
            rollup_age_us=int(settings.store.rollup_retention_days * DAY_US),
            dead_letters=settings.store.dead_letters,
        )

    async def forget_deleted() -> None:
        for uid in await orphans(database, store.applications):
            await pipeline.forget(uid)
            await store.purge(uid)

    bus.subscribe(PROCESSOR_CHANGED, lambda message: pipeline.processor_changed(message.decode()))
    bus.subscribe(messages.RETRY, on_retry)
    role = Role([log, store, pipeline, Housekeeping("store.housekeeping", [retain, forget_deleted])])
    counters = pipeline.counters
    role.metrics.counter("pipeline_events", "Events carried from the log", lambda: [({}, counters.events)])
    role.metrics.counter("pipeline_rows", "Rows written to the store", lambda: [({}, counters.rows)])
    role.metrics.counter("pipeline_dead_letters", "Events that failed", lambda: [({}, counters.dead_letters)])
    role.metrics.counter("pipeline_damaged", "Log records with a wrong checksum", lambda: [({}, counters.damaged)])
    role.counters = lambda: {"stored": counters.rows, "dead_letters": counters.dead_letters}
    return role


def _finished(tasks: set[asyncio.Task[None]]):  # type: ignore[no-untyped-def]
    def finished(task: asyncio.Task[None]) -> None:
        tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            _log.error("a dead letter could not be retried", error=str(failure))

    return finished
