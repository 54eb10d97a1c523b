# SPDX-License-Identifier: Apache-2.0
"""`freehold bench`: how fast is it here? One `freehold up` with default settings, a load generator beside it.

`--peers` measures the named peers with the same load in the same run (`make bench` prepares them). Figures of
one machine in one hour compare; figures of two machines do not.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform as machine
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from freehold import __version__
from freehold.cli.bench import subject
from freehold.cli.bench.scenarios import SCENARIOS, Bench
from freehold.cli.bench.watch import Figures
from freehold.cli.main import add_settings, settings_of
from freehold.core.settings import Settings

DEVICES = 501


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--scenario", action="append", choices=SCENARIOS, help="run only this one (may be given several times)"
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="length of each load (default: 10)")
    parser.add_argument("--peers", action="store_true", help="measure the named peers in the same run")
    parser.add_argument("--json", action="store_true", help="print one JSON object with all figures as the last line")
    add_settings(parser)


def run(options: argparse.Namespace) -> int:
    settings = settings_of(options)
    with contextlib.ExitStack() as stack:
        if options.data is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="freehold-bench-"))
            settings = replace(settings, data=Path(folder))
        rows = asyncio.run(_bench(settings, options.scenario or list(SCENARIOS), options.seconds, options.peers))
    if options.json:
        print(json.dumps({"machine": _machine(), "version": __version__, "figures": rows}), flush=True)
    return 0


async def _bench(settings: Settings, names: list[str], seconds: float, with_peers: bool) -> list[Figures]:
    """Each scenario on a fresh platform: what one leaves behind must not slow the next."""
    rows: list[Figures] = []
    for name in names:
        scenario = SCENARIOS[name]
        print(f"· {name}: {(scenario.__doc__ or '').splitlines()[0]}", flush=True)
        own = replace(settings, data=settings.data / name)
        async with subject.running(own) as platform:
            users = await asyncio.to_thread(subject.create_devices, own, DEVICES)
            made = await scenario(Bench(platform, users, seconds, with_peers))
        for row in made:
            print("    " + _line(row), flush=True)
        rows += made
    return rows


def _line(row: Figures) -> str:
    shown = {name: value for name, value in row.items() if name != "scenario" and value is not None}
    return "  ".join(f"{name.replace('_', ' ')} {value}" for name, value in shown.items())


def _machine() -> dict[str, str | int | float]:
    return {
        "system": f"{machine.system()} {machine.release()}",
        "python": machine.python_version(),
        "cores": os.cpu_count() or 0,
        "load_average": os.getloadavg()[0],
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }
