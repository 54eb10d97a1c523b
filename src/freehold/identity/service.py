# SPDX-License-Identifier: Apache-2.0
"""`Identity` on the meta database: the first owner, one-time links, sessions and access tokens.

Every secret has 160 random bits (`vault.secret_text`), is stored as a keyed hash only, and is looked up by
it: no comparison of secrets happens here, so none can leak through its timing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Table, delete, func, insert, or_, select, update

from freehold.core.clock import now_us
from freehold.core.database import Database
from freehold.core.errors import LINK_INVALID, NOT_FOUND, RESOURCE_INVALID
from freehold.core.ids import new_uid
from freehold.identity.authorize import granted
from freehold.identity.interfaces import LINK_SECONDS
from freehold.identity.models import AccessToken, NewAccessToken, Principal, Role, Via
from freehold.identity.remembered import Remembered
from freehold.identity.tables import access_tokens, people, sessions, sign_in_links, tenants
from freehold.vault import secret_text
from freehold.vault.service import Vault

SECOND = 1_000_000
NOTE_USE_EVERY = 60 * SECOND
"""Last use is noted this often: a write per request would make every read wait for the disk."""
LONGEST_DESCRIPTION = 255


class IdentityService:
    """See `identity.interfaces.Identity`."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        *,
        session_hours: int = 168,
        clock: Callable[[], int] = now_us,
        remembered: Remembered | None = None,
    ) -> None:
        self._database = database
        self._vault = vault
        self._session_us = session_hours * 3600 * SECOND
        self._clock = clock
        self._remembered = remembered or Remembered()

    # --- the first owner ---------------------------------------------------------------------------

    def ensure_first_owner(self) -> bool:
        with self._database.write() as connection:
            found, last_sign_in = connection.execute(select(func.count(), func.max(people.c.last_sign_in))).one()
            if not found:
                tenant, now = new_uid(), self._clock()
                connection.execute(insert(tenants).values(uid=tenant, name="default", created=now))
                connection.execute(
                    insert(people).values(uid=new_uid(), tenant=tenant, name="owner", role=Role.OWNER, created=now)
                )
            return last_sign_in is None

    def first_owner(self) -> str:
        wanted = select(people.c.uid).where(people.c.role == Role.OWNER).order_by(people.c.created).limit(1)
        with self._database.read() as connection:
            uid = connection.execute(wanted).scalar()
        if uid is None:
            raise NOT_FOUND.error("nobody exists yet: start `freehold up` once")
        return str(uid)

    def principal(self, person: str) -> Principal:
        with self._database.read() as connection:
            row = connection.execute(select(people).where(people.c.uid == person)).first()
        if row is None:
            raise NOT_FOUND.error()
        return Principal(row.tenant, row.uid, row.name, Via.MACHINE, granted(row.role))

    # --- one-time links and sessions ---------------------------------------------------------------

    def make_link(self, person: str, seconds: int = LINK_SECONDS) -> str:
        secret, now = secret_text.generate(secret_text.LINK), self._clock()
        with self._database.write() as connection:
            if connection.execute(select(people.c.uid).where(people.c.uid == person)).first() is None:
                raise NOT_FOUND.error()
            connection.execute(delete(sign_in_links).where(sign_in_links.c.expires <= now))
            row = {"hash": self._hash(secret), "person": person, "expires": now + seconds * SECOND}
            connection.execute(insert(sign_in_links).values(row))
        return secret

    def redeem_link(self, secret: str) -> str:
        if not secret_text.is_generated(secret, secret_text.LINK):
            raise LINK_INVALID.error()
        now = self._clock()
        taken = delete(sign_in_links).where(sign_in_links.c.hash == self._hash(secret), sign_in_links.c.expires > now)
        with self._database.write() as connection:
            person = connection.execute(taken.returning(sign_in_links.c.person)).scalar()
            if person is None:
                raise LINK_INVALID.error()
            connection.execute(update(people).where(people.c.uid == person).values(last_sign_in=now))
            return self._open_session(connection, person, now)

    def _open_session(self, connection: Connection, person: str, now: int) -> str:
        secret = secret_text.generate(secret_text.SESSION)
        connection.execute(delete(sessions).where(sessions.c.expires <= now))
        connection.execute(
            insert(sessions).values(
                hash=self._hash(secret), person=person, created=now, expires=now + self._session_us, last_used=now
            )
        )
        return secret

    def session(self, secret: str) -> Principal | None:
        return self._who(secret, secret_text.SESSION, sessions, Via.SESSION)

    def sign_out(self, secret: str) -> None:
        if secret_text.is_generated(secret, secret_text.SESSION):
            self._remove(delete(sessions).where(sessions.c.hash == self._hash(secret)))

    def sign_out_everywhere(self, principal: Principal) -> None:
        self._remove(delete(sessions).where(sessions.c.person == principal.person))

    # --- access tokens -----------------------------------------------------------------------------

    def create_token(self, principal: Principal, description: str = "", expires: int | None = None) -> NewAccessToken:
        now = self._clock()
        if len(description) > LONGEST_DESCRIPTION:
            raise RESOURCE_INVALID.error(f"description: at most {LONGEST_DESCRIPTION} characters")
        if expires is not None and expires <= now:
            raise RESOURCE_INVALID.error("expires: must be in the future")
        secret = secret_text.generate(secret_text.ACCESS)
        token = AccessToken(new_uid(), description, now, expires, None)
        with self._database.write() as connection:
            connection.execute(delete(access_tokens).where(access_tokens.c.expires <= now))
            connection.execute(
                insert(access_tokens).values(
                    uid=token.uid,
                    hash=self._hash(secret),
                    person=principal.person,
                    description=description,
                    created=now,
                    expires=expires,
                )
            )
        return NewAccessToken(token, secret)

    def token(self, secret: str) -> Principal | None:
        return self._who(secret, secret_text.ACCESS, access_tokens, Via.TOKEN)

    def tokens(self, principal: Principal) -> list[AccessToken]:
        c = access_tokens.c
        wanted = select(c.uid, c.description, c.created, c.expires, c.last_used).where(c.person == principal.person)
        with self._database.read() as connection:
            return [AccessToken(*row) for row in connection.execute(wanted.order_by(c.created.desc()))]

    def revoke_token(self, principal: Principal, uid: str) -> None:
        c = access_tokens.c
        if self._remove(delete(access_tokens).where(c.uid == uid, c.person == principal.person)) == 0:
            raise NOT_FOUND.error()

    # --- look-ups ----------------------------------------------------------------------------------

    def _hash(self, secret: str) -> bytes:
        # Four kinds of secrets share one purpose: their prefixes keep them apart.
        return self._vault.keyed_hash("identity.secret", secret.encode())

    def _remove(self, statement: Any) -> int:
        with self._database.write() as connection:
            removed: int = connection.execute(statement).rowcount
        self._remembered.forget()
        return removed

    def _who(self, secret: str, prefix: str, table: Table, via: Via) -> Principal | None:
        if not secret_text.is_generated(secret, prefix):
            return None
        key = self._hash(secret)
        known = self._remembered.get(key)
        if known is not None:
            return known
        epoch, now = self._remembered.epoch, self._clock()
        c = table.c
        wanted = (
            select(people.c.tenant, people.c.uid, people.c.name, people.c.role, c.last_used)
            .join_from(table, people, c.person == people.c.uid)
            .where(c.hash == key, or_(c.expires.is_(None), c.expires > now))
        )
        with self._database.read() as connection:
            row = connection.execute(wanted).first()
        if row is None:
            return None
        if row.last_used is None or now - row.last_used >= NOTE_USE_EVERY:
            self._note_use(table, key, now)
        principal = Principal(row.tenant, row.uid, row.name, via, granted(row.role))
        self._remembered.put(key, principal, epoch)
        return principal

    def _note_use(self, table: Table, key: bytes, now: int) -> None:
        values = {"last_used": now}
        if table is sessions:
            values["expires"] = now + self._session_us
        with self._database.write() as connection:
            connection.execute(update(table).where(table.c.hash == key).values(values))
