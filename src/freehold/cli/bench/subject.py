# SPDX-License-Identifier: Apache-2.0
"""The platform under measurement: `freehold up` as users run it, in a process group of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from freehold.cli.bench.load import Job, Result
from freehold.core.settings import Settings
from freehold.runtime import engines
from freehold.vault import secret_text

APPLICATION = "bench"
START_SECONDS = 60.0


@dataclass
class Platform:
    """A running `freehold up`."""

    settings: Settings
    process: asyncio.subprocess.Process

    @property
    def mqtt(self) -> int:
        return self.settings.port(self.settings.mqtt.port)

    @property
    def url(self) -> str:
        """Console and management API."""
        return f"http://127.0.0.1:{self.settings.port(self.settings.api.port)}"

    @property
    def http(self) -> int:
        return self.settings.port(self.settings.http.port)

    def role(self, name: str) -> int:
        """Pid of a role's process. Raises LookupError when it is not there."""
        for pid, words in _children(self.process.pid):
            if "freehold.runtime.child" in words and name in words:
                return pid
        raise LookupError(name)

    def kill(self) -> None:
        """SIGKILL to every process of the platform at once: what a power cut looks like to it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)


async def start(settings: Settings) -> Platform:
    """Start and wait until all roles are ready. Raises RuntimeError with the last lines when they are not."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "freehold", "up", "--data", str(settings.data)),
        *("--port-offset", str(settings.port_offset), "--log-level", "error"),
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    platform = Platform(settings, process)
    lines: list[str] = []
    try:
        async with asyncio.timeout(START_SECONDS):
            assert process.stdout is not None
            async for line in process.stdout:
                lines.append(line.decode().rstrip())
                if "http://" in lines[-1]:
                    # It prints its address last, after every role was ready. Keep the pipe from filling up.
                    asyncio.get_running_loop().create_task(process.stdout.read())
                    return platform
    except BaseException:
        platform.kill()
        raise
    raise RuntimeError("freehold up ended: " + " / ".join(lines[-5:]))


async def stop(platform: Platform) -> None:
    """Ask it to end and wait; kill what does not."""
    if platform.process.returncode is None:
        platform.process.terminate()
        try:
            async with asyncio.timeout(40):
                await platform.process.wait()
        except TimeoutError:
            platform.kill()
            await platform.process.wait()


@contextlib.asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Platform]:
    platform = await start(settings)
    try:
        yield platform
    finally:
        await stop(platform)


def create_devices(
    settings: Settings,
    count: int,
    *,
    application: str = APPLICATION,
    prefix: str = "device",
    secrets: list[str] | None = None,
) -> list[tuple[str, str]]:
    """(user, password) of devices made in an application, which is made where it is missing: with generated secrets,
    or with the chosen `secrets`.

    Uses the registry's own bulk call on the data directory: 5,000 by HTTP would be most of the run.
    """
    identity, registry = engines.identity(settings), engines.registry(settings)
    tenant = identity.principal(identity.first_owner()).tenant
    if not any(each.metadata["name"] == application for each in registry.list_applications(tenant)):
        registry.create_application(tenant, {"metadata": {"name": application}})
    names = [f"{prefix}-{number}" for number in range(count)]
    words = secrets or [secret_text.generate(secret_text.DEVICE) for _ in names]
    registry.create_devices(
        tenant,
        [
            {
                "metadata": {"name": name, "application": application},
                "spec": {"authentication": {"credentials": [{"pass": word}]}},
            }
            for name, word in zip(names, words, strict=True)
        ],
    )
    return [(f"{name}@{application}", word) for name, word in zip(names, words, strict=True)]


async def load(job: Job, *, users: list[tuple[str, str]] | None = None) -> Result:
    """Run a job in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from freehold.cli.bench.load import main; main()"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    job = msgspec.structs.replace(job, users=users) if users is not None else job
    out, _ = await process.communicate(msgspec.json.encode(job))
    if process.returncode != 0:
        raise RuntimeError(f"the load generator ended with status {process.returncode}")
    return msgspec.json.decode(out, type=Result)


def resident_bytes(pid: int) -> int:
    """Resident memory of a process (Linux)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def _children(parent: int) -> Iterator[tuple[int, list[str]]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                stat = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                if int(stat[1]) == parent:
                    words = (entry / "cmdline").read_bytes().split(b"\0")
                    yield int(entry.name), [word.decode(errors="replace") for word in words]
