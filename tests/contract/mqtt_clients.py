# SPDX-License-Identifier: Apache-2.0
"""Unmodified MQTT clients for contract tests: Mosquitto's by subprocess, paho in its own thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tests.conftest import needs
from tests.contract.house import PATIENCE, House

VERSIONS = (4, 5)
_MOSQUITTO_VERSION = {4: "311", 5: "5"}
_PAHO_VERSION = {4: paho.MQTTv311, 5: paho.MQTTv5}


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    status: int
    output: str
    errors: str


class Mosquitto:
    """A running mosquitto_pub or mosquitto_sub."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, name: str, house: House, version: int, *arguments: str) -> Mosquitto:
        """`name` is `pub` or `sub`."""
        process = await asyncio.create_subprocess_exec(
            needs(f"mosquitto_{name}"),
            *("-h", "127.0.0.1", "-p", str(house.mqtt.port), "-V", _MOSQUITTO_VERSION[version]),
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        return cls(process)

    async def end(self) -> Ended:
        try:
            output, errors = await asyncio.wait_for(self._process.communicate(), PATIENCE)
        except TimeoutError:
            self._process.kill()
            raise
        assert self._process.returncode is not None
        return Ended(self._process.returncode, output.decode(), errors.decode())


async def mosquitto_pub(house: House, version: int, *arguments: str) -> Ended:
    return await (await Mosquitto.start("pub", house, version, *arguments)).end()


class Paho:
    """A paho client (callback API 2) whose callbacks are handed to the event loop."""

    def __init__(self, version: int, user: str | None, password: str | None, client_id: str = "") -> None:
        self._loop = asyncio.get_running_loop()
        self._told: asyncio.Queue[tuple[str, Any]] = asyncio.Queue(1000)
        self.version = version
        self.client = paho.Client(
            paho.CallbackAPIVersion.VERSION2, client_id, protocol=_PAHO_VERSION[version], reconnect_on_failure=False
        )
        self.client.username_pw_set(user, password)
        self.client.on_connect = self._tell("connect", lambda c, u, flags, code, held: (code.value, held))
        self.client.on_subscribe = self._tell("subscribe", lambda c, u, mid, codes, held: [x.value for x in codes])
        self.client.on_unsubscribe = self._tell("unsubscribe", lambda c, u, mid, codes, held: [x.value for x in codes])
        self.client.on_publish = self._tell("publish", lambda c, u, mid, code, held: (code.value, held))
        self.client.on_message = self._tell("message", lambda c, u, message: message)
        self.client.on_disconnect = self._tell("disconnect", lambda c, u, flags, code, held: (code.value, held))

    def _tell(self, name: str, pick: Callable[..., Any]) -> Callable[..., None]:
        def callback(*arguments: Any) -> None:
            self._loop.call_soon_threadsafe(self._told.put_nowait, (name, pick(*arguments)))

        return callback

    async def heard(self, name: str) -> Any:
        """What the next callback brought, which has to be this one."""
        said, value = await asyncio.wait_for(self._told.get(), PATIENCE)
        assert said == name, (said, value)
        return value

    async def connect(self, house: House, **fields: Any) -> tuple[int, Any]:
        """(code, properties) of the CONNACK."""
        await asyncio.to_thread(self.client.connect, "127.0.0.1", house.mqtt.port, **fields)
        self.client.loop_start()
        answer: tuple[int, Any] = await self.heard("connect")
        return answer

    async def publish(self, topic: str, payload: bytes | str, qos: int = 1, **held: Any) -> tuple[int, Any]:
        """(reason code, properties) of the PUBACK; of nothing but the sending with QoS 0."""
        self.client.publish(topic, payload, qos, properties=self.properties(PacketTypes.PUBLISH, **held))
        answer: tuple[int, Any] = await self.heard("publish")
        return answer

    async def subscribe(self, topic_filter: str, qos: int = 0, **held: Any) -> list[int]:
        """The codes of the SUBACK."""
        self.client.subscribe(topic_filter, qos, properties=self.properties(PacketTypes.SUBSCRIBE, **held))
        codes: list[int] = await self.heard("subscribe")
        return codes

    def properties(self, kind: int, **held: Any) -> Properties | None:
        if not held:
            return None
        made = Properties(kind)
        for name, value in held.items():
            setattr(made, name, value)
        return made

    async def end(self) -> None:
        self.client.disconnect()
        await asyncio.to_thread(self.client.loop_stop)


@asynccontextmanager
async def paho_client(
    house: House, version: int, user: str, password: str, client_id: str = "", **fields: Any
) -> AsyncIterator[Paho]:
    """A connected paho client that disconnects at the end."""
    client = Paho(version, user, password, client_id)
    code, _ = await client.connect(house, **fields)
    assert code == 0
    try:
        yield client
    finally:
        await client.end()
