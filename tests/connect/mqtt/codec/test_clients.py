# SPDX-License-Identifier: Apache-2.0
"""Independent clients (paho, gmqtt, mosquitto's) over real sockets: our decoders read what they
send, field by field, and they understand what our encoders answer."""

import asyncio
from collections.abc import Callable
from typing import Any

import gmqtt
import pytest
from msgspec import structs
from paho.mqtt import client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties as PahoProperties
from paho.mqtt.subscribeoptions import SubscribeOptions

from freehold.connect.mqtt.codec import (
    Connect,
    Disconnect,
    Properties,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    ReasonCode,
    Subscribe,
    Subscription,
    Unsubscribe,
    Will,
)
from tests.conftest import needs
from tests.connect.mqtt.codec.recording_server import RecordingServer

PATIENCE = 20.0
GREETING = Publish("greeting/é", b"\x00\xffhello", 2, packet_id=77)
GREETING_5 = Publish(
    "greeting/é",
    b"\x00\xffhello",
    2,
    packet_id=77,
    properties=Properties(
        payload_format_indicator=0,
        message_expiry_interval=90,
        content_type="application/octet-stream",
        response_topic="answers",
        correlation_data=b"\x01\x02",
        subscription_identifiers=(5,),
        user_properties=(("k", "v"), ("k", "w")),
    ),
)
WELCOME = Properties(
    session_expiry_interval=0,
    receive_maximum=10,
    maximum_qos=1,
    retain_available=False,
    maximum_packet_size=1_000_000,
    assigned_client_identifier="assigned",
    topic_alias_maximum=3,
    reason_string="welcome",
    user_properties=(("server", "freehold"),),
    wildcard_subscription_available=True,
    subscription_identifier_available=True,
    shared_subscription_available=False,
    server_keep_alive=33,
)


def paho_properties(kind: int, **fields: Any) -> PahoProperties:
    held = PahoProperties(kind)
    for name, value in fields.items():
        setattr(held, name, value)
    return held


class PahoTalk:
    """One conversation of a paho client, its callbacks handed to the event loop."""

    def __init__(self, version: int, client_id: str) -> None:
        self.loop = asyncio.get_running_loop()
        self.events: asyncio.Queue[tuple[str, Any]] = asyncio.Queue(100)
        protocol = paho.MQTTv5 if version == 5 else paho.MQTTv311
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id, protocol=protocol)
        self.client.on_connect = self._told("connect", lambda c, u, flags, code, held: (code, held))
        self.client.on_subscribe = self._told("subscribe", lambda c, u, mid, codes, held: codes)
        self.client.on_unsubscribe = self._told("unsubscribe", lambda c, u, mid, codes, held: codes)
        self.client.on_publish = self._told("publish", lambda c, u, mid, code, held: code)
        self.client.on_message = self._told("message", lambda c, u, message: message)

    def _told(self, name: str, pick: Callable[..., Any]) -> Callable[..., None]:
        def callback(*args: Any) -> None:
            self.loop.call_soon_threadsafe(self.events.put_nowait, (name, pick(*args)))

        return callback

    async def heard(self, *names: str) -> dict[str, Any]:
        """The next events, which have to be these in some order."""
        found = dict([await asyncio.wait_for(self.events.get(), PATIENCE) for _ in names])
        assert set(found) == set(names)
        return found

    async def end(self, server: RecordingServer) -> None:
        self.client.disconnect()
        await asyncio.wait_for(server.closed.wait(), PATIENCE)
        await asyncio.to_thread(self.client.loop_stop)
        assert server.failure is None


async def test_paho_3_1_1_says_everything_and_understands() -> None:
    async with RecordingServer(GREETING) as server:
        talk = PahoTalk(4, "device1@app1")
        client = talk.client
        client.username_pw_set("ann", "pässword")
        client.will_set("last/words", b"\x00gone", 2, retain=True)
        client.connect("127.0.0.1", server.port, keepalive=17)
        client.loop_start()
        code, _ = (await talk.heard("connect"))["connect"]
        assert not code.is_failure
        client.subscribe([("a/+", 1), ("b/#", 2)])
        heard = await talk.heard("subscribe", "message")
        assert [granted.value for granted in heard["subscribe"]] == [1, 2]
        assert (heard["message"].topic, heard["message"].payload) == (GREETING.topic, GREETING.payload)
        for qos in (0, 1, 2):
            client.publish("tele/é", b"x" * 200, qos, retain=qos == 1)
            assert (await talk.heard("publish"))["publish"] == 0
        client.unsubscribe(["a/+", "b/#"])
        await talk.heard("unsubscribe")
        await talk.end(server)
    sent = [packet for packet in server.packets if not isinstance(packet, (Pubrec, Pubcomp, Pubrel))]
    assert sent == [
        Connect(
            "device1@app1",
            4,
            True,
            17,
            "ann",
            "pässword".encode(),
            Will("last/words", b"\x00gone", 2, True),
        ),
        Subscribe(1, (Subscription("a/+", 1), Subscription("b/#", 2))),
        Publish("tele/é", b"x" * 200),
        Publish("tele/é", b"x" * 200, 1, True, packet_id=3),
        Publish("tele/é", b"x" * 200, 2, packet_id=4),
        Unsubscribe(5, ("a/+", "b/#")),
        Disconnect(),
    ]
    # Both QoS 2 exchanges went all the way: theirs, and that of the greeting.
    assert {Pubrec(77), Pubcomp(77), Pubrel(4)} <= set(server.packets)


async def test_paho_5_says_everything_and_understands() -> None:
    async with RecordingServer(GREETING_5, WELCOME) as server:
        talk = PahoTalk(5, "")
        client = talk.client
        client.username_pw_set("ann", "pw")
        will_held = paho_properties(
            PacketTypes.WILLMESSAGE, WillDelayInterval=4, ContentType="text/plain", CorrelationData=b"\xff"
        )
        client.will_set("last/words", b"", 1, properties=will_held)
        held = paho_properties(
            PacketTypes.CONNECT,
            SessionExpiryInterval=3600,
            ReceiveMaximum=7,
            MaximumPacketSize=5000,
            TopicAliasMaximum=2,
            RequestProblemInformation=1,
            RequestResponseInformation=0,
            UserProperty=("fleet", "north"),
        )
        client.connect("127.0.0.1", server.port, keepalive=17, clean_start=False, properties=held)
        client.loop_start()
        code, welcome = (await talk.heard("connect"))["connect"]
        assert code == "Success"
        assert (welcome.AssignedClientIdentifier, welcome.ServerKeepAlive) == ("assigned", 33)
        assert (welcome.ReasonString, welcome.UserProperty) == ("welcome", [("server", "freehold")])
        assert (welcome.MaximumPacketSize, welcome.MaximumQoS) == (1_000_000, 1)
        client.subscribe(
            "a/+",
            options=SubscribeOptions(2, noLocal=True, retainAsPublished=True, retainHandling=1),
            properties=paho_properties(PacketTypes.SUBSCRIBE, SubscriptionIdentifier=5),
        )
        heard = await talk.heard("subscribe", "message")
        assert [granted.value for granted in heard["subscribe"]] == [2]
        message = heard["message"]
        assert (message.topic, message.payload, message.qos) == (GREETING.topic, GREETING.payload, 2)
        assert message.properties.UserProperty == [("k", "v"), ("k", "w")]
        assert message.properties.SubscriptionIdentifier == [5]
        assert (message.properties.ResponseTopic, message.properties.CorrelationData) == ("answers", b"\1\2")
        client.publish(
            "tele",
            b"{}",
            1,
            properties=paho_properties(
                PacketTypes.PUBLISH, ContentType="application/json", MessageExpiryInterval=5, UserProperty=[("a", "b")]
            ),
        )
        assert (await talk.heard("publish"))["publish"] == 0
        client.publish("", b"{}", 0, properties=paho_properties(PacketTypes.PUBLISH, TopicAlias=1))
        await talk.heard("publish")
        client.unsubscribe("a/+")
        assert [code.value for code in (await talk.heard("unsubscribe"))["unsubscribe"]] == [0x11]
        client.disconnect(reasoncode=paho.ReasonCode(PacketTypes.DISCONNECT, identifier=4))
        await talk.end(server)
    connect, subscribe, *_ = server.packets
    assert connect == Connect(
        "",
        5,
        False,
        17,
        "ann",
        b"pw",
        Will(
            "last/words",
            b"",
            1,
            properties=Properties(will_delay_interval=4, content_type="text/plain", correlation_data=b"\xff"),
        ),
        Properties(
            session_expiry_interval=3600,
            receive_maximum=7,
            maximum_packet_size=5000,
            topic_alias_maximum=2,
            request_problem_information=True,
            request_response_information=False,
            user_properties=(("fleet", "north"),),
        ),
    )
    assert subscribe == Subscribe(
        1, (Subscription("a/+", 2, True, True, 1),), Properties(subscription_identifiers=(5,))
    )
    assert [packet for packet in server.packets if isinstance(packet, Publish)] == [
        Publish(
            "tele",
            b"{}",
            1,
            packet_id=2,
            properties=Properties(
                content_type="application/json", message_expiry_interval=5, user_properties=(("a", "b"),)
            ),
        ),
        Publish("", b"{}", properties=Properties(topic_alias=1)),
    ]
    assert server.packets[-2:] == [
        Unsubscribe(4, ("a/+",)),
        Disconnect(ReasonCode.DISCONNECT_WITH_WILL_MESSAGE),
    ]


@pytest.mark.parametrize("version", [4, 5])
async def test_gmqtt_talks_with_us(version: int) -> None:
    greeting = GREETING_5 if version == 5 else GREETING
    got: asyncio.Queue[tuple[str, bytes, dict[str, Any]]] = asyncio.Queue(10)
    connected, subscribed = asyncio.Event(), asyncio.Event()
    async with RecordingServer(greeting, WELCOME) as server:
        will = gmqtt.Message("last/words", b"gone", qos=1, retain=True)
        client = gmqtt.Client("gm", will_message=will)
        client.set_auth_credentials("ann", b"pw")
        client.on_connect = lambda *_: connected.set()
        client.on_subscribe = lambda *_: subscribed.set()

        async def on_message(_client: object, topic: str, payload: bytes, _qos: int, held: dict[str, Any]) -> int:
            got.put_nowait((topic, payload, held))
            return 0

        client.on_message = on_message
        await client.connect("127.0.0.1", server.port, keepalive=21, version=version)
        await asyncio.wait_for(connected.wait(), PATIENCE)
        client.subscribe("a/#", qos=1)
        topic, payload, held = await asyncio.wait_for(got.get(), PATIENCE)
        await asyncio.wait_for(subscribed.wait(), PATIENCE)
        extra = {"content_type": "text/plain", "user_property": [("a", "b")]} if version == 5 else {}
        client.publish("tele", b"one", qos=1, **extra)
        await client.disconnect()
        await asyncio.wait_for(server.closed.wait(), PATIENCE)
    assert server.failure is None
    assert (topic, payload) == (greeting.topic, greeting.payload)
    if version == 5:
        assert held["content_type"] == ["application/octet-stream"]
        assert held["user_property"] == [("k", "v"), ("k", "w")]
    connect = server.packets[0]
    assert isinstance(connect, Connect)
    assert (connect.client_id, connect.version, connect.keep_alive) == ("gm", version, 21)
    assert (connect.user_name, connect.password) == ("ann", b"pw")
    assert connect.will == Will("last/words", b"gone", 1, True)
    published = next(packet for packet in server.packets if isinstance(packet, Publish))
    assert (published.topic, published.payload, published.qos) == ("tele", b"one", 1)
    if version == 5:
        assert published.properties == Properties(content_type="text/plain", user_properties=(("a", "b"),))
    assert isinstance(server.packets[-1], Disconnect)


async def run(command: str, *args: str) -> tuple[int, bytes, bytes]:
    process = await asyncio.create_subprocess_exec(
        command, *args, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), PATIENCE)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return process.returncode, out, err


@pytest.mark.parametrize("version", [4, 5])
async def test_mosquitto_pub_is_understood(version: int) -> None:
    command = needs("mosquitto_pub")
    name = {4: "311", 5: "5"}[version]
    extra = ["-D", "publish", "content-type", "text/plain", "-D", "publish", "user-property", "k", "v"]
    extra += ["-D", "connect", "session-expiry-interval", "9", "-D", "will", "will-delay-interval", "3"]
    async with RecordingServer(GREETING) as server:
        status, _, err = await run(
            *(command, "-V", name, "-h", "127.0.0.1", "-p", str(server.port), "-i", "mo", "-q", "2", "-r"),
            *("-u", "ann", "-P", "pw", "-k", "19", "-t", "tele/1", "-m", "héllo"),
            *("--will-topic", "w", "--will-payload", "bye", "--will-qos", "1"),
            *(extra if version == 5 else []),
        )
        assert (status, err) == (0, b"")
        await asyncio.wait_for(server.closed.wait(), PATIENCE)
    assert server.failure is None
    connect, publish, pubrel, disconnect = server.packets
    v5 = version == 5
    will = Will("w", b"bye", 1, properties=Properties(will_delay_interval=3) if v5 else Properties())
    # The receive maximum is mosquitto's own doing.
    held = Properties(session_expiry_interval=9, receive_maximum=20) if v5 else Properties()
    assert connect == Connect("mo", version, True, 19, "ann", b"pw", will, held)
    said = Properties(content_type="text/plain", user_properties=(("k", "v"),)) if v5 else Properties()
    assert publish == Publish("tele/1", "héllo".encode(), 2, True, packet_id=1, properties=said)
    assert pubrel == Pubrel(1)
    assert disconnect == Disconnect()


@pytest.mark.parametrize("version", [4, 5])
async def test_mosquitto_sub_understands(version: int) -> None:
    command = needs("mosquitto_sub")
    name = {4: "311", 5: "5"}[version]
    form = "%t|%x|%C|%R" if version == 5 else "%t|%x"
    # It takes an assigned identifier only if it came without one of its own (3.2.2.3.7).
    welcome = structs.replace(WELCOME, assigned_client_identifier=None)
    async with RecordingServer(GREETING_5 if version == 5 else GREETING, welcome) as server:
        status, out, err = await run(
            *(command, "-V", name, "-h", "127.0.0.1", "-p", str(server.port), "-i", "mo", "-C", "1"),
            *("-t", "command/inbox/#", "-q", "2", "-F", form),
        )
        await asyncio.wait_for(server.closed.wait(), PATIENCE)
    assert (status, err) == (0, b"")
    assert server.failure is None
    topic, payload, *rest = out.decode().rstrip("\n").split("|")
    assert (topic, bytes.fromhex(payload)) == (GREETING.topic, GREETING.payload)
    if version == 5:
        assert rest == ["application/octet-stream", "answers"]
    assert server.packets[1] == Subscribe(1, (Subscription("command/inbox/#", 2),))
