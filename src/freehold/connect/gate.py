# SPDX-License-Identifier: Apache-2.0
"""The gate: who is this device, and for whom may it speak (drogue.md 1.1).

From outside all refusals are one, in words and in time: whoever is refused without a slow check of a secret
gets a slow check of a decoy. From inside the log says why. What was verified once is remembered under a keyed
hash until the registry changes; what was refused once is too, so that a device that sends a wrong secret for
ever costs nothing and does not use up what its address may get wrong.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable

import structlog

from freehold.connect.credentials import verifiers
from freehold.connect.interfaces import Presented, Session
from freehold.connect.limits import FailureLimits, Seldom
from freehold.connect.memory import SignInMemory
from freehold.core.errors import (
    ACCESS_REVOKED,
    AUTHENTICATION_UNAVAILABLE,
    CREDENTIALS_REJECTED,
    DEVICE_NOT_PERMITTED,
    TOO_MANY_ATTEMPTS,
    FreeholdError,
)
from freehold.core.metrics import MetricSet
from freehold.core.settings import Limits
from freehold.events.models import partition_key
from freehold.log.interfaces import Route
from freehold.registry.interfaces import DeviceSnapshot, Directory, Passwords

_log = structlog.get_logger(__name__)

WAITING = 512
"""Sign-ins that may wait for a slow check of a secret, for each that runs at the same time; more are asked to
come back. At 30 to 50 ms a check, more would outlast the endpoints' timeouts, and be checked for nobody."""


class DeviceGate:
    """`Gate` over the registry's directory. Lives in one event loop.

    `route` is the log's. `decoy` is a verifier of a secret that nobody has, as slow to check as a chosen
    password.
    """

    def __init__(
        self,
        directory: Directory,
        passwords: Passwords,
        route: Callable[[str, str], Route],
        limits: Limits,
        *,
        decoy: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._passwords = passwords
        self._route = route
        self._decoy = decoy
        self._memory = SignInMemory(clock)
        self._limits = FailureLimits(limits.auth_failures_per_minute, clock=clock)
        self._seldom = Seldom(clock=clock)
        self._checks = asyncio.Semaphore(limits.password_checks)
        self._most_waiting = WAITING * limits.password_checks
        self._waiting = 0
        self.opened = self.rejected = self.limited = self.unavailable = 0
        directory.on_change(self._changed)

    def register(self, metrics: MetricSet) -> None:
        metrics.counter("device_signins", "Sign-ins of devices by outcome", self._samples)

    def _samples(self) -> Iterable[tuple[dict[str, str], float]]:
        for outcome in ("opened", "rejected", "limited", "unavailable"):
            yield {"outcome": outcome}, getattr(self, outcome)

    # --- who is this -----------------------------------------------------------------------------

    def authenticate_cached(self, presented: Presented) -> Session | None:
        return self._known(self._memory.digest(presented), presented)

    async def authenticate(self, presented: Presented) -> Session:
        digest = self._memory.digest(presented)
        session = self._known(digest, presented)
        if session is not None:
            return session
        if self._memory.was_rejected(digest):
            raise self._rejected_again(presented)
        if not self._limits.may_try(presented.address):
            raise self._limited(presented)
        generation = self._memory.generation
        device, good = await self._check(presented, limited=True)
        if device is not None and good:
            return self._open(digest, device, presented)
        self._limits.guessed(presented.address)
        self._memory.reject(digest, generation)
        self.rejected += 1
        _log.info("device refused", reason=_reason(device), **_who(presented))
        raise CREDENTIALS_REJECTED.error()

    async def renew(self, session: Session) -> Session:
        if session.fresh:
            return session
        presented = session.presented
        digest = self._memory.digest(presented)
        known = self._known(digest, presented)
        if known is None:
            device, good = await self._check(presented, limited=False)
            if device is not None and good:
                known = self._open(digest, device, presented)
        # A device that was deleted and made again is another one, and has to say who it is.
        if known is None or known.device.uid != session.device.uid:
            _log.info("access withdrawn", **_who(presented))
            raise ACCESS_REVOKED.error()
        return known

    def _known(self, digest: bytes, presented: Presented) -> Session | None:
        session = self._memory.session(digest)
        if session is not None:
            return session
        device = self._directory.cached_device(presented.application, presented.key)
        if device is not None and _enabled(device) and self._matches_cached(device, presented):
            return self._open(digest, device, presented)
        return None

    def _open(self, digest: bytes, device: DeviceSnapshot, presented: Presented) -> Session:
        application = device.application
        route = self._route(application.uid, partition_key(application.name, device.name))
        session = Session(device, presented, route)
        self._memory.keep(digest, session)
        self.opened += 1
        return session

    def _matches_cached(self, device: DeviceSnapshot, presented: Presented) -> bool:
        check = self._passwords.verify_cached
        return any(check(one, presented.password) for one in verifiers(device, presented))

    async def _check(self, presented: Presented, *, limited: bool) -> tuple[DeviceSnapshot | None, bool]:
        """The device, and whether it is the one that it claims to be and may come in."""
        try:
            device = await self._directory.device(presented.application, presented.key)
            if device is not None and _enabled(device) and self._matches_cached(device, presented):
                return device, True
            if self._waiting >= self._most_waiting:
                raise AUTHENTICATION_UNAVAILABLE.error("too many sign-ins are waiting")
            self._waiting += 1
            try:
                async with self._checks:
                    # Others of this address may have failed while this one was waiting for its turn.
                    if limited and not self._limits.may_try(presented.address):
                        raise self._limited(presented)
                    return device, await self._matches(device, presented)
            finally:
                self._waiting -= 1
        except FreeholdError as refusal:
            self.unavailable += refusal.refusal is AUTHENTICATION_UNAVAILABLE
            raise
        except Exception as cause:
            # Whatever the registry's database or a password hash may raise: nobody comes in, and it is our fault.
            self.unavailable += 1
            _log.exception("identities cannot be checked", **_who(presented))
            raise AUTHENTICATION_UNAVAILABLE.error() from cause

    async def _matches(self, device: DeviceSnapshot | None, presented: Presented) -> bool:
        slow = good = False
        for verifier in verifiers(device, presented) if device is not None else ():
            answer = self._passwords.verify_cached(verifier, presented.password)
            if answer is None:
                slow = True
                answer = await self._passwords.verify(verifier, presented.password)
            if answer:
                good = device is not None and _enabled(device)
                break
        if not good and not slow:
            await self._passwords.verify(self._decoy, presented.password)
        return good

    def _rejected_again(self, presented: Presented) -> FreeholdError:
        if not self._limits.may_repeat(presented.address):
            return self._limited(presented)
        self._limits.repeated(presented.address)
        self.rejected += 1
        return CREDENTIALS_REJECTED.error()

    def _limited(self, presented: Presented) -> FreeholdError:
        self.limited += 1
        if self._seldom.first(presented.address):
            _log.warning("address limited after failed sign-ins", **_who(presented))
        return TOO_MANY_ATTEMPTS.error()

    def _changed(self, application: str, device: str | None) -> None:
        self._memory.generation += 1

    # --- for whom may it speak -------------------------------------------------------------------
    # No cache of our own: the directory is one, it remembers absence, and it drops what changed at once.

    def on_behalf_cached(self, session: Session, device: str) -> DeviceSnapshot | None:
        own = session.device
        if device in (session.presented.key, own.name):
            return own
        target = self._directory.cached_device(own.application.name, device)
        return target if target is not None and _speaks_for(own, target) else None

    async def on_behalf(self, session: Session, device: str) -> DeviceSnapshot:
        known = self.on_behalf_cached(session, device)
        if known is not None:
            return known
        own = session.device
        try:
            target = await self._directory.device(own.application.name, device)
        except FreeholdError:
            raise
        except Exception as cause:
            self.unavailable += 1
            _log.exception("devices cannot be looked up", **_who(session.presented))
            raise AUTHENTICATION_UNAVAILABLE.error() from cause
        if target is not None and _speaks_for(own, target):
            return target
        if self._seldom.first(own.uid):
            reason = "unknown device" if target is None else "does not list this gateway, or is disabled"
            _log.info("gateway refused", target=device, reason=reason, **_who(session.presented))
        raise DEVICE_NOT_PERMITTED.error()


def _enabled(device: DeviceSnapshot) -> bool:
    return device.enabled and device.application.enabled


def _speaks_for(gateway: DeviceSnapshot, target: DeviceSnapshot) -> bool:
    return target.uid == gateway.uid or (_enabled(target) and gateway.name in target.gateways)


def _reason(device: DeviceSnapshot | None) -> str:
    if device is None:
        return "unknown application or device"
    if not device.application.enabled:
        return "application disabled"
    return "wrong credentials" if device.enabled else "device disabled"


def _who(presented: Presented) -> dict[str, str]:
    return {
        "application": presented.application,
        "device": presented.key,
        "address": presented.address,
    }
