# SPDX-License-Identifier: Apache-2.0
"""Access tokens: shown once, listed without their secret, worthless once revoked or expired."""

from __future__ import annotations

import pytest
from sqlalchemy import insert

from freehold.core.errors import FreeholdError
from freehold.identity.models import Principal, Via
from freehold.identity.service import IdentityService
from freehold.identity.tables import people
from freehold.vault import secret_text
from tests.identity.conftest import HOUR, House


def refusal_of(call: object, *arguments: object) -> str:
    assert callable(call)
    with pytest.raises(FreeholdError) as refused:
        call(*arguments)
    return refused.value.refusal.code


def test_a_token_acts_as_its_person(identity: IdentityService, owner: Principal) -> None:
    made = identity.create_token(owner, "backup script")
    principal = identity.token(made.secret)
    assert principal is not None
    assert (principal.person, principal.tenant, principal.via) == (owner.person, owner.tenant, Via.TOKEN)
    assert secret_text.is_generated(made.secret, "frh_")


def test_the_secret_is_not_in_a_repr_and_not_in_the_list(identity: IdentityService, owner: Principal) -> None:
    made = identity.create_token(owner, "a")
    assert made.secret not in repr(made)
    assert made.secret not in repr(identity.tokens(owner))


def test_the_list_says_what_for_until_when_and_when_last(
    house: House, identity: IdentityService, owner: Principal
) -> None:
    house.clock.pass_seconds(1)
    made = identity.create_token(owner, "script", house.clock.now + HOUR)
    house.clock.pass_seconds(1)
    identity.create_token(owner, "newer")
    newer, older = identity.tokens(owner)
    assert (newer.description, older.description) == ("newer", "script")
    assert older == made.token
    identity.token(made.secret)
    assert identity.tokens(owner)[1].last_used == house.clock.now


def test_a_token_expires(house: House, identity: IdentityService, owner: Principal) -> None:
    secret = identity.create_token(owner, expires=house.clock.now + HOUR).secret
    house.clock.pass_seconds(3599)
    assert identity.token(secret)
    house.clock.pass_seconds(6)
    assert identity.token(secret) is None


def test_expired_tokens_leave_the_list_with_the_next_one(
    house: House, identity: IdentityService, owner: Principal
) -> None:
    identity.create_token(owner, "short", house.clock.now + HOUR)
    house.clock.pass_seconds(3600)
    identity.create_token(owner, "next")
    assert [token.description for token in identity.tokens(owner)] == ["next"]


def test_a_revoked_token_is_worthless_at_once(identity: IdentityService, owner: Principal) -> None:
    made = identity.create_token(owner)
    assert identity.token(made.secret)
    identity.revoke_token(owner, made.token.uid)
    assert identity.token(made.secret) is None
    assert refusal_of(identity.revoke_token, owner, made.token.uid) == "resource.not-found"


def test_a_token_revoked_by_another_process_is_worthless_within_seconds(
    house: House, identity: IdentityService, owner: Principal
) -> None:
    other = house.identity()
    made = identity.create_token(owner)
    assert other.token(made.secret)
    identity.revoke_token(owner, made.token.uid)
    house.clock.pass_seconds(5)
    assert other.token(made.secret) is None


def test_nobody_sees_or_revokes_the_token_of_another(house: House, identity: IdentityService, owner: Principal) -> None:
    with house.database.write() as connection:
        row = {"uid": "colleague", "tenant": owner.tenant, "name": "colleague", "role": "owner", "created": 1}
        connection.execute(insert(people).values(row))
    colleague = identity.principal("colleague")
    made = identity.create_token(owner)
    assert identity.tokens(colleague) == []
    assert refusal_of(identity.revoke_token, colleague, made.token.uid) == "resource.not-found"
    assert identity.token(made.secret)


def test_what_cannot_be_is_refused(house: House, identity: IdentityService, owner: Principal) -> None:
    assert refusal_of(identity.create_token, owner, "x" * 256) == "resource.invalid"
    assert refusal_of(identity.create_token, owner, "", house.clock.now) == "resource.invalid"
    assert identity.tokens(owner) == []


@pytest.mark.parametrize("secret", ["", "frh_", "frh_" + "A" * 33, "\ud800", "frh_" + "\0" * 33, "x" * 100_000])
def test_what_is_no_token_is_nobody(identity: IdentityService, secret: str) -> None:
    assert identity.token(secret) is None


def test_twenty_requests_cost_one_query(house: House, identity: IdentityService, owner: Principal) -> None:
    secret = identity.create_token(owner).secret
    identity.token(secret)
    house.database.close()
    from sqlalchemy import event

    queries: list[str] = []
    event.listen(house.database.engine, "before_cursor_execute", lambda *a: queries.append(a[2]))
    house.clock.pass_seconds(5)
    for _ in range(20):
        assert identity.token(secret)
    assert len([query for query in queries if query.startswith("SELECT")]) == 1
