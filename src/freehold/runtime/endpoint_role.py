# SPDX-License-Identifier: Apache-2.0
"""The role `endpoint`: everything between a device's socket and the event log, in one process."""

from __future__ import annotations

from freehold.commands.router import BusRouter
from freehold.connect.gate import DeviceGate
from freehold.connect.http.endpoint import HttpEndpoint
from freehold.connect.intake import LogIntake
from freehold.connect.mqtt.endpoint import MqttEndpoint
from freehold.core.bus import Bus
from freehold.core.lifecycle import Component
from freehold.core.settings import Settings
from freehold.registry.cache import CachedDirectory
from freehold.registry.passwords import PasswordPool
from freehold.registry.verifiers import Verifiers
from freehold.runtime import engines
from freehold.runtime.housekeeping import Housekeeping, orphans
from freehold.runtime.roles import Role

HOUR_US = 3600 * 1_000_000


def build_endpoint(settings: Settings, bus: Bus) -> Role:
    database, vault = engines.meta_database(settings), engines.vault(settings)
    log = engines.log(settings)
    directory = CachedDirectory(database, bus)
    verifiers = Verifiers(vault)
    passwords = PasswordPool(verifiers, vault, settings.limits.password_checks)
    gate = DeviceGate(directory, passwords, log.route, settings.limits, decoy=passwords.dummy())
    intake = LogIntake(log, settings.instance, settings.limits)
    router = BusRouter(bus)

    async def retain() -> None:
        age = int(settings.log.retention_hours * HOUR_US)
        await log.retain(age_us=age, bytes_per_topic=settings.log.retention_bytes)

    async def forget_deleted() -> None:
        for uid in await orphans(database, log.topics):
            await log.delete_topic(uid)

    components: list[Component] = [log, directory, passwords, router]
    ports: dict[str, int] = {}
    role = Role(components, ports=lambda: ports)
    endpoints: list[HttpEndpoint | MqttEndpoint] = []
    if port := settings.port(settings.mqtt.port):
        endpoints.append(MqttEndpoint(settings.mqtt, port, gate, intake, router, directory))
        ports["mqtt"] = port
    if port := settings.port(settings.http.port):
        endpoints.append(HttpEndpoint(settings.http, port, gate, intake, router))
        ports["http"] = port
    components += endpoints
    components.append(Housekeeping("log.housekeeping", [retain, forget_deleted]))
    for part in (gate, intake, router, *endpoints):
        part.register(role.metrics)
    role.counters = lambda: {
        "accepted": intake.accepted,
        "refused": sum(intake.refused.values()),
        "connections": sum(e.connected_devices for e in endpoints if isinstance(e, MqttEndpoint)),
    }
    return role
