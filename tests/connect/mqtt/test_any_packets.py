# SPDX-License-Identifier: Apache-2.0
"""Whatever comes: arbitrary packets and bytes at a live endpoint, beside a neighbour that must go on.

One house serves all examples. After each, the stranger's connection and its tasks are gone, nothing was
logged as a fault of ours, and what was acknowledged is what the log took.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freehold.connect.mqtt.codec import EncodeError, Packet, Properties, Publish, Subscribe, Subscription, encode
from tests.connect.mqtt.codec import strategies
from tests.connect.mqtt.wire import Wire, telemetry
from tests.contract.house import PATIENCE, Furnished, House

TOPICS = (
    st.sampled_from(["telemetry", "telemetry/dev2", "telemetry/nobody", "a/b/c", "/", "ä"]) | strategies.topic_names
)
SENSIBLE = st.builds(
    Publish,
    topic=TOPICS,
    payload=st.binary(max_size=50),
    qos=st.sampled_from([0, 1]),
    packet_id=st.integers(1, 65_535),
    properties=st.just(Properties()) | st.builds(Properties, content_type=st.sampled_from(["application/json", "x"])),
)
INBOXES = st.builds(
    Subscribe,
    packet_id=st.integers(1, 65_535),
    subscriptions=st.tuples(
        st.builds(Subscription, topic_filter=st.sampled_from(["command/inbox/#", "command/inbox//#", "x"]))
    ),
)
"""What a device might send on a good day, so that examples get past the first packet."""


def wire_bytes(packet: Packet, version: int) -> bytes:
    if isinstance(packet, Publish) and not packet.qos:
        packet = Publish(packet.topic, packet.payload, properties=packet.properties)
    try:
        return encode(packet, version)
    except EncodeError:
        return b""  # nothing that this version can say


STEPS = st.lists(
    SENSIBLE | INBOXES | strategies.packets(5) | strategies.packets(4) | st.binary(min_size=1, max_size=40),
    max_size=12,
)


class Scene:
    """A house with a connected neighbour, in a loop of its own, which hypothesis' examples enter in turn."""

    def __init__(self, root: Path, furnished: Furnished, make_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
        self._runner = asyncio.Runner(loop_factory=make_loop)
        self._secrets = furnished.secrets
        self._numbers = 0
        self._house, self._neighbour = self._runner.run(self._enter(furnished.copy(root)))

    async def _enter(self, root: Path) -> tuple[House, Wire]:
        house = await House(root, {"mqtt.connect_timeout_seconds": 3600}).__aenter__()
        neighbour = await Wire.open(house.mqtt.port)
        await neighbour.connect("device2@app1", self._secrets["device2"])
        return house, neighbour

    def close(self) -> None:
        async def leave() -> None:
            await self._neighbour.close()
            await self._house.__aexit__(None, None, None)

        self._runner.run(leave())
        self._runner.close()

    def play(self, version: int, data: list[bytes], hello: bool, together: bool) -> None:
        with structlog.testing.capture_logs() as logged:
            self._runner.run(self._play(version, data, hello, together))
        assert [line for line in logged if line["log_level"] in ("error", "critical")] == []

    async def _play(self, version: int, data: list[bytes], hello: bool, together: bool) -> None:
        stranger = await Wire.open(self._house.mqtt.port, version)
        if hello:
            data = [encode(stranger.connect_packet("gw1@app1", self._secrets["gw1"]), version), *data]
        for piece in [b"".join(data)] if together else data:
            stranger.send_bytes(piece)
            await asyncio.sleep(0)
        self._numbers = self._numbers % 65_535 + 1
        self._neighbour.send(telemetry(self._numbers))
        answer = await self._neighbour.receive()
        assert answer.packet_id == self._numbers  # type: ignore[attr-defined]
        assert not answer.reason_code  # type: ignore[attr-defined]
        await stranger.close()
        endpoint = self._house.mqtt
        async with asyncio.timeout(PATIENCE):
            while endpoint.open_connections > 1 or endpoint._tasks or endpoint._announcer.waiting:
                await asyncio.sleep(0.001)
        assert endpoint.connected_devices == 1
        assert not self._house.inboxes
        assert not endpoint._changed


@pytest.fixture(scope="module", params=[uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
def scene(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, furnished: Furnished
) -> Iterator[Scene]:
    made = Scene(tmp_path_factory.mktemp("scene"), furnished, request.param)
    yield made
    made.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.sampled_from([4, 5]), STEPS, st.booleans() | st.just(True), st.booleans())
def test_anything_at_all(scene: Scene, version: int, steps: list[Packet | bytes], hello: bool, together: bool) -> None:
    data = [step if isinstance(step, bytes) else wire_bytes(step, version) for step in steps]
    scene.play(version, data, hello, together)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from([4, 5]), st.lists(SENSIBLE, min_size=1, max_size=8), st.data())
def test_damaged_streams(scene: Scene, version: int, packets: list[Packet], data: st.DataObject) -> None:
    """Right packets with one byte changed, cut out or put in between."""
    stream = bytearray(b"".join(wire_bytes(packet, version) for packet in packets))
    place = data.draw(st.integers(0, max(len(stream) - 1, 0)))
    stream[place : place + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    scene.play(version, [bytes(stream)], True, True)
