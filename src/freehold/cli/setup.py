# SPDX-License-Identifier: Apache-2.0
"""What commands on the platform's own machine may do: act as the owner through the ordinary API.

Whoever can read the data directory owns the installation, so the tools make themselves a short-lived access
token there and then use the same HTTP API as everybody, on a running platform.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import httpx

from freehold.core.clock import now_us
from freehold.core.datadir import DataDir
from freehold.core.errors import DATA_DIRECTORY
from freehold.core.settings import Settings
from freehold.identity.service import IdentityService
from freehold.runtime import engines

TOKEN_SECONDS = 24 * 3600
API_SECONDS = 60.0


@dataclass(frozen=True)
class Owner:
    """The owner's access, for as long as a command runs."""

    url: str
    token: str = field(repr=False)
    identity: IdentityService = field(repr=False)

    def client(self) -> httpx.AsyncClient:
        """The management API with our token. Not through a proxy: it is this machine."""
        headers = {"authorization": f"Bearer {self.token}"}
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=API_SECONDS, trust_env=False)

    def sign_in_url(self) -> str:
        """A new one-time link to the console."""
        return f"{self.url}/signin#{self.identity.make_link(self.identity.first_owner())}"

    async def create_application(self, api: httpx.AsyncClient, name: str) -> None:
        """Make the application if it is not there."""
        answer = await api.post("/api/registry/v1alpha1/apps", json={"metadata": {"name": name}})
        if answer.status_code != 409:
            answer.raise_for_status()

    async def create_device(self, api: httpx.AsyncClient, application: str, name: str) -> str:
        """Make the device if it is not there; returns a newly generated secret."""
        answer = await api.post(
            f"/api/registry/v1alpha1/apps/{application}/devices",
            json={"metadata": {"name": name, "application": application}},
        )
        if answer.status_code != 409:
            answer.raise_for_status()
        made = await api.post(f"/api/v1/apps/{application}/devices/{name}/password")
        made.raise_for_status()
        return str(made.json()["password"])

    async def activate_processor(self, api: httpx.AsyncClient, application: str, source: str, note: str) -> None:
        """Upload a processor and put it to work."""
        path = f"/api/v1/apps/{application}/processor"
        answer = await api.post(f"{path}/versions", json={"source": source, "packages": [], "note": note})
        answer.raise_for_status()
        (await api.post(f"{path}/versions/{answer.json()['number']}/activate")).raise_for_status()


def owner_of(settings: Settings, url: str) -> Owner:
    """The owner of the installation in `settings.data`, whose API answers at `url`. Blocking."""
    identity = open_identity(settings)
    principal = identity.principal(identity.first_owner())
    made = identity.create_token(principal, "command line", now_us() + TOKEN_SECONDS * 1_000_000)
    return Owner(url, made.secret, identity)


def open_identity(settings: Settings) -> IdentityService:
    """Identity on a data directory that `freehold up` has prepared. Raises `data-directory.unusable`."""
    data = DataDir(settings.data)
    if not data.meta.exists():
        raise DATA_DIRECTORY.error(f"{data.root} holds no installation yet: run `freehold up` on it first")
    return engines.identity(settings)
