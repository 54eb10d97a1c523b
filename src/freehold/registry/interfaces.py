# SPDX-License-Identifier: Apache-2.0
"""The registry's contract: the directory that the hot path asks, and the service that people edit.

`Directory` answers from memory what the gate needs; what it returns are immutable snapshots. A change in the
meta database, made by any process, marks the snapshots that it touches as stale within a second, so whoever
keeps one (an open connection) looks at `snapshot.stale` and asks again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class PasswordCredential:
    """`{"pass": …}`, or `{"user": {…}}` when `username` is set (contract drogue.md 1.1, 4.3)."""

    verifier: str = field(repr=False)
    """What `Passwords.verify` checks against; never the secret itself."""
    username: str | None = None
    unique: bool = False


PSK_PURPOSE = "registry.psk"
"""Vault purpose of pre-shared keys; their context is the uid of the device, as UTF-8."""


@dataclass(frozen=True, slots=True)
class PskCredential:
    """`{"psk": …}`: `vault.open_sealed(PSK_PURPOSE, sealed_key, device.uid.encode())` is the key.

    Times are microseconds since 1970 UTC, both inclusive; None = no bound.
    """

    sealed_key: bytes = field(repr=False)
    not_before: int | None = None
    not_after: int | None = None


@dataclass(slots=True, weakref_slot=True, eq=False)
class ApplicationSnapshot:
    """What the hot path needs of an application. `stale` is the only field that ever changes."""

    uid: str
    name: str
    tenant: str
    enabled: bool
    """False when disabled, being deleted, or when `spec.core` cannot be understood."""
    mqtt_dialect: Mapping[str, Any] | None
    """`spec.mqtt.dialect` as stored; None when absent."""
    spec: Mapping[str, Any] = field(repr=False)
    stale: bool = False


@dataclass(slots=True, weakref_slot=True, eq=False)
class DeviceSnapshot:
    """What the hot path needs of a device. `stale` is the only field that ever changes."""

    uid: str
    name: str
    application: ApplicationSnapshot
    enabled: bool
    passwords: Sequence[PasswordCredential] = field(repr=False)
    psks: Sequence[PskCredential] = field(repr=False)
    gateways: frozenset[str]
    """Names in `spec.gatewaySelector.matchNames`."""
    aliases: frozenset[str]
    """Every key but the name under which this device authenticates: `spec.alias` and unique user names."""
    mqtt_dialect: Mapping[str, Any] | None
    spec: Mapping[str, Any] = field(repr=False)
    """Without the credential sections."""
    stale: bool = False


class Directory(Protocol):
    """Read cache of the registry for the hot path. Lives in the event loop.

    What awaits raises `device.authentication.unavailable` when the registry cannot be read.
    """

    def cached_device(self, application: str, key: str) -> DeviceSnapshot | None:
        """A fresh snapshot if it is in memory, without any I/O; None means: call `device`."""
        ...

    async def application(self, name: str) -> ApplicationSnapshot | None: ...

    async def device(self, application: str, key: str) -> DeviceSnapshot | None:
        """By application name and device name, alias or unique user name; None when there is none.

        Absence is remembered for a moment too, so that guessing does not reach the database each time.
        """
        ...

    async def device_by_name(self, application: str, name: str) -> DeviceSnapshot | None:
        """By real name only, as the management side does."""
        ...

    def on_change(self, handler: Callable[[str, str | None], None]) -> None:
        """Call `handler(application name, device name or None for the application itself)` in the event loop
        after a change was applied to this directory.

        A directory that fell so far behind that changes are no longer known tells of every application of
        which it has given out snapshots.
        """
        ...


class Passwords(Protocol):
    """Making and checking of secrets."""

    def verify_cached(self, verifier: str, secret: str) -> bool | None:
        """The answer if it costs microseconds (a secret that we generated, or one verified before), else None."""
        ...

    async def verify(self, verifier: str, secret: str) -> bool:
        """The answer; runs what is expensive in a bounded pool of threads.

        Raises `device.authentication.unavailable` when too many wait for that pool already.
        """
        ...

    def dummy(self) -> str:
        """A verifier that no secret matches and that costs as much: for a device that does not exist."""
        ...


@dataclass(frozen=True, slots=True)
class Resource:
    """An application or a device as the API shows it (contract drogue.md 4.1): never with a secret in it."""

    metadata: Mapping[str, Any]
    spec: Mapping[str, Any]
    status: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        body: dict[str, Any] = {"metadata": dict(self.metadata)}
        if self.spec:
            body["spec"] = dict(self.spec)
        if self.status:
            body["status"] = dict(self.status)
        return body


@dataclass(frozen=True, slots=True)
class Preconditions:
    uid: str = ""
    resource_version: str = ""


@dataclass(frozen=True, slots=True)
class ApplicationRef:
    """An application as something to ask `Authorizer.require` about."""

    uid: str
    name: str
    tenant: str


class Registry(Protocol):
    """Applications and devices as people edit them. Blocking (runs in threads), always for one tenant.

    Bodies are parsed JSON objects of the resource shape. Raise `resource.not-found`, `resource.conflict`,
    `resource.changed-meanwhile`, `resource.invalid`, `resource.reference.not-found`; a selector that cannot
    be parsed raises `request.invalid`.
    """

    def find_application(self, name: str) -> ApplicationRef | None:
        """Whose application this is, whoever asks: the only question here that has no tenant."""
        ...

    def list_applications(
        self, tenant: str, *, labels: str = "", limit: int | None = None, offset: int = 0
    ) -> list[Resource]:
        """Sorted by name."""
        ...

    def create_application(self, tenant: str, body: Mapping[str, Any]) -> str:
        """Returns its name."""
        ...

    def get_application(self, tenant: str, name: str) -> Resource: ...
    def update_application(self, tenant: str, name: str, body: Mapping[str, Any]) -> None: ...
    def delete_application(self, tenant: str, name: str, when: Preconditions) -> None: ...
    def list_devices(
        self, tenant: str, application: str, *, labels: str = "", limit: int | None = None, offset: int = 0
    ) -> list[Resource]:
        """Sorted by name."""
        ...

    def create_device(self, tenant: str, body: Mapping[str, Any]) -> tuple[str, str]:
        """Returns (application, device) names."""
        ...

    def create_devices(self, tenant: str, bodies: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
        """Many in one transaction: all or none."""
        ...

    def get_device(self, tenant: str, application: str, device: str) -> Resource: ...
    def update_device(self, tenant: str, application: str, device: str, body: Mapping[str, Any]) -> None: ...
    def delete_device(self, tenant: str, application: str, device: str, when: Preconditions) -> None: ...
    def generate_password(self, tenant: str, application: str, device: str) -> str:
        """Add a generated secret as a `pass` credential and return it, this once.

        It replaces the one that an earlier call generated.
        """
        ...
