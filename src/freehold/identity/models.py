# SPDX-License-Identifier: Apache-2.0
"""Who somebody is and what they may do, as frozen data that travels through every API."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Permission(StrEnum):
    """What can be allowed. An API asks for exactly one; roles (`authorize.GRANTS`) are sets of them."""

    APP_CREATE = "app.create"
    APP_READ = "app.read"
    """See an application: its devices, events, telemetry, commands."""
    APP_WRITE = "app.write"
    """Change its devices and itself."""
    APP_ADMIN = "app.admin"
    """Delete it, and say who else may what."""
    COMMAND_SEND = "command.send"
    PROCESSOR_WRITE = "processor.write"
    """Upload and activate code that runs over its events."""
    TENANT_ADMIN = "tenant.admin"
    """People, quotas and settings of the whole tenant."""


class Role(StrEnum):
    """What a person is in their tenant."""

    OWNER = "owner"


class Via(StrEnum):
    """How somebody showed who they are."""

    SESSION = "session"
    TOKEN = "token"
    MACHINE = "machine"
    """A tool on the platform's own machine: who can read the data directory owns the installation."""


@dataclass(frozen=True, slots=True)
class Principal:
    """A person who showed who they are. `tenant` and `person` are uids."""

    tenant: str
    person: str
    name: str
    via: Via
    permissions: frozenset[Permission]
    """What they may do in their tenant. Ask an `Authorizer`, not this: applications have a say too."""


@dataclass(frozen=True, slots=True)
class AccessToken:
    """An access token as its owner sees it in a list: never the secret. Times are microseconds since 1970 UTC."""

    uid: str
    description: str
    created: int
    expires: int | None
    last_used: int | None
    """To the minute; None before the first use."""


@dataclass(frozen=True, slots=True)
class NewAccessToken:
    """A token just made, with the secret that is shown this once."""

    token: AccessToken
    secret: str = field(repr=False)
