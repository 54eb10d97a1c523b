# SPDX-License-Identifier: Apache-2.0
"""What the endpoint says of itself: metrics and log lines, none of them with a secret or without a bound."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from freehold.connect.mqtt.codec import Properties
from freehold.core.metrics import MetricSet
from tests.connect.mqtt.wire import Wire, connected, telemetry, until
from tests.contract.house import House


def samples(metrics: MetricSet) -> dict[str, float]:
    lines = metrics.exposition().decode().splitlines()
    pairs = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs}


async def test_metrics(house: House, secrets: Mapping[str, str]) -> None:
    metrics = MetricSet()
    house.mqtt.register(metrics)
    async with connected(house, "device1", secrets["device1"]) as first:
        second = await Wire.open(house.mqtt.port)
        await second.connect("device1@app1", secrets["device1"])
        await first.rest()
        second.send(telemetry(1, topic="a/b/c"), telemetry(2, topic="a/b/c"), telemetry(3, topic="telemetry/no"))
        await second.receive_many(3)
        (await Wire.open(house.mqtt.port)).send_bytes(b"GET / HTTP/1.1\r\n\r\n")
        refused = await Wire.open(house.mqtt.port)
        await refused.connect("device1@app1", "wrong")
        await refused.close()
        await until(lambda: house.mqtt.numbers.cut, "the browser is cut")
        second.send_bytes(b"\x00\x00")
        await second.rest()
        await second.close()
    await until(lambda: not house.mqtt.open_connections, "all are gone")
    said = samples(metrics)
    assert said["freehold_mqtt_connections_total"] == 2
    assert said["freehold_mqtt_takeovers_total"] == 1
    assert said["freehold_mqtt_connections_cut_total"] == 1
    assert said["freehold_mqtt_protocol_errors_total"] == 1
    assert said["freehold_mqtt_timeouts_total"] == 0
    assert said['freehold_mqtt_refusals_total{code="event.channel.invalid"}'] == 2
    assert said['freehold_mqtt_refusals_total{code="device.not-permitted"}'] == 1
    assert said['freehold_mqtt_refusals_total{code="device.credentials.rejected"}'] == 1
    assert said["freehold_mqtt_connections_open"] == said["freehold_mqtt_devices_connected"] == 0
    assert said["freehold_mqtt_announcements_waiting"] == said["freehold_mqtt_announcements_lost_total"] == 0


async def test_a_flood_of_refusals_writes_one_line_a_minute(house: House, secrets: Mapping[str, str]) -> None:
    with structlog.testing.capture_logs() as logged:
        async with connected(house, "device1", secrets["device1"]) as wire:
            long = "x" * 10_000 + "/y/z"
            wire.send(*(telemetry(number, topic=long) for number in range(1, 101)))
            await wire.receive_many(100)
        for _ in range(20):
            stranger = await Wire.open(house.mqtt.port, 4)
            stranger.send_bytes(b"\x10\x03\x00\x00\x00")
            await stranger.rest()
            await stranger.close()
    refusals = [line for line in logged if line["event"] == "publish refused"]
    assert len(refusals) == 1
    assert len(refusals[0]["topic"]) <= 200
    assert house.mqtt.numbers.refused["event.channel.invalid"] == 100
    assert len([line for line in logged if line["event"] == "protocol error"]) == 1
    assert house.mqtt.numbers.protocol_errors == 20


async def test_secrets_are_in_no_line(house: House, secrets: Mapping[str, str]) -> None:
    with structlog.testing.capture_logs() as logged:
        for user, password in (("device1@app1", "hunter2"), ("device1@app1", "hunter2" * 1000), ("x", "hunter2")):
            wire = await Wire.open(house.mqtt.port)
            await wire.connect(user, password)
            await wire.close()
        async with connected(house, "device1", secrets["device1"]) as wire:
            odd = Properties(content_type="application/json")
            wire.send(telemetry(1, b"hunter2", properties=odd), telemetry(2, topic="a/b/c"))
            await wire.receive_many(2)
            wire.send_bytes(b"\xf0\x00")
            await wire.rest()
    assert logged
    assert "hunter2" not in repr(logged)
    assert secrets["device1"] not in repr(logged)


async def test_a_fault_of_ours_ends_one_connection(house: House, secrets: Mapping[str, str]) -> None:
    """An exception that nobody foresaw: logged with its trace, said as such, and the neighbour goes on."""
    async with (
        connected(house, "device1", secrets["device1"]) as victim,
        connected(house, "device2", secrets["device2"]) as neighbour,
    ):

        def broken(*_: object) -> None:
            raise ZeroDivisionError("nobody foresaw this")

        connection = house.mqtt._devices["app1", "device1"]
        assert connection._publisher is not None
        connection._publisher._dialect = broken  # type: ignore[assignment]
        with structlog.testing.capture_logs() as logged:
            victim.send(telemetry(1))
            (disconnect,) = await victim.rest()
        assert "internal" in disconnect.properties.reason_string  # type: ignore[attr-defined]
        assert "nobody foresaw" not in disconnect.properties.reason_string  # type: ignore[attr-defined]
        assert [line["log_level"] for line in logged] == ["error"]
        neighbour.send(telemetry(1))
        assert (await neighbour.receive()).packet_id == 1  # type: ignore[attr-defined]
