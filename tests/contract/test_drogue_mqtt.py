# SPDX-License-Identifier: Apache-2.0
"""The numbered checks of contract drogue.md that speak MQTT as a device does, with unmodified clients.

What events hold is read from the log by a consumer. Where a client library would not do what a check wants
(no clean session, say), `Wire` sends the packet.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from freehold.connect.mqtt.codec import Suback, Subscribe, Subscription
from freehold.events.models import CONNECTION_EVENT, DEVICE_EVENT, Event
from tests.connect.mqtt.wire import Wire, connected, telemetry, until
from tests.contract.house import APPLICATION, INSTANCE, Furnished, House, command
from tests.contract.mqtt_clients import VERSIONS, Mosquitto, Paho, mosquitto_pub, paho_client

USER = ("-u", "device1@app1", "-P", "foo")
both_versions = pytest.mark.parametrize("version", VERSIONS, ids=["v311", "v5"])


@pytest.fixture
def gateway(furnished: Furnished) -> tuple[str, str]:
    """User name and password of gw1."""
    return "gw1@app1", furnished.secrets["gw1"]


async def sent(house: House, at_least: int = 1) -> list[Event]:
    """What devices sent, without the events of their connections."""
    total = 0
    while True:
        events = [event for event in await house.events(total) if event.type == DEVICE_EVENT]
        if len(events) >= at_least:
            return events
        total += 1


# --- connecting ------------------------------------------------------------------------------------


@both_versions
async def test_drogue_30_connect(platform: House, version: int) -> None:
    async with paho_client(platform, version, "device1@app1", "foo"):
        assert platform.mqtt.connected_devices == 1


@both_versions
@pytest.mark.parametrize("password", ["foo", "bar"])
async def test_drogue_30_the_clean_flag_is_required(platform: House, version: int, password: str) -> None:
    wire = await Wire.open(platform.mqtt.port, version)
    connack = await wire.connect("device1@app1", password, clean_start=False, client_id="keeps")
    assert connack.reason_code == {4: 4, 5: 0x86}[version]
    assert await wire.rest() == []


@both_versions
@pytest.mark.parametrize(
    ("user", "password"),
    [("device1@app1", "bar"), ("nobody@app1", "foo"), ("device1@nowhere", "foo"), ("device1", "foo")],
)
async def test_drogue_30_wrong_credentials(platform: House, version: int, user: str, password: str) -> None:
    client = Paho(version, user, password)
    code, _ = await client.connect(platform)
    # paho translates the 3.1.1 code 4 into the reason code of version 5.
    assert code == 0x86
    await client.end()


@both_versions
async def test_drogue_30_user_and_device_in_client_id(platform: House, version: int) -> None:
    await platform.add_device("meter", credentials=[{"user": {"username": "ann", "password": "bar"}}])
    async with paho_client(platform, version, "ann", "bar", "meter@app1") as client:
        assert (await client.publish("telemetry", b"1"))[0] == 0
    wire = await Wire.open(platform.mqtt.port, version)
    assert (await wire.connect("ann", "bar", client_id="meter")).reason_code in (4, 0x86)
    (event,) = await sent(platform)
    assert (event.device, event.sender) == ("meter", "meter")


@both_versions
async def test_drogue_30_percent_encoded_user_name(platform: House, version: int) -> None:
    await platform.add_device("a@b", password="foo")
    async with paho_client(platform, version, "a%40b@app1", "foo") as client:
        await client.publish("telemetry", b"1")
    (event,) = await sent(platform)
    assert event.device == "a@b"


async def test_drogue_30_version_5_says_what_is_not_offered(platform: House) -> None:
    client = Paho(5, "device1@app1", "foo")
    _, properties = await client.connect(platform)
    said = properties.json()
    assert said["WildcardSubscriptionAvailable"] == 1
    assert said["SharedSubscriptionAvailable"] == said["SubscriptionIdentifierAvailable"] == 0
    assert (said["MaximumQoS"], said["RetainAvailable"]) == (1, 0)
    assert said["MaximumPacketSize"] == platform.settings.mqtt.max_packet_bytes
    assert said["ReceiveMaximum"] == platform.settings.mqtt.receive_maximum
    assert said["AssignedClientIdentifier"]
    await client.end()


@both_versions
async def test_drogue_20_disabled_application(platform: House, version: int) -> None:
    await platform.put_application(spec={"core": {"disabled": True}})
    client = Paho(version, "device1@app1", "foo")
    assert (await client.connect(platform))[0] == 0x86
    await client.end()
    await platform.put_application()
    async with paho_client(platform, version, "device1@app1", "foo"):
        pass


@both_versions
async def test_drogue_20_disabled_device(platform: House, version: int) -> None:
    await platform.put_device("device1", password="foo", core={"disabled": True})
    client = Paho(version, "device1@app1", "foo")
    assert (await client.connect(platform))[0] == 0x86
    await client.end()


@both_versions
async def test_drogue_21_device_that_is_being_deleted(platform: House, version: int) -> None:
    await platform.put_device("device1", password="foo", finalizers=["keep"])
    await platform.delete_device("device1")
    client = Paho(version, "device1@app1", "foo")
    assert (await client.connect(platform))[0] == 0x86
    await client.end()


@both_versions
async def test_drogue_21_application_that_is_being_deleted(platform: House, version: int) -> None:
    await platform.put_device("device1", password="foo", finalizers=["keep"])
    await platform.delete_application()
    client = Paho(version, "device1@app1", "foo")
    assert (await client.connect(platform))[0] == 0x86
    await client.end()


# --- publishing ------------------------------------------------------------------------------------


@both_versions
async def test_drogue_32_publish_between_connection_events(platform: House, version: int) -> None:
    ended = await mosquitto_pub(platform, version, *USER, "-t", "telemetry", "-q", "1", "-m", '{"temp": 42}')
    assert ended.status == 0, ended.errors
    events = await platform.events(3)
    assert [(event.type, event.subject, json.loads(event.data)) for event in events] == [
        (CONNECTION_EVENT, "connection", {"connected": True}),
        (DEVICE_EVENT, "telemetry", {"temp": 42}),
        (CONNECTION_EVENT, "connection", {"connected": False}),
    ]
    for event in events:
        assert (event.application, event.applicationuid) == (APPLICATION, platform.uid_of_application())
        assert (event.device, event.deviceuid) == ("device1", platform.uid_of_device("device1"))
        assert (event.sender, event.senderuid) == (event.device, event.deviceuid)
        assert (event.datacontenttype, event.instance) == ("application/json", INSTANCE)
        assert event.partitionkey == "app1/device1"


@both_versions
async def test_drogue_32_quality_0(platform: House, version: int) -> None:
    ended = await mosquitto_pub(platform, version, *USER, "-t", "telemetry", "-q", "0", "-m", "hello")
    assert ended.status == 0
    (event,) = await sent(platform)
    assert (event.datacontenttype, event.data) == ("application/octet-stream", b"hello")


@both_versions
async def test_drogue_32_retain_and_dup_are_ignored(platform: House, version: int, furnished: Furnished) -> None:
    async with connected(platform, "device1", furnished.secrets["device1"], version) as wire:
        wire.send(telemetry(7, retain=True, dup=True), telemetry(0, retain=True))
        assert (await wire.receive()).packet_id == 7  # type: ignore[attr-defined]
        assert len(await sent(platform, 2)) == 2


@both_versions
async def test_drogue_33_gateway_publish(platform: House, version: int, gateway: tuple[str, str]) -> None:
    user, password = gateway
    command_line = ("-u", user, "-P", password, "-t", "telemetry/dev2", "-q", "1", "-m", "1")
    assert (await mosquitto_pub(platform, version, *command_line)).status == 0
    events = await platform.events(3)
    assert [(event.subject, event.device, event.sender) for event in events] == [
        ("connection", "gw1", "gw1"),
        ("telemetry", "dev2", "gw1"),
        ("connection", "gw1", "gw1"),  # devices behind a gateway have no connection of their own
    ]
    assert events[1].deviceuid == platform.uid_of_device("dev2")
    assert events[1].partitionkey == "app1/gw1"


@both_versions
async def test_drogue_33_own_name_is_the_device_itself(platform: House, version: int) -> None:
    async with paho_client(platform, version, "device1@app1", "foo") as client:
        assert (await client.publish("telemetry/device1", b"1"))[0] == 0
    (event,) = await sent(platform)
    assert (event.subject, event.device, event.sender) == ("telemetry", "device1", "device1")


@pytest.mark.parametrize("target", ["device1", "nobody"])
async def test_drogue_33_gateway_not_permitted_v5(platform: House, gateway: tuple[str, str], target: str) -> None:
    async with paho_client(platform, 5, *gateway) as client:
        code, properties = await client.publish(f"telemetry/{target}", b"1")
        assert code == 0x87
        assert properties.ReasonString == "Not authorized [device.not-permitted]"
        assert (await client.publish("telemetry/dev2", b"2"))[0] == 0  # the connection goes on
    assert [event.data for event in await sent(platform)] == [b"2"]


@pytest.mark.parametrize("target", ["device1", "nobody"])
async def test_drogue_33_gateway_not_permitted_v311(platform: House, gateway: tuple[str, str], target: str) -> None:
    client = Paho(4, *gateway)
    await client.connect(platform)
    client.client.publish(f"telemetry/{target}", b"1", 1)
    await client.heard("disconnect")
    await client.end()
    assert [event.type for event in await platform.events(2)][:2] == [CONNECTION_EVENT] * 2


async def test_drogue_34_topic_of_three_levels(platform: House) -> None:
    async with paho_client(platform, 5, "device1@app1", "foo") as client:
        for topic in ("a/b/c", "a/", "/a", "/"):
            assert (await client.publish(topic, b"1"))[0] == 0x90, topic
    # Mosquitto's client shows its user what the platform said.
    ended = await mosquitto_pub(platform, 5, *USER, "-t", "a/b/c", "-q", "1", "-m", "1")
    assert "Topic name is invalid [event.channel.invalid]" in ended.errors


async def test_drogue_34_plain_topic(platform: House) -> None:
    await platform.put_application(spec={"mqtt": {"dialect": {"type": "plainTopic"}}})
    async with paho_client(platform, 5, "device1@app1", "foo") as client:
        for topic in ("a/b/c", "/a/", "x"):
            assert (await client.publish(topic, b"1"))[0] == 0
    assert [event.subject for event in await sent(platform, 3)] == ["a/b/c", "/a/", "x"]


@both_versions
async def test_drogue_34_device_prefix(platform: House, version: int, gateway: tuple[str, str]) -> None:
    await platform.put_application(spec={"mqtt": {"dialect": {"type": "plainTopic", "devicePrefix": True}}})
    async with paho_client(platform, version, *gateway) as client:
        for topic in ("dev2/x/y", "/x/y", "gw1/x"):
            assert (await client.publish(topic, b"1"))[0] == 0
        if version == 5:
            assert (await client.publish("x", b"1"))[0] == 0x90
    said = [(event.device, event.sender, event.subject) for event in await sent(platform, 3)]
    assert said == [("dev2", "gw1", "x/y"), ("gw1", "gw1", "x/y"), ("gw1", "gw1", "x")]


async def test_drogue_34_dialect_of_the_device_wins(platform: House) -> None:
    await platform.put_application(spec={"mqtt": {"dialect": {"type": "plainTopic"}}})
    await platform.put_device("device1", password="foo", mqtt={"dialect": {"type": "drogue/v1"}})
    async with paho_client(platform, 5, "device1@app1", "foo") as client:
        assert (await client.publish("a/b/c", b"1"))[0] == 0x90
        assert (await client.publish("a", b"1"))[0] == 0


@both_versions
@pytest.mark.parametrize("dialect", [{"type": "unheard-of"}, {"type": "plainTopic", "devicePrefix": "maybe"}, {}])
async def test_drogue_34_dialect_that_cannot_be_understood(
    platform: House, version: int, dialect: dict[str, Any]
) -> None:
    await platform.put_application(spec={"mqtt": {"dialect": dialect}})
    client = Paho(version, "device1@app1", "foo")
    assert (await client.connect(platform))[0] == 0x86
    await client.end()


async def test_drogue_35_content_type(platform: House) -> None:
    said = ("-D", "publish", "content-type", "text/plain")
    ended = await mosquitto_pub(platform, 5, *USER, "-t", "telemetry", "-q", "1", "-m", "42", *said)
    assert ended.status == 0, ended.errors
    (event,) = await sent(platform)
    assert (event.datacontenttype, event.data) == ("text/plain", b"42")


async def test_drogue_35_json_that_is_none(platform: House) -> None:
    async with paho_client(platform, 5, "device1@app1", "foo") as client:
        for payload in (b"{oops", b""):
            code, properties = await client.publish("telemetry", payload, ContentType="application/json")
            assert code == 0x80
            assert "event.payload.not-json" in properties.ReasonString
        assert (await client.publish("telemetry", b"{ }", ContentType="application/vnd.x+json"))[0] == 0
    (event,) = await sent(platform)
    assert (event.datacontenttype, event.data) == ("application/json", b"{}")


# --- commands --------------------------------------------------------------------------------------


@both_versions
@pytest.mark.parametrize("topic_filter", ["command/inbox/#", "command/inbox/+/#"])
async def test_drogue_36_inbox(platform: House, version: int, topic_filter: str, gateway: tuple[str, str]) -> None:
    async with paho_client(platform, version, *gateway) as client:
        assert await client.subscribe(topic_filter, 0) == [0]
        assert platform.send(command("SET", b"1", device="gw1")) == ["gw1"]
        assert platform.send(command("SET", b"2", device="dev2", gateways=["gw1"])) == ["gw1"]
        messages = [await client.heard("message") for _ in range(2)]
    assert [(message.topic, message.payload) for message in messages] == [
        ("command/inbox//SET", b"1"),
        ("command/inbox/dev2/SET", b"2"),
    ]
    assert [(message.qos, message.retain) for message in messages] == [(0, False)] * 2


@both_versions
async def test_drogue_36_inbox_with_mosquitto_sub(platform: House, version: int) -> None:
    subscriber = await Mosquitto.start("sub", platform, version, *USER, "-t", "command/inbox/#", "-C", "1", "-v")
    await until(lambda: platform.inboxes, "the client subscribed")
    assert platform.send(command("led/on", b'{"on":true}')) == ["device1"]
    ended = await subscriber.end()
    assert ended.status == 0
    assert 'command/inbox//led/on {"on":true}' in ended.output


@both_versions
async def test_drogue_36_own_inbox_alone(platform: House, version: int, gateway: tuple[str, str]) -> None:
    """A-6: `command/inbox//#` is for the device itself, as Drogue's documentation says."""
    async with paho_client(platform, version, *gateway) as client:
        assert await client.subscribe("command/inbox//#") == [0]
        assert platform.send(command("SET", device="dev2", gateways=["gw1"])) == []
        assert platform.send(command("SET", device="gw1")) == ["gw1"]
        assert (await client.heard("message")).topic == "command/inbox//SET"


@both_versions
async def test_drogue_37_inbox_by_name(platform: House, version: int) -> None:
    async with paho_client(platform, version, "device1@app1", "foo") as client:
        assert await client.subscribe("command/inbox/device1/#") == [0]
        platform.send(command("SET", b"on"))
        message = await client.heard("message")
    assert (message.topic, message.payload) == ("command/inbox/device1/SET", b"on")


@both_versions
@pytest.mark.parametrize("topic_filter", ["foo/#", "command/inbox/device1/SET", "#", "+/inbox/#", "command/inbox"])
async def test_drogue_38_other_filters_are_refused(platform: House, version: int, topic_filter: str) -> None:
    async with paho_client(platform, version, "device1@app1", "foo") as client:
        assert await client.subscribe(topic_filter) == [0x80]
        assert await client.subscribe("command/inbox/#") == [0]  # the connection stays


async def test_drogue_38_subscription_identifier(platform: House, furnished: Furnished) -> None:
    async with paho_client(platform, 5, "device1@app1", "foo") as client:
        assert await client.subscribe("command/inbox/#", SubscriptionIdentifier=7) == [0xA1]
        assert (await client.publish("telemetry", b"1"))[0] == 0
    assert not platform.inboxes


@both_versions
async def test_drogue_38_one_code_for_each_filter(platform: House, version: int, furnished: Furnished) -> None:
    async with connected(platform, "device1", furnished.secrets["device1"], version) as wire:
        wanted = ("command/inbox/#", "foo/#", "command/inbox//#", "command/inbox/#")
        wire.send(Subscribe(3, tuple(Subscription(each) for each in wanted)))
        answer = await wire.receive()
        assert isinstance(answer, Suback)
        assert answer.reason_codes == (0, 0x80, 0, 0)


# --- taking over -----------------------------------------------------------------------------------


@both_versions
async def test_drogue_40_second_connection_takes_over(platform: House, version: int) -> None:
    first, second = Paho(version, "device1@app1", "foo"), Paho(version, "device1@app1", "foo")
    await first.connect(platform)
    assert (await second.connect(platform))[0] == 0
    code, _ = await first.heard("disconnect")
    if version == 5:
        assert code == 0x8E
    assert (await second.publish("telemetry", b"1"))[0] == 0
    await second.end()
    await first.end()
    await until(lambda: not platform.mqtt.connected_devices, "both are gone")
    events = await platform.events(5)
    assert [event.data for event in events] == [
        b'{"connected":true}',
        b'{"connected":false}',
        b'{"connected":true}',
        b"1",
        b'{"connected":false}',
    ]
