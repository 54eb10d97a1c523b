# SPDX-License-Identifier: Apache-2.0
"""The named peers, measured in the same run on the same machine with the same load.

None of them stores what it acknowledges: mosquitto and amqtt pass messages to nobody, uvicorn's bare ASGI
application reads the body and answers. TCP_NODELAY is on for all (asyncio sets it; mosquitto by option).
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

MOSQUITTO = """\
listener {port} 127.0.0.1
allow_anonymous true
persistence false
set_tcp_nodelay true
max_inflight_messages 0
max_queued_messages 0
log_type error
"""

AMQTT = """
import asyncio, sys
from amqtt.broker import Broker
async def main():
    broker = Broker({"listeners": {"default": {"type": "tcp", "bind": "127.0.0.1:%s" % sys.argv[1]}},
                     "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}})
    await broker.start()
    await asyncio.Event().wait()
asyncio.run(main())
"""

ASGI = """
import sys, uvicorn
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    more = True
    while more:
        more = (await receive()).get("more_body", False)
    await send({"type": "http.response.start", "status": 202, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})
uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error", access_log=False,
            loop="uvloop", http="httptools")
"""


class PeerMissing(RuntimeError):
    """This peer is not installed; says how to get it."""


@contextlib.asynccontextmanager
async def mosquitto(port: int) -> AsyncIterator[int]:
    program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
    if not Path(program).exists():
        raise PeerMissing("mosquitto is not installed (Debian: apt-get install mosquitto)")
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as config:
        config.write(MOSQUITTO.format(port=port))
        config.flush()
        Path(config.name).chmod(0o644)
        async with _running(program, "-c", config.name, port=port):
            yield port


@contextlib.asynccontextmanager
async def amqtt(port: int) -> AsyncIterator[int]:
    program = shutil.which("amqtt")
    if program is None:
        raise PeerMissing("amqtt is not installed: `make bench` prepares it")
    # Beside the program is the Python of its environment (`scripts/bench-peers`): its dependencies stay out of ours.
    async with _running(str(Path(program).with_name("python")), "-c", AMQTT, str(port), port=port):
        yield port


@contextlib.asynccontextmanager
async def asgi(port: int) -> AsyncIterator[int]:
    async with _running(sys.executable, "-c", ASGI, str(port), port=port):
        yield port


@contextlib.asynccontextmanager
async def _running(*command: str, port: int) -> AsyncIterator[None]:
    """Run a peer until the body ends; the body begins when the port answers."""
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(20):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    break
                except OSError:
                    if process.returncode is not None:
                        raise PeerMissing(f"{command[0]} ended with status {process.returncode}") from None
                    await asyncio.sleep(0.05)
        yield
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
