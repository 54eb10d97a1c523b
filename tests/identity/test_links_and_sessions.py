# SPDX-License-Identifier: Apache-2.0
"""One-time links and the sessions they open: once, in time, and over when they are over."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select, update

from freehold.core.errors import FreeholdError
from freehold.identity.interfaces import FIRST_LINK_SECONDS, LINK_SECONDS
from freehold.identity.models import Principal, Via
from freehold.identity.service import IdentityService
from freehold.identity.tables import people, sessions, sign_in_links
from freehold.vault import secret_text
from tests.identity.conftest import House


def sign_in(identity: IdentityService) -> str:
    return identity.redeem_link(identity.make_link(identity.first_owner()))


def is_refused(identity: IdentityService, link: str) -> bool:
    with pytest.raises(FreeholdError) as refused:
        identity.redeem_link(link)
    return refused.value.refusal.code == "identity.link.invalid"


def test_a_link_signs_in_once(identity: IdentityService, owner: Principal) -> None:
    link = identity.make_link(owner.person)
    principal = identity.session(identity.redeem_link(link))
    assert principal is not None
    assert (principal.person, principal.tenant, principal.via) == (owner.person, owner.tenant, Via.SESSION)
    assert is_refused(identity, link)


def test_of_many_who_use_a_link_at_once_one_gets_in(house: House, identity: IdentityService) -> None:
    link = identity.make_link(identity.first_owner())

    def attempt(_: int) -> bool:
        try:
            house.identity().redeem_link(link)
        except FreeholdError:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(attempt, range(8))) == 1


@pytest.mark.parametrize("seconds", [LINK_SECONDS, FIRST_LINK_SECONDS, 1])
def test_a_link_is_good_until_its_time_is_over(house: House, identity: IdentityService, seconds: int) -> None:
    early, late = (identity.make_link(identity.first_owner(), seconds) for _ in range(2))
    house.clock.pass_seconds(seconds - 0.001)
    identity.redeem_link(early)
    house.clock.pass_seconds(0.001)
    assert is_refused(identity, late)


@pytest.mark.parametrize("link", ["", "x", "frl_", "frl_" + "a" * 33, "\ud800", "é" * 37, "frl_\0" + "a" * 32])
def test_what_is_no_link_is_refused_like_a_used_one(identity: IdentityService, link: str) -> None:
    assert is_refused(identity, link)


def test_a_made_up_link_of_the_right_form_is_refused(identity: IdentityService) -> None:
    assert is_refused(identity, secret_text.generate(secret_text.LINK))


def test_secrets_of_other_kinds_are_not_taken_for_one_another(identity: IdentityService, owner: Principal) -> None:
    link, token, session = identity.make_link(owner.person), identity.create_token(owner).secret, sign_in(identity)
    assert identity.session(link) is None
    assert identity.session(token) is None
    assert identity.token(link) is None
    assert identity.token(session) is None
    assert is_refused(identity, token)
    assert is_refused(identity, session)


def test_links_that_expired_leave_the_table(house: House, identity: IdentityService) -> None:
    for _ in range(3):
        identity.make_link(identity.first_owner())
    house.clock.pass_seconds(LINK_SECONDS)
    identity.make_link(identity.first_owner())
    with house.database.read() as connection:
        assert len(connection.execute(select(sign_in_links)).all()) == 1


def test_a_session_that_is_not_used_ends(house: House, identity: IdentityService) -> None:
    secret = sign_in(identity)
    house.clock.pass_seconds(168 * 3600)
    assert identity.session(secret) is None


def test_use_prolongs_a_session(house: House, identity: IdentityService) -> None:
    secret = sign_in(identity)
    for _ in range(5):
        house.clock.pass_seconds(100 * 3600)
        assert identity.session(secret) is not None


def test_last_use_is_noted_to_the_minute_and_not_with_every_request(house: House, identity: IdentityService) -> None:
    secret = sign_in(identity)

    def last_used() -> int:
        with house.database.read() as connection:
            return int(connection.execute(select(sessions.c.last_used)).scalar_one())

    opened = last_used()
    house.clock.pass_seconds(59)
    identity.session(secret)
    assert last_used() == opened
    house.clock.pass_seconds(6)
    identity.session(secret)
    assert last_used() == house.clock.now


def test_signing_out_ends_this_session_at_once_and_no_other(identity: IdentityService) -> None:
    here, elsewhere = sign_in(identity), sign_in(identity)
    assert identity.session(here)
    identity.sign_out(here)
    assert identity.session(here) is None
    assert identity.session(elsewhere)


def test_signing_out_everywhere_ends_all(identity: IdentityService, owner: Principal) -> None:
    secrets = [sign_in(identity) for _ in range(3)]
    assert all(identity.session(secret) for secret in secrets)
    identity.sign_out_everywhere(owner)
    assert not any(identity.session(secret) for secret in secrets)


@pytest.mark.parametrize("secret", ["", "frs_", "\ud800\ud800", "a" * 5000])
def test_signing_out_of_nothing_does_no_harm(identity: IdentityService, secret: str) -> None:
    identity.sign_out(secret)
    assert identity.session(secret) is None


def test_a_session_of_another_process_ends_within_seconds(house: House, identity: IdentityService) -> None:
    other = house.identity()
    secret = sign_in(identity)
    assert other.session(secret)
    identity.sign_out(secret)
    house.clock.pass_seconds(5)
    assert other.session(secret) is None


def test_sessions_that_expired_leave_the_table(house: House, identity: IdentityService) -> None:
    sign_in(identity)
    house.clock.pass_seconds(169 * 3600)
    sign_in(identity)
    with house.database.read() as connection:
        assert len(connection.execute(select(sessions)).all()) == 1


def test_a_role_that_this_version_does_not_know_may_nothing(house: House, identity: IdentityService) -> None:
    secret = sign_in(identity)
    with house.database.write() as connection:
        connection.execute(update(people).values(role="astronaut"))
    principal = identity.session(secret)
    assert principal is not None
    assert principal.permissions == frozenset()


def test_no_secret_is_in_the_database(house: House, identity: IdentityService, owner: Principal) -> None:
    link, session = identity.make_link(owner.person), sign_in(identity)
    token = identity.create_token(owner, "for the test").secret
    assert identity.session(session)
    assert identity.token(token)
    path = house.database.engine.url.database
    assert path is not None
    for suffix in ("", "-wal"):
        with open(path + suffix, "rb") as file:
            content = file.read()
        for secret in (link, session, token):
            assert secret.encode() not in content
            assert secret[4:-6].encode() not in content
