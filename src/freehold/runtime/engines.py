# SPDX-License-Identifier: Apache-2.0
"""Which engine is plugged in where: the only module that names them. Everybody else knows the contracts.

Today each role has its embedded engine; settings choose others here when they come. Imports are inside the
functions: a process loads the engines that it runs and no others.
"""

from __future__ import annotations

import os

from freehold.core.database import Database
from freehold.core.datadir import DataDir
from freehold.core.settings import Settings
from freehold.identity.service import IdentityService
from freehold.log.interfaces import EventLog, LogReader
from freehold.registry.service import RegistryService, open_registry
from freehold.store.interfaces import TelemetryReader, TelemetryWriter
from freehold.vault.service import Vault


def log(settings: Settings) -> EventLog:
    """The writing and reading side of the event log; one process holds it."""
    from freehold.log.sqlite.engine import SqliteLog

    return SqliteLog(DataDir(settings.data).log, settings.log)


def log_reader(settings: Settings) -> LogReader:
    from freehold.log.sqlite.engine import SqliteLogReader

    return SqliteLogReader(DataDir(settings.data).log)


def telemetry_writer(settings: Settings) -> TelemetryWriter:
    """The writing side of the telemetry store; one process holds it."""
    from freehold.store.sqlite.engine import SqliteTelemetry

    return SqliteTelemetry(DataDir(settings.data).telemetry, dead_letters=settings.store.dead_letters)


def telemetry_reader(settings: Settings) -> TelemetryReader:
    from freehold.store.sqlite.reader import SqliteTelemetryReader

    return SqliteTelemetryReader(DataDir(settings.data).telemetry)


def meta_database(settings: Settings) -> Database:
    """Registry, identity, commands and processors."""
    return Database.sqlite(DataDir(settings.data).meta)


def vault(settings: Settings) -> Vault:
    return Vault.open(DataDir(settings.data).keys, os.environ)


def identity(settings: Settings) -> IdentityService:
    """Identity for a tool on the platform's own machine."""
    return IdentityService(meta_database(settings), vault(settings), session_hours=settings.api.session_hours)


def registry(settings: Settings) -> RegistryService:
    """The registry for a tool on the platform's own machine; running roles find its changes in the feed."""
    return open_registry(meta_database(settings), DataDir(settings.data).keys)
