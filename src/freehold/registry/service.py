# SPDX-License-Identifier: Apache-2.0
"""`Registry` on the meta database: the two halves behind one door."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from freehold.core.database import Database
from freehold.registry.applications import Applications
from freehold.registry.devices import Devices
from freehold.registry.interfaces import ApplicationRef, Preconditions, Resource
from freehold.registry.stash import Stasher
from freehold.registry.verifiers import Verifiers
from freehold.vault.service import Vault


def open_registry(database: Database, keys: Path, environ: Mapping[str, str] = os.environ) -> RegistryService:
    """The registry for a tool on the platform's own machine; `keys` is the data directory's folder of that name."""
    vault = Vault.open(keys, environ)
    return RegistryService(database, vault, Verifiers(vault))


def _nobody() -> None:
    """Nobody wants to know: other processes find changes by polling the feed."""


class RegistryService:
    """See `interfaces.Registry`.

    `committed` is called after each committed change, in the thread that made it. Publish
    `bus.REGISTRY_CHANGED` from it (through `call_soon_threadsafe`), and caches know at once.
    """

    def __init__(
        self, database: Database, vault: Vault, verifiers: Verifiers, committed: Callable[[], None] = _nobody
    ) -> None:
        self._applications = Applications(database, vault, committed)
        self._devices = Devices(database, Stasher(verifiers, vault), committed)

    def find_application(self, name: str) -> ApplicationRef | None:
        return self._applications.ref(name)

    def list_applications(
        self, tenant: str, *, labels: str = "", limit: int | None = None, offset: int = 0
    ) -> list[Resource]:
        return self._applications.listing(tenant, labels=labels, limit=limit, offset=offset)

    def create_application(self, tenant: str, body: Mapping[str, Any]) -> str:
        return self._applications.create(tenant, body)

    def get_application(self, tenant: str, name: str) -> Resource:
        return self._applications.get(tenant, name)

    def update_application(self, tenant: str, name: str, body: Mapping[str, Any]) -> None:
        self._applications.update(tenant, name, body)

    def delete_application(self, tenant: str, name: str, when: Preconditions) -> None:
        self._applications.delete(tenant, name, when)

    def list_devices(
        self, tenant: str, application: str, *, labels: str = "", limit: int | None = None, offset: int = 0
    ) -> list[Resource]:
        return self._devices.listing(tenant, application, labels=labels, limit=limit, offset=offset)

    def create_device(self, tenant: str, body: Mapping[str, Any]) -> tuple[str, str]:
        (made,) = self._devices.create(tenant, [body])
        return made

    def create_devices(self, tenant: str, bodies: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
        return self._devices.create(tenant, bodies)

    def get_device(self, tenant: str, application: str, device: str) -> Resource:
        return self._devices.get(tenant, application, device)

    def update_device(self, tenant: str, application: str, device: str, body: Mapping[str, Any]) -> None:
        self._devices.update(tenant, application, device, body)

    def delete_device(self, tenant: str, application: str, device: str, when: Preconditions) -> None:
        self._devices.delete(tenant, application, device, when)

    def generate_password(self, tenant: str, application: str, device: str) -> str:
        return self._devices.generate_password(tenant, application, device)
