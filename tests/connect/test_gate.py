# SPDX-License-Identifier: Apache-2.0
"""The gate (drogue.md 1.1): who comes in, that all refusals are one, and that a change counts at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs

from freehold.connect import gate as gate_module
from freehold.connect.gate import DeviceGate
from freehold.connect.interfaces import Presented, Session
from freehold.core.errors import FreeholdError
from freehold.core.metrics import MetricSet
from freehold.core.settings import Limits
from freehold.events.models import partition_key
from freehold.registry.interfaces import PasswordCredential
from tests.connect.doubles import DECOY, Clock, Directory, MemoryLog, Passwords, presented

LIMIT = 5


@pytest.fixture
def directory() -> Directory:
    directory = Directory()
    directory.add("device1", "foo", aliases=["al"])
    directory.add("chosen", "slow:foo")
    directory.add("gw1", "foo")
    directory.add("dev2", gateways=["gw1"], aliases=["al2"])
    return directory


@pytest.fixture
def passwords() -> Passwords:
    return Passwords()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gate(directory: Directory, passwords: Passwords, clock: Clock) -> DeviceGate:
    limits = Limits(auth_failures_per_minute=LIMIT)
    return DeviceGate(directory, passwords, MemoryLog().route, limits, decoy=DECOY, clock=clock)


async def refusal_of(gate: DeviceGate, shown: Presented) -> str:
    """The code with which `shown` is refused."""
    with pytest.raises(FreeholdError) as caught:
        await gate.authenticate(shown)
    assert caught.value.detail == ""
    return caught.value.refusal.code


REJECTED = "device.credentials.rejected"
LIMITED = "device.attempts.limited"


# --- coming in -----------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["device1", "al"])
async def test_a_device_comes_in_by_name_and_alias(gate: DeviceGate, key: str) -> None:
    session = await gate.authenticate(presented(key))
    assert session.device.name == "device1"
    assert session.fresh
    expected = MemoryLog().route("uid-app1", partition_key("app1", "device1"))
    assert (session.route.topic, session.route.partition) == (expected.topic, expected.partition)


async def test_what_is_in_memory_needs_no_waiting(gate: DeviceGate, directory: Directory) -> None:
    session = gate.authenticate_cached(presented())
    assert session is not None
    assert gate.authenticate_cached(presented()) is session
    assert directory.asked == []


async def test_what_is_not_in_memory_is_asked_for_once(gate: DeviceGate, directory: Directory) -> None:
    directory.cold = True
    assert gate.authenticate_cached(presented()) is None
    session = await gate.authenticate(presented())
    assert gate.authenticate_cached(presented()) is session
    assert directory.asked == [("app1", "device1")]


async def test_a_chosen_password_is_checked_slowly_once(gate: DeviceGate, passwords: Passwords) -> None:
    assert gate.authenticate_cached(presented("chosen")) is None
    session = await gate.authenticate(presented("chosen"))
    assert gate.authenticate_cached(presented("chosen")) is session
    assert passwords.slow_checks == ["slow:foo"]


async def test_any_matching_credential_suffices(gate: DeviceGate, directory: Directory, passwords: Passwords) -> None:
    directory.add("many", "a", "slow:b", PasswordCredential("c", "U"))
    assert (await gate.authenticate(presented("many", "a"))).device.name == "many"
    assert (await gate.authenticate(presented("many", "b"))).device.name == "many"
    assert (await gate.authenticate(presented("many", "c", "U"))).device.name == "many"
    assert await refusal_of(gate, presented("many", "c")) == REJECTED


# --- refusals are one ----------------------------------------------------------------------------


def refused_ones(directory: Directory) -> Iterator[tuple[str, Presented]]:
    directory.add("off", "foo", enabled=False)
    directory.add("off-chosen", "slow:foo", enabled=False)
    directory.add("bare")
    directory.add_application("dark", enabled=False)
    directory.add("device1", "foo", application="dark")
    yield "unknown application or device", presented("nobody")
    yield "unknown application or device", presented(application="nothing")
    yield "unknown application or device", presented("x" * 5000)
    yield "device disabled", presented("off")
    yield "device disabled", presented("off-chosen")
    yield "application disabled", presented(application="dark")
    yield "wrong credentials", presented("device1", "pa55")
    yield "wrong credentials", presented("chosen", "pa55")
    yield "wrong credentials", presented("device1", "foo", "other user")
    yield "wrong credentials", presented("bare")


async def test_drogue_02_all_refusals_are_one_from_outside_and_named_inside(
    gate: DeviceGate, directory: Directory, passwords: Passwords
) -> None:
    for number, (reason, shown) in enumerate(refused_ones(directory)):
        passwords.slow_checks.clear()
        asked = Presented(shown.application, shown.key, shown.password, shown.username, f"192.0.2.{number}")
        with capture_logs() as lines:
            assert await refusal_of(gate, asked) == REJECTED
        assert [(line["event"], line["reason"]) for line in lines] == [("device refused", reason)]
        assert lines[0]["device"] == asked.key
        assert not any(asked.password in str(value) for value in lines[0].values())
        # The same work each time, so that time does not tell which it was.
        assert len(passwords.slow_checks) == 1


async def test_a_registry_that_fails_is_our_fault_and_lets_nobody_in(gate: DeviceGate, directory: Directory) -> None:
    directory.cold = True
    directory.failure = OSError("disk")
    with capture_logs() as lines:
        assert await refusal_of(gate, presented()) == "device.authentication.unavailable"
    assert lines[0]["event"] == "identities cannot be checked"
    directory.failure = None
    assert (await gate.authenticate(presented())).device.name == "device1"


async def test_a_hash_that_fails_is_our_fault_and_lets_nobody_in(gate: DeviceGate, passwords: Passwords) -> None:
    passwords.failure = RuntimeError("no memory for argon2")
    assert await refusal_of(gate, presented("chosen")) == "device.authentication.unavailable"
    passwords.failure = None
    assert (await gate.authenticate(presented("chosen"))).device.name == "chosen"


# --- limits --------------------------------------------------------------------------------------


async def test_an_address_that_guesses_has_to_wait(gate: DeviceGate, clock: Clock) -> None:
    for number in range(LIMIT):
        assert await refusal_of(gate, presented("chosen", f"guess {number}")) == REJECTED
    with capture_logs() as lines:
        assert await refusal_of(gate, presented("chosen", "next guess")) == LIMITED
        assert await refusal_of(gate, presented("chosen", "foo")) == LIMITED
    assert [line["event"] for line in lines] == ["address limited after failed sign-ins"]
    clock.now += 60
    assert (await gate.authenticate(presented("chosen", "foo"))).device.name == "chosen"


async def test_guessing_names_counts_as_guessing(gate: DeviceGate) -> None:
    for number in range(LIMIT):
        assert await refusal_of(gate, presented(f"nobody{number}")) == REJECTED
    assert await refusal_of(gate, presented("nobody")) == LIMITED


async def test_other_addresses_are_not_limited(gate: DeviceGate) -> None:
    for number in range(LIMIT):
        await refusal_of(gate, presented("chosen", f"guess {number}"))
    assert await gate.authenticate(presented("chosen", address="192.0.2.2"))


async def test_what_was_verified_before_passes_from_a_limited_address(gate: DeviceGate) -> None:
    known = await gate.authenticate(presented("chosen"))
    for number in range(LIMIT):
        await refusal_of(gate, presented("nobody", f"guess {number}"))
    assert await gate.authenticate(presented("chosen")) is known
    # And what is known without a slow check: a secret that was generated.
    assert (await gate.authenticate(presented("device1"))).device.name == "device1"


async def test_one_device_with_an_old_secret_does_not_lock_out_its_neighbours(
    gate: DeviceGate, passwords: Passwords
) -> None:
    answers = [await refusal_of(gate, presented("chosen", "outdated")) for _ in range(3 * LIMIT)]
    assert answers == [REJECTED] * LIMIT + [LIMITED] * (2 * LIMIT)
    assert passwords.slow_checks == ["slow:foo"]
    # Same address, another device, never seen before.
    assert (await gate.authenticate(presented("chosen", "foo"))).device.name == "chosen"


async def test_guesses_that_arrive_at_once_do_not_slip_past_the_limit(gate: DeviceGate, passwords: Passwords) -> None:
    tries = [gate.authenticate(presented("chosen", f"guess {number}")) for number in range(200)]
    answers = await asyncio.gather(*tries, return_exceptions=True)
    codes = [answer.refusal.code for answer in answers if isinstance(answer, FreeholdError)]
    assert len(codes) == 200
    checks = Limits().password_checks
    assert codes.count(REJECTED) <= LIMIT + checks
    assert len(passwords.slow_checks) <= LIMIT + checks
    assert passwords.most_at_once <= checks


async def test_a_fleet_behind_one_address_comes_in(gate: DeviceGate, directory: Directory) -> None:
    for number in range(100):
        directory.add(f"d{number}", f"slow:secret {number}")
    sessions = await asyncio.gather(
        *(gate.authenticate(presented(f"d{number}", f"secret {number}")) for number in range(100))
    )
    assert [session.device.name for session in sessions] == [f"d{number}" for number in range(100)]


async def test_sign_ins_that_wait_are_bounded(
    directory: Directory, passwords: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate_module, "WAITING", 4)
    gate = DeviceGate(directory, passwords, MemoryLog().route, Limits(password_checks=1), decoy=DECOY)
    passwords.gate = asyncio.Event()
    waiting = [asyncio.create_task(gate.authenticate(presented("chosen", f"{number}"))) for number in range(4)]
    await asyncio.sleep(0.01)
    assert await refusal_of_detailed(gate, presented("chosen")) == "device.authentication.unavailable"
    passwords.gate.set()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert (await gate.authenticate(presented("chosen"))).device.name == "chosen"


async def refusal_of_detailed(gate: DeviceGate, shown: Presented) -> str:
    with pytest.raises(FreeholdError) as caught:
        await gate.authenticate(shown)
    return caught.value.refusal.code


# --- changes -------------------------------------------------------------------------------------


async def test_a_secret_put_right_counts_at_once(gate: DeviceGate, directory: Directory) -> None:
    shown = presented("device1", "new")
    assert await refusal_of(gate, shown) == REJECTED
    directory.change(await device(directory), passwords=[PasswordCredential("new")])
    assert (await gate.authenticate(shown)).device.name == "device1"


async def test_a_device_made_after_it_was_refused_comes_in(gate: DeviceGate, directory: Directory) -> None:
    assert await refusal_of(gate, presented("new")) == REJECTED
    directory.change(directory.add("new", "foo"))
    assert (await gate.authenticate(presented("new"))).device.name == "new"


@pytest.mark.parametrize("change", [{"enabled": False}, {"passwords": [PasswordCredential("new")]}])
async def test_a_change_ends_what_is_in_memory(
    gate: DeviceGate, directory: Directory, change: dict[str, object]
) -> None:
    session = await gate.authenticate(presented())
    directory.change(session.device, **change)
    assert not session.fresh
    assert gate.authenticate_cached(presented()) is None
    assert await refusal_of(gate, presented()) == REJECTED


async def test_drogue_20_a_disabled_application_ends_what_is_in_memory(gate: DeviceGate, directory: Directory) -> None:
    session = await gate.authenticate(presented())
    directory.change_application("app1", enabled=False)
    assert not session.fresh
    assert await refusal_of(gate, presented()) == REJECTED
    directory.change_application("app1", enabled=True)
    assert (await gate.authenticate(presented())).device.name == "device1"


async def test_renew_of_a_fresh_session_is_itself(gate: DeviceGate) -> None:
    session = await gate.authenticate(presented())
    assert await gate.renew(session) is session


async def test_renew_after_an_edit_that_does_not_matter(gate: DeviceGate, directory: Directory) -> None:
    session = await gate.authenticate(presented("chosen"))
    directory.change(session.device, spec={"labels": 1})
    renewed = await gate.renew(session)
    assert renewed.fresh
    assert renewed.device.spec == {"labels": 1}


async def revoked(gate: DeviceGate, session: Session) -> bool:
    with pytest.raises(FreeholdError) as caught:
        await gate.renew(session)
    return caught.value.refusal.code == "device.access.revoked"


@pytest.mark.parametrize("change", [{"enabled": False}, {"passwords": [PasswordCredential("slow:new")]}])
async def test_renew_after_access_was_withdrawn(
    gate: DeviceGate, directory: Directory, change: dict[str, object]
) -> None:
    session = await gate.authenticate(presented("chosen"))
    directory.change(session.device, **change)
    with capture_logs() as lines:
        assert await revoked(gate, session)
    assert lines[-1]["event"] == "access withdrawn"


async def test_renew_after_deletion(gate: DeviceGate, directory: Directory) -> None:
    session = await gate.authenticate(presented())
    directory.remove(session.device)
    assert await revoked(gate, session)


async def test_a_device_made_again_under_its_name_is_another(gate: DeviceGate, directory: Directory) -> None:
    session = await gate.authenticate(presented())
    directory.change(session.device, uid="another")
    assert await revoked(gate, session)
    assert (await gate.authenticate(presented())).device.uid == "another"


async def test_renewals_use_up_nothing_of_the_addresss_limit(gate: DeviceGate, directory: Directory) -> None:
    session = await gate.authenticate(presented("chosen"))
    directory.change(session.device, passwords=[PasswordCredential("slow:new")])
    for _ in range(3 * LIMIT):
        assert await revoked(gate, session)
    assert (await gate.authenticate(presented("chosen", "new"))).device.name == "chosen"


# --- for whom ------------------------------------------------------------------------------------


async def device(directory: Directory, name: str = "device1"):  # type: ignore[no-untyped-def]
    found = await directory.device("app1", name)
    assert found is not None
    return found


@pytest.mark.parametrize(("name", "speaks_for"), [("dev2", "dev2"), ("al2", "dev2"), ("gw1", "gw1")])
@pytest.mark.parametrize("cold", [False, True])
async def test_drogue_18_a_gateway_speaks_for_its_devices(
    gate: DeviceGate, directory: Directory, name: str, speaks_for: str, cold: bool
) -> None:
    session = await gate.authenticate(presented("gw1"))
    directory.cold = cold
    assert (await gate.on_behalf(session, name)).name == speaks_for


@pytest.mark.parametrize("name", ["device1", "al"])
async def test_drogue_19_a_device_speaks_for_itself_by_either_name(gate: DeviceGate, name: str) -> None:
    session = await gate.authenticate(presented("al"))
    assert gate.on_behalf_cached(session, name) is session.device


async def test_drogue_19_for_nobody_else(gate: DeviceGate, directory: Directory) -> None:
    directory.add("elsewhere", application="app2", gateways=["gw1"])
    directory.add("asleep", enabled=False, gateways=["gw1"])
    session = await gate.authenticate(presented("gw1"))
    for name in ("device1", "nope", "elsewhere", "asleep", "", "x" * 5000):
        assert gate.on_behalf_cached(session, name) is None
        with pytest.raises(FreeholdError) as caught:
            await gate.on_behalf(session, name)
        assert caught.value.refusal.code == "device.not-permitted"


async def test_a_gateway_by_its_alias_is_still_the_gateway(gate: DeviceGate, directory: Directory) -> None:
    directory.add("gw3", "foo", aliases=["g"])
    directory.add("behind", gateways=["gw3"])
    directory.add("not-behind", gateways=["g"])
    session = await gate.authenticate(presented("g"))
    assert (await gate.on_behalf(session, "behind")).name == "behind"
    with pytest.raises(FreeholdError, match="not-permitted"):
        await gate.on_behalf(session, "not-behind")


async def test_a_gateway_taken_off_the_list_stops_at_once(gate: DeviceGate, directory: Directory) -> None:
    session = await gate.authenticate(presented("gw1"))
    target = gate.on_behalf_cached(session, "dev2")
    assert target is not None
    directory.change(target, gateways=frozenset())
    assert target.stale
    assert gate.on_behalf_cached(session, "dev2") is None
    directory.change(await device(directory, "dev2"), gateways=frozenset({"gw1"}))
    assert gate.on_behalf_cached(session, "dev2") is not None


async def test_a_flood_of_refused_targets_writes_one_line(gate: DeviceGate) -> None:
    session = await gate.authenticate(presented("gw1"))
    with capture_logs() as lines:
        for number in range(50):
            with pytest.raises(FreeholdError):
                await gate.on_behalf(session, f"nope{number}")
    assert [line["event"] for line in lines] == ["gateway refused"]


async def test_a_registry_that_fails_refuses_targets_as_our_fault(gate: DeviceGate, directory: Directory) -> None:
    session = await gate.authenticate(presented("gw1"))
    directory.cold = True
    directory.failure = OSError("disk")
    with pytest.raises(FreeholdError, match=r"authentication\.unavailable"):
        await gate.on_behalf(session, "dev2")


async def test_numbers(gate: DeviceGate) -> None:
    metrics = MetricSet()
    gate.register(metrics)
    await gate.authenticate(presented())
    for _ in range(LIMIT + 1):
        await refusal_of(gate, presented("nobody"))
    page = metrics.exposition().decode()
    assert 'freehold_device_signins_total{outcome="opened"} 1.0' in page
    assert f'freehold_device_signins_total{{outcome="rejected"}} {LIMIT}.0' in page
    assert 'freehold_device_signins_total{outcome="limited"} 1.0' in page
