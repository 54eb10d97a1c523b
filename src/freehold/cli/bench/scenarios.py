# SPDX-License-Identifier: Apache-2.0
"""The scenarios: what is sent, and which figures come out of it. Each returns rows for the report."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

import msgspec

from freehold.cli.bench import peers, subject, watch
from freehold.cli.bench.load import Job, Result
from freehold.cli.bench.subject import Platform
from freehold.cli.bench.watch import Figures
from freehold.cli.setup import owner_of

PAYLOAD = b'{"temperature":21.53,"humidity":40.1,"pressure":1013,"ok":true,"note":"one hundred bytes, all told"}'
"""100 bytes of JSON."""
FOUR_FIELDS = b'{"temperature":21.53,"humidity":40.1,"pressure":1013.2,"battery":3.71}'
IDENTITY = "def main(data):\n    return data\n"

Peer = Callable[[int], AbstractAsyncContextManager[int]]


@dataclass(frozen=True)
class Bench:
    """A platform to measure, and for how long."""

    platform: Platform
    users: list[tuple[str, str]]
    seconds: float
    with_peers: bool


async def mqtt_window(bench: Bench) -> list[Figures]:
    """QoS 1, 50 connections, 20 in flight each: durable before PUBACK."""
    job = Job("mqtt", bench.platform.mqtt, bench.users[:50], 20, bench.seconds, PAYLOAD)
    return await _beside(bench, "mqtt-qos1-window20", job, {"mosquitto": peers.mosquitto, "amqtt": peers.amqtt})


async def mqtt_single(bench: Bench) -> list[Figures]:
    """QoS 1, 50 connections, one in flight each, as devices do."""
    job = Job("mqtt", bench.platform.mqtt, bench.users[:50], 1, bench.seconds, PAYLOAD, latencies=True)
    return await _beside(bench, "mqtt-qos1-window1", job, {"mosquitto": peers.mosquitto, "amqtt": peers.amqtt})


async def http(bench: Bench) -> list[Figures]:
    """HTTP POST with Basic authentication, 64 keep-alive connections, durable before 202."""
    users = [bench.users[number % len(bench.users)] for number in range(64)]
    job = Job("http", bench.platform.http, users, 1, bench.seconds, PAYLOAD, latencies=True)
    return await _beside(bench, "http-post", job, {"uvicorn-asgi": peers.asgi})


async def whole_path(bench: Bench, rate: float = 20_500.0) -> list[Figures]:
    """MQTT QoS 1 → log → processor (identity) → stored row, four fields an event, at a steady rate."""
    seconds = max(bench.seconds, 60.0)
    platform = bench.platform
    owner = await asyncio.to_thread(owner_of, platform.settings, platform.url)
    async with owner.client() as api:
        await owner.activate_processor(api, subject.APPLICATION, IDENTITY, "identity")
        job = Job("mqtt", platform.mqtt, bench.users[:50], 1000, seconds, FOUR_FIELDS, rate=rate, topic="path")
        probe = asyncio.create_task(watch.probe_rows(platform, bench.users[-1], seconds))
        memory = asyncio.create_task(watch.watch_memory(platform, seconds))
        sent = await subject.load(job)
        waits = await probe
        growth = await memory
        stored, caught_up = await watch.rows_stored(api, "path", sent.acknowledged)
    waits.sort()
    row = _figures("whole-path", "freehold", sent)
    row |= {
        "rows_stored": stored,
        "missing": sent.acknowledged - stored,
        "caught_up_s": round(caught_up, 2),
        "row_p50_ms": round(waits[len(waits) // 2] * 1000, 1) if waits else None,
        "row_p99_ms": round(waits[int(len(waits) * 0.99)] * 1000, 1) if waits else None,
        **growth,
    }
    return [row]


async def overload(bench: Bench) -> list[Figures]:
    """Ten times what the windows of scenario one hold: refusals in MQTT's words, nothing acknowledged lost."""
    seconds = max(bench.seconds, 60.0)
    platform = bench.platform
    before = await watch.logged_events(platform)
    # Version 5, because only it has a word for "quota exceeded"; each connection fills its whole window.
    users = bench.users[:500]
    job = Job("mqtt", platform.mqtt, users, 256, seconds, PAYLOAD, version=5)
    memory = asyncio.create_task(watch.watch_memory(platform, seconds))
    sent = await subject.load(job)
    growth = await memory
    recovered = await watch.recovery(platform, bench.users[-1])
    in_log = await watch.logged_events(platform) - before
    row = _figures("overload", "freehold", sent)
    row |= {"in_log": in_log, "acknowledged_lost": max(0, sent.acknowledged - in_log), **growth}
    row["back_to_normal_s"] = round(recovered, 2)
    return [row]


async def idle(bench: Bench, connections: int = 5000) -> list[Figures]:
    """Memory of the endpoint process for each idle MQTT connection."""
    platform = bench.platform
    users = await _devices(platform, connections, "idle")
    pid = platform.role("endpoint")
    before = subject.resident_bytes(pid)
    holding = asyncio.create_task(subject.load(Job("mqtt", platform.mqtt, users, 1, 12.0, PAYLOAD, publish=False)))
    await asyncio.sleep(9.0)
    grown = subject.resident_bytes(pid) - before
    held = await holding
    return [
        {
            "scenario": "idle-connections",
            "subject": "freehold",
            "connections": held.connected,
            "kb_per_connection": round(grown / max(1, held.connected) / 1024, 2),
        }
    ]


async def reconnect(bench: Bench, connections: int = 5000, chosen: int = 400) -> list[Figures]:
    """A fleet comes back at once, with generated secrets or (fewer) chosen passwords; others publish on."""
    platform = bench.platform
    rows: list[Figures] = []
    generated = await _devices(platform, connections, "fleet")
    words = [f"correct horse {number}" for number in range(chosen)]
    people_chose = await _devices(platform, chosen, "chosen", words)
    fleets = {"generated": generated, "chosen-first-time": people_chose, "chosen-again": people_chose}
    for kind, users in fleets.items():
        neighbour = asyncio.create_task(
            subject.load(Job("mqtt", platform.mqtt, bench.users[:10], 1, 5.0, PAYLOAD, rate=500, latencies=True))
        )
        await asyncio.sleep(1.0)
        fleet = await subject.load(Job("mqtt", platform.mqtt, users, 1, 0.2, PAYLOAD, publish=False))
        others = await neighbour
        rows.append(
            {
                "scenario": "reconnect",
                "subject": kind,
                "connections": fleet.connected,
                "all_connected_s": round(fleet.connect_seconds, 2),
                "neighbour_p99_ms": others.p99_ms and round(others.p99_ms, 1),
            }
        )
    return rows


SCENARIOS = {
    "mqtt-window": mqtt_window,
    "mqtt-single": mqtt_single,
    "http": http,
    "path": whole_path,
    "overload": overload,
    "idle": idle,
    "reconnect": reconnect,
}


# --- helpers -----------------------------------------------------------------------------------------


async def _devices(
    platform: Platform, count: int, prefix: str, secrets: list[str] | None = None
) -> list[tuple[str, str]]:
    return await asyncio.to_thread(subject.create_devices, platform.settings, count, prefix=prefix, secrets=secrets)


async def _beside(bench: Bench, scenario: str, job: Job, others: dict[str, Peer]) -> list[Figures]:
    """Ours, then each peer with the same job, and the ratio of ours to theirs."""
    rows = [_figures(scenario, "freehold", await subject.load(job))]
    if not bench.with_peers:
        return rows
    for name, peer in others.items():
        try:
            async with peer(bench.platform.settings.port_offset + 17_000) as port:
                theirs = await subject.load(msgspec.structs.replace(job, port=port))
        except peers.PeerMissing as missing:
            rows.append({"scenario": scenario, "subject": name, "note": str(missing)})
            continue
        row = _figures(scenario, name, theirs)
        row["freehold_ratio"] = round(float(rows[0]["per_second"] or 0) / max(1.0, theirs.per_second), 2)
        rows.append(row)
    return rows


def _figures(scenario: str, name: str, result: Result) -> Figures:
    return {
        "scenario": scenario,
        "subject": name,
        "per_second": round(result.per_second),
        "acknowledged": result.acknowledged,
        "refused": result.refused,
        "lost_connections": result.lost_connections,
        "p50_ms": None if result.p50_ms is None else round(result.p50_ms, 2),
        "p99_ms": None if result.p99_ms is None else round(result.p99_ms, 2),
        "generator_cpu": f"{result.cpu_share * 100:.0f} %",
    }
