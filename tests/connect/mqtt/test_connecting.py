# SPDX-License-Identifier: Apache-2.0
"""CONNECT: what is accepted, what is refused and how, and what may stand right behind it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import pytest

from freehold.connect.mqtt.codec import (
    Auth,
    Connack,
    Pingresp,
    Properties,
    Puback,
    ReasonCode,
    Suback,
    Subscribe,
    Subscription,
    Will,
    encode,
)
from freehold.connect.mqtt.endpoint import MqttEndpoint
from freehold.core.errors import PORT_TAKEN, FreeholdError
from freehold.registry.passwords import PasswordPool
from tests.connect.mqtt.conftest import OpenHouse
from tests.connect.mqtt.wire import Wire, connected, telemetry, until
from tests.contract.house import PATIENCE, House

both_versions = pytest.mark.parametrize("version", [4, 5], ids=["v311", "v5"])
REFUSED = {4: 4, 5: ReasonCode.BAD_USER_NAME_OR_PASSWORD}


def mqtt_3_1() -> bytes:
    body = b"\x00\x06MQIsdp\x03\x02\x00\x3c\x00\x01x"
    return bytes((0x10, len(body))) + body


def level(number: int) -> bytes:
    body = b"\x00\x04MQTT" + bytes((number,)) + b"\x02\x00\x3c\x00\x00\x01x"
    return bytes((0x10, len(body))) + body


@both_versions
@pytest.mark.parametrize(
    ("user", "password", "fields"),
    [
        (None, None, {}),
        (None, None, {"client_id": "device1@app1"}),
        ("device1@app1", None, {}),
        ("device1@app1", b"\xff\xfe", {}),
        ("device1@app1", b"", {}),
        ("device1@app1", "x" * 5000, {}),
        ("device1%ff@app1", "secret", {}),
        ("@app1", "secret", {}),
        ("device1@", "secret", {}),
        ("@", "secret", {}),
        ("", "secret", {"client_id": "device1"}),
        ("x" * 6000 + "@app1", "secret", {}),
        ("device1@app1\x7f", "secret", {}),
    ],
)
async def test_credentials_that_cannot_be_right(
    house: House, version: int, user: str | None, password: str | bytes | None, fields: dict[str, Any]
) -> None:
    wire = await Wire.open(house.mqtt.port, version)
    connack = await wire.connect(user, password, **fields)
    assert connack.reason_code == REFUSED[version]
    assert await wire.rest() == []
    assert house.mqtt.numbers.refused == {"device.credentials.rejected": 1}


async def test_a_refusal_says_the_same_of_all_reasons(house: House, secrets: Mapping[str, str]) -> None:
    said = set()
    for user, password in [("device1@app1", "no"), ("nobody@app1", "no"), ("device1@no", "no"), ("device1", "no")]:
        wire = await Wire.open(house.mqtt.port)
        said.add((await wire.connect(user, password)).properties.reason_string)
        await wire.close()
    assert said == {"Authentication failed [device.credentials.rejected]"}


async def test_password_without_user_name(house: House) -> None:
    """Version 5 allows the form, so it is answered; for 3.1.1 it is malformed."""
    wire = await Wire.open(house.mqtt.port)
    assert (await wire.connect(None, "foo", client_id="device1@app1")).reason_code == 0x86
    wire = await Wire.open(house.mqtt.port, 4)
    packet = bytearray(encode(wire.connect_packet("", "foo"), 4))
    packet[9] &= 0x7F
    wire.send_bytes(bytes(packet))
    assert await wire.rest() == []
    assert house.mqtt.numbers.protocol_errors == 1


@pytest.mark.parametrize(
    ("hello", "version", "code"),
    [(mqtt_3_1(), 4, 1), (level(3), 4, 1), (level(6), 5, 0x84), (level(255), 5, 0x84)],
    ids=["3.1", "level-3", "level-6", "level-255"],
)
async def test_other_protocol_levels(house: House, hello: bytes, version: int, code: int) -> None:
    wire = await Wire.open(house.mqtt.port, version)
    wire.send_bytes(hello)
    (connack,) = await wire.rest()
    assert isinstance(connack, Connack)
    assert connack.reason_code == code


@pytest.mark.parametrize(
    "hello",
    [
        b"\xc0\x00",
        b"\xe0\x00",
        encode(telemetry(1), 4),
        encode(Subscribe(1, (Subscription("command/inbox/#"),)), 4),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"\x00",
        b"\xff",
    ],
    ids=["ping", "disconnect", "publish", "subscribe", "http", "tls", "zero", "ones"],
)
async def test_anything_but_connect_first_is_cut_at_once(house: House, hello: bytes) -> None:
    """Already at the first byte, without waiting for what it announces."""
    wire = await Wire.open(house.mqtt.port)
    wire.send_bytes(hello)
    assert await wire.rest() == []
    assert house.mqtt.numbers.cut == 1
    assert await house.events() == []


@both_versions
async def test_a_second_connect_ends_the_connection(house: House, secrets: Mapping[str, str], version: int) -> None:
    async with connected(house, "device1", secrets["device1"], version) as wire:
        wire.send(telemetry(1), wire.connect_packet("device1@app1", secrets["device1"]))
        answers = await wire.rest()
    assert answers[0] == Puback(1)
    assert [getattr(each, "reason_code", None) for each in answers[1:]] == ([0x82] if version == 5 else [])


@both_versions
async def test_packets_in_the_segment_of_connect(house: House, secrets: Mapping[str, str], version: int) -> None:
    wire = await Wire.open(house.mqtt.port, version)
    subscribe = Subscribe(2, (Subscription("command/inbox/#"),))
    wire.send(wire.connect_packet("device1@app1", secrets["device1"]), telemetry(1), subscribe, telemetry(3))
    answers = await wire.receive_many(4)
    assert isinstance(answers[0], Connack)
    assert {Puback(1), Puback(3)} <= set(answers[1:])
    assert any(isinstance(each, Suback) for each in answers)
    await wire.close()


@both_versions
async def test_nothing_behind_a_refused_connect_is_looked_at(house: House, version: int) -> None:
    wire = await Wire.open(house.mqtt.port, version)
    subscribe = Subscribe(2, (Subscription("command/inbox/#"),))
    wire.send(wire.connect_packet("device1@app1", None), telemetry(1), subscribe)
    wire.send_bytes(b"\xc0\x00\xff\xff\xff\xff\xff\xff")
    (connack,) = await wire.rest()
    assert isinstance(connack, Connack)
    assert house.mqtt.numbers.protocol_errors == 0
    assert not house.inboxes
    assert await house.events() == []


async def test_nothing_behind_a_refused_slow_connect_is_looked_at(house: House) -> None:
    wire = await Wire.open(house.mqtt.port)
    wire.send(wire.connect_packet("device1@app1", "wrong"), telemetry(1))
    (connack,) = await wire.rest()
    assert isinstance(connack, Connack)
    assert house.mqtt.numbers.protocol_errors == 0


class Slow:
    """Holds every check of a chosen password until it is let go."""

    def __init__(self, passwords: PasswordPool) -> None:
        self._check = passwords._verifiers.check
        self._free = threading.Event()
        self.asked = 0
        passwords._verifiers.check = self._slow  # type: ignore[method-assign]

    def _slow(self, verifier: str, secret: str) -> bool:
        self.asked += 1
        assert self._free.wait(PATIENCE)
        return self._check(verifier, secret)

    def let_go(self) -> None:
        self._free.set()


async def test_slow_authentication_holds_only_its_own_connection(house: House, secrets: Mapping[str, str]) -> None:
    slow = Slow(house.passwords)
    wire = await Wire.open(house.mqtt.port)
    wire.send(wire.connect_packet("device1@app1", "foo"), telemetry(1, b"1"), telemetry(2, b"2"))
    await until(lambda: slow.asked, "the password is being checked")
    for packet_id in range(3, 9):  # what comes meanwhile waits, in pieces too
        data = encode(telemetry(packet_id, b"%d" % packet_id), 5)
        for piece in (data[:5], data[5:]):
            wire.send_bytes(piece)
            await wire.flush()
    async with connected(house, "device2", secrets["device2"]) as neighbour:
        neighbour.send(telemetry(1))
        assert await neighbour.receive() == Puback(1)
    slow.let_go()
    answers = await wire.receive_many(9)
    assert isinstance(answers[0], Connack)
    assert answers[1:] == [Puback(packet_id) for packet_id in range(1, 9)]
    await wire.close()
    said = [
        event.data for event in await house.events(10) if event.device == "device1" and event.subject == "telemetry"
    ]
    assert said == [b"%d" % number for number in range(1, 9)]


async def test_client_that_leaves_while_its_password_is_checked(house: House) -> None:
    slow = Slow(house.passwords)
    wire = await Wire.open(house.mqtt.port)
    wire.send(wire.connect_packet("device1@app1", "foo"), telemetry(1))
    await until(lambda: slow.asked, "the password is being checked")
    wire.reset()
    # Reading is paused, so the end is seen when the answer is written at the latest.
    slow.let_go()
    await until(lambda: not house.mqtt.open_connections, "the connection is gone")
    await until(lambda: not house.mqtt._tasks, "its task is gone")
    assert house.mqtt.connected_devices == 0


async def test_too_many_connections(open_house: OpenHouse, secrets: Mapping[str, str]) -> None:
    house = await open_house({"mqtt.max_connections": 1})
    async with connected(house, "device1", secrets["device1"]) as first:
        second = await Wire.open(house.mqtt.port)
        assert await second.rest() == []
        assert await first.silent()
    await until(lambda: not house.mqtt.open_connections, "the first is gone")
    async with connected(house, "device2", secrets["device2"]):
        assert house.mqtt.numbers.cut == 1


@both_versions
async def test_address_that_guesses_too_often(open_house: OpenHouse, version: int) -> None:
    house = await open_house({"limits.auth_failures_per_minute": 2})
    codes = []
    for guess in range(3):
        wire = await Wire.open(house.mqtt.port, version)
        connack = await wire.connect("device1@app1", f"guess{guess}")
        codes.append(connack.reason_code)
        await wire.rest()
    assert codes == [REFUSED[version]] * 2 + [{4: 3, 5: 0x9F}[version]]
    assert house.mqtt.numbers.refused["device.attempts.limited"] == 1


@both_versions
async def test_registry_that_cannot_be_read(house: House, version: int) -> None:
    with house.database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE applications RENAME TO gone")
    wire = await Wire.open(house.mqtt.port, version)
    connack = await wire.connect("device1@app1", "foo")
    assert connack.reason_code == {4: 3, 5: ReasonCode.SERVER_UNAVAILABLE}[version]
    assert await wire.rest() == []


async def test_version_5_is_told_why_a_malformed_connect_is_refused(house: House) -> None:
    wire = await Wire.open(house.mqtt.port)
    packet = bytearray(encode(wire.connect_packet("u", "p"), 5))
    packet[9] |= 1  # the reserved flag
    wire.send_bytes(bytes(packet))
    (connack,) = await wire.rest()
    assert isinstance(connack, Connack)
    assert connack.reason_code == ReasonCode.MALFORMED_PACKET
    assert "MQTT-3.1.2-3" in (connack.properties.reason_string or "")


async def test_version_3_1_1_hears_nothing_of_a_malformed_connect(house: House) -> None:
    """[MQTT-3.1.4-1] of 3.1.1: closed without a CONNACK."""
    wire = await Wire.open(house.mqtt.port, 4)
    packet = bytearray(encode(wire.connect_packet("u", "p"), 4))
    packet[9] |= 1
    wire.send_bytes(bytes(packet))
    assert await wire.rest() == []


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"properties": Properties(authentication_method="SCRAM-SHA-256")}, ReasonCode.BAD_AUTHENTICATION_METHOD),
        ({"will": Will("bye", b"", 2)}, ReasonCode.QOS_NOT_SUPPORTED),
        ({"will": Will("bye", b"", 0, True)}, ReasonCode.RETAIN_NOT_SUPPORTED),
    ],
    ids=["enhanced authentication", "will of QoS 2", "retained will"],
)
async def test_version_5_refuses_what_its_connack_denies(
    house: House, secrets: Mapping[str, str], fields: dict[str, Any], code: ReasonCode
) -> None:
    """[MQTT-4.12.0-1], [MQTT-3.2.2-12], [MQTT-3.2.2-13]."""
    wire = await Wire.open(house.mqtt.port)
    connack = await wire.connect("device1@app1", secrets["device1"], **fields)
    assert connack.reason_code == code
    assert connack.properties.reason_string
    assert await wire.rest() == []


async def test_version_3_1_1_has_its_will_as_quality_1(house: House, secrets: Mapping[str, str]) -> None:
    """There is no word to refuse it with, so it is taken for what can be kept of it."""
    wire = await Wire.open(house.mqtt.port, 4)
    await wire.connect("device1@app1", secrets["device1"], will=Will("bye", b"1", 2, True))
    wire.reset()
    events = await house.events(3)
    assert [event.subject for event in events] == ["connection", "bye", "connection"]


async def test_sessions_are_declined_in_words(house: House, secrets: Mapping[str, str]) -> None:
    """3.2.2.3.2: a session expiry other than the one asked for has to be said."""
    wire = await Wire.open(house.mqtt.port)
    wanted = Properties(session_expiry_interval=3600)
    connack = await wire.connect("device1@app1", secrets["device1"], properties=wanted)
    assert (connack.reason_code, connack.properties.session_expiry_interval) == (0, 0)
    await wire.close()


async def test_client_identifier_is_assigned_only_where_there_is_none(house: House, secrets: Mapping[str, str]) -> None:
    assigned = set()
    for _ in range(2):
        wire = await Wire.open(house.mqtt.port)
        connack = await wire.connect("device1@app1", secrets["device1"])
        assigned.add(connack.properties.assigned_client_identifier)
        await wire.close()
    assert len(assigned) == 2
    assert None not in assigned
    wire = await Wire.open(house.mqtt.port)
    connack = await wire.connect("device1@app1", secrets["device1"], client_id="mine")
    assert connack.properties.assigned_client_identifier is None
    await wire.close()


async def test_authentication_exchange_is_refused_on_an_open_connection(
    house: House, secrets: Mapping[str, str]
) -> None:
    async with connected(house, "device1", secrets["device1"]) as wire:
        wire.send(Auth(ReasonCode.RE_AUTHENTICATE, Properties(authentication_method="x")))
        (disconnect,) = await wire.rest()
    assert disconnect.reason_code == ReasonCode.PROTOCOL_ERROR  # type: ignore[attr-defined]


@both_versions
async def test_ping(house: House, secrets: Mapping[str, str], version: int) -> None:
    async with connected(house, "device1", secrets["device1"], version) as wire:
        wire.send_bytes(b"\xc0\x00" * 3)
        assert await wire.receive_many(3) == [Pingresp()] * 3


async def test_port_that_is_taken(house: House) -> None:
    twin = MqttEndpoint(house.settings.mqtt, house.mqtt.port, house.gate, house.intake, house.router, house.directory)
    with pytest.raises(FreeholdError) as caught:
        await twin.start()
    assert caught.value.refusal is PORT_TAKEN
    assert str(house.mqtt.port) in caught.value.detail
    assert twin.health() is not None
    assert house.mqtt.health() is None
