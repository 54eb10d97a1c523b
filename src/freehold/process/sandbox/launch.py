# SPDX-License-Identifier: Apache-2.0
"""Starting a worker's process, talking to it, and making sure that it is gone.

The process is started by the thread of the event loop (`Popen` returns within a few milliseconds): the
kernel ends a worker when the *thread* that started it ends, so a pool's thread would not do.

bubblewrap's monitor and its process 1 stay above the worker. When this process dies the monitor dies, then
process 1, and with it the kernel ends everything in the sandbox, whatever the script did to its signals.
In ordinary life the worker is killed first and the others follow by themselves, so that each is reaped by
its parent, also where nobody else would do it (Freehold as process 1 of a container).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import struct
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from freehold.process.guest.channel import HELLO

BUFFERED = 1_048_576
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
CREDENTIALS = struct.Struct("=iII")
"""struct ucred: pid, uid, gid."""


class NotStarted(Exception):
    """The process did not come up; the text is its last line of output, or what the system said."""


@dataclass(slots=True)
class Launched:
    """A running worker. `pid`, `uid` and `gid` are those that the worker has on this machine."""

    pid: int
    uid: int
    gid: int
    popen: subprocess.Popen[bytes]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    _pidfd: int
    _output: int

    def alive(self) -> bool:
        return self.popen.poll() is None

    def cpu_seconds(self) -> float:
        """CPU time that the worker has used, 0.0 when it is gone."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS

    def output(self) -> bytes:
        """What the process (and bubblewrap) wrote since the last call, as far as the pipe holds it."""
        return _read_output(self._output)

    def ask_where(self) -> None:
        """Have the worker write its stack to its output, from a signal handler in C."""
        self._signal(signal.SIGUSR1)

    def kill(self) -> None:
        """End the worker now; `close` waits for it."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)

    async def close(self, *, grace: float) -> int:
        """Hang up, kill after `grace` seconds, reap. `release` comes after.

        Returns the exit code, 128 + n when signal n ended it.
        """
        self.writer.transport.abort()
        if not await _ended(self.popen, grace):
            self.kill()
            if not await _ended(self.popen, 2.0):
                self.popen.kill()
                await _ended(self.popen, 10.0)
        code = self.popen.poll() or 0
        return code if code >= 0 else 128 - code

    def release(self) -> None:
        """Give back the descriptors; after that there is no more `output`."""
        os.close(self._pidfd)
        os.close(self._output)


async def launch(
    command: Callable[[int], list[str]],
    environment: dict[str, str],
    *,
    passed: tuple[int, ...] = (),
    seconds: float,
) -> Launched:
    """Start `command(descriptor of the channel)` and wait, at most `seconds`, until the guest says hello.

    Raises `NotStarted`.
    """
    ours, theirs = socket.socketpair()
    output, output_end = os.pipe()
    popen: subprocess.Popen[bytes] | None = None
    try:
        try:
            # Neither side ever waits for the other because of output: a full pipe loses lines.
            os.set_blocking(output, False)
            os.set_blocking(output_end, False)
            ours.setblocking(False)
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            popen = subprocess.Popen(  # noqa: ASYNC220 - see above: the loop's thread has to start it
                command(theirs.fileno()),
                stdin=subprocess.DEVNULL,
                stdout=output_end,
                stderr=output_end,
                pass_fds=(theirs.fileno(), *passed),
                env=environment,
                cwd="/",
                start_new_session=True,
            )
        finally:
            theirs.close()
            os.close(output_end)
        try:
            async with asyncio.timeout(seconds):
                pid, uid, gid = await _hello(ours)
        except TimeoutError:
            raise EOFError(f"it said nothing for {seconds:g} s") from None
        pidfd = os.pidfd_open(pid)
        try:
            reader, writer = await asyncio.open_unix_connection(sock=ours, limit=BUFFERED)
        except BaseException:
            os.close(pidfd)
            raise
        return Launched(pid, uid, gid, popen, reader, writer, pidfd, output)
    except BaseException as cause:
        ours.close()
        if popen is not None:
            popen.kill()
            await _ended(popen, 5.0)
        said = _read_output(output).decode("utf-8", "replace").strip()
        os.close(output)
        if isinstance(cause, OSError | EOFError):
            raise NotStarted(said.splitlines()[-1] if said else str(cause)) from None
        raise


async def _hello(sock: socket.socket) -> tuple[int, int, int]:
    """(pid, uid, gid) of who says hello, from the kernel. Raises EOFError, OSError."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(sock.fileno(), ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(sock.fileno())
    said, ancillary, _, _ = sock.recvmsg(len(HELLO), socket.CMSG_SPACE(CREDENTIALS.size))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS) and said == HELLO:
            pid, uid, gid = CREDENTIALS.unpack(data[: CREDENTIALS.size])
            return pid, uid, gid
    raise EOFError("it ended without a word")


async def _ended(popen: subprocess.Popen[bytes], seconds: float) -> bool:
    pause = 0.001
    while popen.poll() is None and seconds > 0:
        await asyncio.sleep(pause)
        seconds -= pause
        pause = min(2 * pause, 0.05)
    return popen.poll() is not None


def _read_output(descriptor: int) -> bytes:
    """What the pipe holds, at most a megabyte: a script may write as fast as we read."""
    pieces: list[bytes] = []
    with contextlib.suppress(BlockingIOError):
        while len(pieces) < 16 and (piece := os.read(descriptor, 65_536)):
            pieces.append(piece)
    return b"".join(pieces)
