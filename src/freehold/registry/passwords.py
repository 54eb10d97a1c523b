# SPDX-License-Identifier: Apache-2.0
"""`Passwords` for the event loop: a memory of what was verified, and a bounded pool for what is slow.

A fleet that reconnects after a network failure presents the same chosen passwords again; each was verified
once and is now a look-up of its keyed hash. Only right ones are remembered, so guessing stays slow.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor

from freehold.core.errors import AUTHENTICATION_UNAVAILABLE
from freehold.registry.verifiers import Verifiers
from freehold.vault.service import Vault

REMEMBERED = 100_000
"""Verified passwords kept, 200 bytes each."""
WAITING = 512
"""Checks that may wait for each thread: more would outlast every endpoint's sign-in timeout (15 s)."""


class PasswordPool:
    """See `interfaces.Passwords`. Lives in the event loop; a component, so that its threads end."""

    name = "registry.passwords"

    def __init__(self, verifiers: Verifiers, vault: Vault, threads: int = 2) -> None:
        self._verifiers = verifiers
        self._vault = vault
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="passwords")
        self._waiting = 0
        self._verified: OrderedDict[bytes, None] = OrderedDict()

    async def start(self) -> None:
        """Nothing to do: threads start with the first check."""

    async def drain(self) -> None:
        """Nothing to do: whoever waits for a check is drained by its endpoint."""

    async def stop(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)

    def health(self) -> str | None:
        full = self._waiting >= WAITING * self._threads
        return "more devices sign in with chosen passwords than can be checked" if full else None

    def verify_cached(self, verifier: str, secret: str) -> bool | None:
        answer = self._verifiers.instant(verifier, secret)
        if answer is None and self._verified:
            key = self._key(verifier, secret)
            if key in self._verified:
                self._verified.move_to_end(key)
                return True
        return answer

    async def verify(self, verifier: str, secret: str) -> bool:
        known = self.verify_cached(verifier, secret)
        if known is not None:
            return known
        if self._waiting >= WAITING * self._threads:
            raise AUTHENTICATION_UNAVAILABLE.error()
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            right = await loop.run_in_executor(self._pool, self._verifiers.check, verifier, secret)
        finally:
            self._waiting -= 1
        if right:
            self._remember(self._key(verifier, secret))
        return right

    def dummy(self) -> str:
        return self._verifiers.unmatchable

    def _key(self, verifier: str, secret: str) -> bytes:
        # The length keeps ("ab", "c") and ("a", "bc") apart.
        text = f"{len(verifier)} {verifier}{secret}"
        return self._vault.keyed_hash("registry.verified", text.encode(errors="surrogatepass"))

    def _remember(self, key: bytes) -> None:
        self._verified[key] = None
        if len(self._verified) > REMEMBERED:
            self._verified.popitem(last=False)
