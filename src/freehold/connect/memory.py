# SPDX-License-Identifier: Apache-2.0
"""What the gate remembers of sign-ins: who came in, and what was refused, under a keyed hash of what was shown.

Both tables are bounded and hold no secret as a key. Sessions carry snapshots, which know when they are stale;
refusals are all forgotten when anything in the registry changes, because that may have put one of them right.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import blake2b

from freehold.connect.interfaces import Presented, Session

SESSIONS = 16_384
REJECTIONS = 8192
REJECTION_SECONDS = 60.0
"""A refusal is checked again after this, in case word of a change was lost."""


class SignInMemory:
    """Lives as long as the process: so does its key."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._key = os.urandom(32)
        self._sessions: dict[bytes, Session] = {}
        self._rejections: dict[bytes, tuple[int, float]] = {}
        self.generation = 0
        """Counts changes of the registry."""

    def digest(self, presented: Presented) -> bytes:
        """Key under which what was presented is remembered, instead of the secret itself."""
        username = presented.username
        parts = (presented.application, presented.key, username or "", presented.password)
        # The lengths make it injective: no two different presentations give one text.
        sizes = f"{len(parts[0])} {len(parts[1])} {-1 if username is None else len(username)} "
        text = (sizes + "".join(parts)).encode("utf-8", "surrogatepass")
        return blake2b(text, key=self._key, digest_size=16).digest()

    def session(self, digest: bytes) -> Session | None:
        """The session that was opened for this, while nothing about it has changed."""
        session = self._sessions.get(digest)
        if session is not None and not session.fresh:
            del self._sessions[digest]
            return None
        return session

    def keep(self, digest: bytes, session: Session) -> None:
        if len(self._sessions) >= SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        self._sessions[digest] = session

    def was_rejected(self, digest: bytes) -> bool:
        """Whether the very same was refused a moment ago, and nothing has changed since."""
        generation, until = self._rejections.get(digest, (-1, 0.0))
        return generation == self.generation and self._clock() < until

    def reject(self, digest: bytes, generation: int) -> None:
        """Remember a refusal that was found in the registry as it was at `generation`."""
        self._rejections.pop(digest, None)  # to the end: the first is the oldest
        if len(self._rejections) >= REJECTIONS:
            del self._rejections[next(iter(self._rejections))]
        self._rejections[digest] = generation, self._clock() + REJECTION_SECONDS

    def __len__(self) -> int:
        return len(self._sessions) + len(self._rejections)
