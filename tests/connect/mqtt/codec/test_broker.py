# SPDX-License-Identifier: Apache-2.0
"""Mosquitto's broker as the other side: it takes what our encoders write, and our decoders read
what it answers. The client here is the codec and a socket, nothing else."""

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from freehold.connect.mqtt.codec import (
    Connack,
    Connect,
    ConnectReturnCode,
    Disconnect,
    FrameReader,
    Packet,
    Pingreq,
    Pingresp,
    Properties,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    ReasonCode,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
    Will,
    check_from_server,
    decode_packet,
    encode,
)
from tests.conftest import needs

PATIENCE = 10.0


class Talk:
    """A connection to the broker that speaks in packets."""

    def __init__(self, port: int, version: int) -> None:
        self.version = version
        self.frames = FrameReader(1_000_000)
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)

    def send(self, *packets: Packet) -> None:
        self.socket.sendall(b"".join(encode(packet, self.version) for packet in packets))

    def packet(self) -> Packet:
        """The next packet; ``EOFError`` when the broker has closed."""
        while True:
            for first_byte, body in self.frames:
                packet = decode_packet(first_byte, body, self.version)
                check_from_server(packet, self.version)
                return packet
            chunk = self.socket.recv(65_536)
            if not chunk:
                raise EOFError
            self.frames.feed(chunk)

    def packets(self, count: int) -> list[Packet]:
        return [self.packet() for _ in range(count)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def started(command: str, directory: Path) -> tuple[subprocess.Popen[bytes], int]:
    """Mosquitto on a free port. It cannot be asked for any port, so one that is taken meanwhile
    ends it and the next is tried."""
    for attempt in range(5):
        port = free_port()
        settings = directory / f"mosquitto-{attempt}.conf"
        settings.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nmax_topic_alias 5\n")
        process = subprocess.Popen([command, "-c", str(settings)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE
        while process.poll() is None and time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return process, port
        process.kill()
        process.wait()
    pytest.fail("mosquitto did not start")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    process, port = started(needs("mosquitto"), tmp_path_factory.mktemp("mosquitto"))
    yield port
    process.terminate()
    process.wait(PATIENCE)


@pytest.fixture(params=[4, 5], ids=["v4", "v5"])
def talk(broker: int, request: pytest.FixtureRequest) -> Iterator[Talk]:
    talk = Talk(broker, request.param)
    yield talk
    talk.socket.close()


def connected(talk: Talk, packet: Connect) -> Connack:
    talk.send(packet)
    answer = talk.packet()
    assert isinstance(answer, Connack)
    return answer


def test_all_qualities_of_service_both_ways(talk: Talk) -> None:
    """The broker takes every packet and sends the messages back as they were."""
    version = talk.version
    v5 = version == 5
    answer = connected(talk, Connect(f"qos-{version}", version, keep_alive=60))
    assert answer.reason_code == 0
    assert not answer.session_present
    talk.send(Subscribe(9, (Subscription("tele/+", 2),), Properties(subscription_identifiers=(7,) if v5 else ())))
    assert talk.packet() == Suback(9, (ReasonCode.GRANTED_QOS_2,))
    said = (
        Properties(
            payload_format_indicator=1,
            content_type="text/plain",
            response_topic="answers/é",
            correlation_data=b"\0\xff",
            user_properties=(("k", "v"), ("k", "ü")),
        )
        if v5
        else Properties()
    )
    heard = Properties(subscription_identifiers=(7,)) if v5 else Properties()

    talk.send(Publish("tele/é", "grüße".encode(), properties=said))
    back = talk.packet()
    assert isinstance(back, Publish)
    assert (back.topic, back.payload, back.qos) == ("tele/é", "grüße".encode(), 0)
    if v5:
        assert back.properties.user_properties == said.user_properties
        assert (back.properties.content_type, back.properties.response_topic) == ("text/plain", "answers/é")
        assert (back.properties.correlation_data, back.properties.payload_format_indicator) == (b"\0\xff", 1)
        assert back.properties.subscription_identifiers == (7,)

    talk.send(Publish("tele/1", b"x" * 20_000, 1, packet_id=10))
    answers = talk.packets(2)
    assert Puback(10) in answers
    assert Publish("tele/1", b"x" * 20_000, 1, packet_id=1, properties=heard) in answers
    talk.send(Puback(1))

    talk.send(Publish("tele/2", b"", 2, packet_id=11))
    assert talk.packet() == Pubrec(11)
    talk.send(Pubrel(11))
    answers = talk.packets(2)
    assert Pubcomp(11) in answers
    assert Publish("tele/2", b"", 2, packet_id=2, properties=heard) in answers
    talk.send(Pubrec(2))
    assert talk.packet() == Pubrel(2)
    talk.send(Pubcomp(2), Pingreq(), Unsubscribe(12, ("tele/+", "other")))
    codes = (ReasonCode.SUCCESS, ReasonCode.NO_SUBSCRIPTION_EXISTED) if v5 else ()
    assert talk.packets(2) == [Pingresp(), Unsuback(12, codes)]
    talk.send(Disconnect())
    with pytest.raises(EOFError):
        talk.packet()


def test_a_will_is_stored_and_published(talk: Talk, broker: int) -> None:
    version = talk.version
    connected(talk, Connect(f"heir-{version}", version))
    talk.send(Subscribe(1, (Subscription(f"last/{version}", 1),)))
    assert isinstance(talk.packet(), Suback)
    said = Properties(content_type="text/plain", user_properties=(("a", "b"),)) if version == 5 else Properties()
    dying = Talk(broker, version)
    will = Will(f"last/{version}", b"words", 1, properties=said)
    connected(dying, Connect(f"dying-{version}", version, user_name="u", password=b"p", will=will))
    dying.socket.close()
    assert talk.packet() == Publish(f"last/{version}", b"words", 1, packet_id=1, properties=said)


def test_connect_properties_and_an_assigned_identifier(broker: int) -> None:
    talk = Talk(broker, 5)
    asked = Properties(
        session_expiry_interval=0,
        receive_maximum=5,
        maximum_packet_size=2000,
        topic_alias_maximum=3,
        request_problem_information=True,
        request_response_information=True,
        user_properties=(("fleet", "north"),),
    )
    answer = connected(talk, Connect("", 5, properties=asked))
    assert answer.reason_code is ReasonCode.SUCCESS
    assert answer.properties.assigned_client_identifier
    talk.send(
        Subscribe(1, (Subscription("$share/group/a", 1), Subscription("b", 2, True, True, 2))),
        Publish("a", b"1", 0, properties=Properties(topic_alias=2)),
        Publish("", b"2", 0, properties=Properties(topic_alias=2)),
    )
    assert talk.packet() == Suback(1, (ReasonCode.GRANTED_QOS_1, ReasonCode.GRANTED_QOS_2))
    received = [packet.payload for packet in talk.packets(2) if isinstance(packet, Publish)]
    assert received == [b"1", b"2"]
    talk.send(Disconnect(ReasonCode.DISCONNECT_WITH_WILL_MESSAGE, Properties(session_expiry_interval=0)))
    with pytest.raises(EOFError):
        talk.packet()
    talk.socket.close()


def test_refusals_of_the_broker_are_read(broker: int) -> None:
    """3.1.1: empty identifier without clean session is code 2; 5.0: an unknown method is 0x8C."""
    old, new = Talk(broker, 4), Talk(broker, 5)
    assert connected(old, Connect("", 4, False)) == Connack(False, ConnectReturnCode.IDENTIFIER_REJECTED)
    method = Properties(authentication_method="SCRAM-SHA-1", authentication_data=b"n,,n=user")
    assert connected(new, Connect("auth", 5, properties=method)).reason_code is ReasonCode.BAD_AUTHENTICATION_METHOD
    old.socket.close()
    new.socket.close()


def test_a_disconnect_of_the_broker_is_read(broker: int) -> None:
    """Its topic alias maximum is 5."""
    talk = Talk(broker, 5)
    assert connected(talk, Connect("alias", 5)).properties.topic_alias_maximum == 5
    talk.send(Publish("a", properties=Properties(topic_alias=6)))
    assert talk.packet() == Disconnect(ReasonCode.TOPIC_ALIAS_INVALID)
    with pytest.raises(EOFError):
        talk.packet()
    talk.socket.close()
