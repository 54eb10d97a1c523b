# SPDX-License-Identifier: Apache-2.0
"""What a script inside the sandbox can reach, with things outside that are really worth reaching.

Every secret here is readable for everybody by its mode, so that nothing but the sandbox hides it. The script
runs what the test sends it: `do(code)` gives the value of `result`, or the type of the exception.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pyseccomp
import pytest

from freehold.process.interfaces import Failed
from freehold.process.sandbox.command import ENVIRONMENT
from freehold.process.sandbox.syscalls import program
from freehold.process.sandbox.worker import SandboxedWorker
from tests.conftest import missing_part
from tests.process.conftest import Start
from tests.process.making import data_of, event

Do = Callable[[str], Awaitable[object]]

OBEDIENT = """
def main(data):
    names = {}
    try:
        exec(data["code"], names)
    except BaseException as error:
        return {"result": type(error).__name__}
    return {"result": names.get("result")}
"""
WALK = """
import json, os
FOLDERS = ["/", "/usr", "/usr/lib", "/etc", "/dev", "/freehold", "/packages"]
def walk():
    # The system's libraries and Python's own are thousands of files that everybody may see.
    known = ("/usr/lib", "/usr/share/zoneinfo", "/lib", os.path.dirname(os.__file__))
    for place, folders, names in os.walk("/"):
        folders[:] = [name for name in folders if not os.path.join(place, name).startswith(known)]
        yield from (os.path.join(place, name) for name in names)
"""
OTHER = "9d1f6c5e-2b77-4f0e-8a53-1f0c6d5f9b22"

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="other user ids are for root only")


@pytest.fixture
async def worker(start_inside: Start) -> SandboxedWorker:
    return await start_inside(OBEDIENT)


@pytest.fixture
def do(worker: SandboxedWorker) -> Do:
    async def run(code: str) -> object:
        (outcome,) = await worker.run([event({"code": code})])
        return outcome.reason if isinstance(outcome, Failed) else data_of(outcome)["result"]

    return run


@pytest.fixture(scope="session")
def secrets(data_directory: Path) -> list[Path]:
    """What an installation holds, open to everybody as far as modes go."""
    made = []
    for name in ("meta.db", "VERSION", "keys/root", "log/events.db", "store/telemetry.db", f"process/{OTHER}/env/x.py"):
        path = data_directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("SECRET = 'a secret'")
        path.chmod(0o666)
        for folder in path.relative_to(data_directory).parents:
            (data_directory / folder).chmod(0o777)
        made.append(path)
    return made


class TestFiles:
    async def test_nothing_of_the_installation_is_there(self, do: Do, secrets: list[Path]) -> None:
        for path in secrets:
            assert path.read_text()
            assert await do(f"open({str(path)!r})") == "FileNotFoundError"
            assert await do(f"import os; os.listdir({str(path.parent)!r})") == "FileNotFoundError"

    @pytest.mark.parametrize(
        "path",
        [
            "/etc/shadow",
            "/etc/passwd",
            "/etc/hostname",
            "/root/.bashrc",
            "/home",
            "/var",
            "/proc/self",
            "/sys",
            "/bin/sh",
        ],
    )
    async def test_nothing_of_the_machine_is_there(self, do: Do, path: str) -> None:
        assert await do(f"import os; result = os.path.lexists({path!r})") is False

    async def test_a_walk_meets_what_python_needs_and_nothing_else(self, do: Do, secrets: list[Path]) -> None:
        found = await do(f"{WALK}result = [path for path in walk() if not path.startswith('/freehold/')]")
        assert isinstance(found, list)
        allowed = ("python3", "libpython", "ld.so.cache", "null", "random", "urandom", "zero")
        assert [path for path in found if not path.rpartition("/")[2].startswith(allowed)] == []
        assert await do("import os; result = os.listdir('/tmp')") == []

    async def test_other_peoples_packages_are_not_there(self, do: Do) -> None:
        code = "import os, sysconfig; result = os.listdir(sysconfig.get_path('stdlib') + '/site-packages')"
        assert await do(code) in ([], "FileNotFoundError")

    async def test_another_application_sees_its_own_packages_only(
        self, start_inside: Start, secrets: list[Path]
    ) -> None:
        mine = await start_inside(f"import x\n{OBEDIENT}", environment=secrets[-1].parent, application=OTHER)
        (outcome,) = await mine.run([event({"code": "import x; result = x.SECRET"})])
        assert data_of(outcome)["result"] == "a secret"
        other = await start_inside(OBEDIENT)
        for code in ("import x", "import os; os.listdir('/packages')"):
            (outcome,) = await other.run([event({"code": code})])
            assert data_of(outcome)["result"] in ("ModuleNotFoundError", "FileNotFoundError")

    async def test_nothing_can_be_written_but_in_tmp(self, do: Do, start_inside: Start, tmp_path: Path) -> None:
        tmp_path.chmod(0o777)
        worker = await start_inside(OBEDIENT, environment=tmp_path)
        code = (
            f"import sys\n{WALK}result = []\n"
            "for folder in {*FOLDERS, *map(os.path.dirname, [*walk(), os.__file__, json.__file__])}:\n"
            "  try: open(folder + '/written', 'w').close(); result.append(folder)\n"
            "  except OSError: pass\n"
            "result += [f for f in (os.__file__, sys.executable) if os.access(f, os.W_OK)]\n"
        )
        (outcome,) = await worker.run([event({"code": code})])
        assert data_of(outcome)["result"] == []
        assert list(tmp_path.iterdir()) == []
        assert await do("open('/tmp/mine', 'w').write('x'); result = open('/tmp/mine').read()") == "x"

    async def test_tmp_is_bounded(self, do: Do) -> None:
        assert await do("open('/tmp/one', 'wb').write(bytes(20_000_000))") == "OSError"
        code = "for n in range(100): open(f'/tmp/{n}', 'wb').write(bytes(1_000_000))"
        assert await do(code) == "OSError"

    async def test_tmp_is_the_workers_own(self, do: Do, start_inside: Start) -> None:
        await do("open('/tmp/mine', 'w').close()")
        other = await start_inside(OBEDIENT)
        (outcome,) = await other.run([event({"code": "import os; result = os.listdir('/tmp')"})])
        assert data_of(outcome)["result"] == []


class TestEnvironment:
    async def test_variables_of_the_platform_are_not_there(
        self, start_inside: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("FREEHOLD_VAULT_KEY", "a secret")
        worker = await start_inside(OBEDIENT)
        (outcome,) = await worker.run([event({"code": "import os; result = dict(os.environ)"})])
        # bubblewrap sets PWD, and Python LC_CTYPE where it corrects the locale.
        assert {k: v for k, v in data_of(outcome)["result"].items() if k not in ("PWD", "LC_CTYPE")} == ENVIRONMENT

    async def test_no_descriptor_comes_along(self, worker: SandboxedWorker) -> None:
        """Seen from outside: null, the output pipe, the channel, and the timer's own pipe."""
        await worker.run([event({"code": ""})])
        assert worker._process is not None
        folder = Path(f"/proc/{worker._process.pid}/fd")
        try:
            links = {int(entry.name): os.readlink(entry) for entry in folder.iterdir()}
        except PermissionError:
            pytest.skip("only root may look at the descriptors of another user's process")
        kinds = sorted(link.partition(":")[0] for link in links.values())
        assert kinds == ["/dev/null", "pipe", "pipe", "pipe", "pipe", "socket"]
        assert links[1] == links[2]


class TestNetwork:
    @pytest.mark.parametrize(
        "family", ["AF_INET", "AF_INET6", "AF_UNIX", "AF_NETLINK", "AF_PACKET", "AF_ALG", "AF_VSOCK"]
    )
    @pytest.mark.parametrize("kind", ["SOCK_STREAM", "SOCK_DGRAM", "SOCK_RAW", "SOCK_SEQPACKET"])
    async def test_no_socket_can_be_opened(self, do: Do, family: str, kind: str) -> None:
        code = f"import socket; socket.socket(getattr(socket, {family!r}, 1), socket.{kind})"
        if program() is None:
            missing_part("libseccomp")
        assert await do(code) == "PermissionError"

    async def test_not_even_to_the_machine_itself(self, do: Do) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            code = f"import socket; socket.create_connection(('127.0.0.1', {port}), timeout=1)"
            assert await do(code) in ("PermissionError", "OSError", "ConnectionRefusedError")

    async def test_asyncio_still_works(self, do: Do) -> None:
        code = "import asyncio\nasync def f():\n  await asyncio.sleep(0)\n  return 5\nresult = asyncio.run(f())"
        assert await do(code) == 5


class TestProcesses:
    async def test_processes_of_the_machine_are_not_there(self, do: Do) -> None:
        for pid in (os.getpid(), os.getppid()):
            if pid > 100:
                assert await do(f"import os; os.kill({pid}, 0)") == "ProcessLookupError"

    async def test_killing_all_kills_nobody_else(self, do: Do) -> None:
        await do("import os, signal; os.kill(-1, signal.SIGTERM)")
        assert await do("result = 1") == 1

    async def test_no_process_can_be_started(self, do: Do) -> None:
        if program() is None:
            missing_part("libseccomp")
        assert await do("import os; os.fork()") == "PermissionError"
        assert await do("import subprocess, sys; subprocess.run([sys.executable, '-c', ''])") == "PermissionError"
        assert await do("import os, sys; os.posix_spawn(sys.executable, ['python'], {})") == "PermissionError"

    async def test_threads_are_possible_and_bounded(self, do: Do) -> None:
        code = (
            "import threading, time\nresult = 0\ntry:\n  for n in range(1000):\n"
            "    threading.Thread(target=time.sleep, args=(0.5,)).start(); result += 1\nexcept RuntimeError: pass\n"
        )
        started = await do(code)
        assert isinstance(started, int)
        assert 5 < started < 64

    async def test_the_worker_is_nobody_on_this_machine(self, worker: SandboxedWorker) -> None:
        """From outside, not from what the worker says."""
        assert worker._process is not None
        status = Path(f"/proc/{worker._process.pid}/status").read_text()
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert "0" not in fields["Uid"].split()
        assert "0" not in fields["Gid"].split()
        assert fields["CapEff"] == fields["CapPrm"] == "0" * 16
        assert fields["NoNewPrivs"] == "1"
        if program() is not None:
            assert fields["Seccomp"] == "2"
        first, *_ = Path(f"/proc/{worker._process.pid}/uid_map").read_text().split()[1:2]
        uid = int(fields["Uid"].split()[0])
        assert uid == worker._process.uid
        # Without a user namespace ids are the machine's; with one, ours must not be root's.
        assert first == "0" if os.geteuid() == 0 else int(first) == os.geteuid()

    @as_root
    async def test_applications_have_user_ids_of_their_own(self, start_inside: Start) -> None:
        uids = []
        for application in ("a", "b", "a"):
            worker = await start_inside(OBEDIENT, application=application)
            assert worker._process is not None
            uids.append(worker._process.uid)
        assert uids[0] == uids[2] != uids[1]
        assert all(410_000 <= uid < 430_000 for uid in uids)

    async def test_root_does_not_come_back(self, do: Do) -> None:
        for call in ("setuid(0)", "seteuid(0)", "setgid(0)", "setresuid(0, 0, 0)", "setgroups([0])", "chroot('/tmp')"):
            assert await do(f"import os; os.{call}") == "PermissionError"
        assert await do("import os; result = 0 in os.getresuid() + os.getresgid() + tuple(os.getgroups())") is False

    async def test_the_worker_dies_with_the_platform(self, bubblewrap: object, tmp_path: Path) -> None:
        """SIGKILL leaves no time to tidy up: the kernel has to do it, for a script that hangs as well."""
        program_text = (
            "import asyncio, sys\nfrom pathlib import Path\n"
            "from freehold.core.settings import Process\nfrom freehold.process.interfaces import Script\n"
            "from freehold.process.sandbox import Bubblewrap\nfrom tests.process.making import event\n"
            "async def main():\n"
            "    worker = Bubblewrap(Process(), Path('/nowhere')).worker(\n"
            "        Script('a', 1, 'import signal, time\\ndef main(data):\\n    time.sleep(1000)\\n'))\n"
            "    await worker.start()\n"
            "    print(worker._process.pid, flush=True)\n"
            "    await worker.run([event({})])\n"
            "asyncio.run(main())\n"
        )
        root = Path(__file__).parents[2]
        platform = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            program_text,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": f"{root / 'src'}:{root}"},
        )
        assert platform.stdout is not None
        pid = int(await platform.stdout.readline())
        await asyncio.sleep(0.2)
        platform.kill()
        await platform.wait()
        async with asyncio.timeout(20):
            while _runs(pid):
                await asyncio.sleep(0.02)


class TestKernel:
    @pytest.mark.parametrize(
        "call",
        [
            *("ptrace", "process_vm_readv", "unshare", "setns", "mount", "umount2", "pivot_root", "bpf"),
            *("perf_event_open", "userfaultfd", "keyctl", "add_key", "request_key", "kexec_load", "init_module"),
            *("io_uring_setup", "memfd_create", "shmget", "msgget", "personality", "open_by_handle_at", "fsopen"),
        ],
    )
    async def test_calls_that_no_processor_needs_are_refused(self, do: Do, call: str) -> None:
        if program() is None:
            missing_part("libseccomp")
        number = pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, call)
        if number < 0:
            pytest.skip("this libseccomp or architecture does not have it")
        code = (
            "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
            f"result = [libc.syscall({number}, 0, 0, 0, 0, 0, 0), ctypes.get_errno()]"
        )
        assert await do(code) == [-1, 1]  # EPERM

    async def test_no_new_user_namespace(self, do: Do) -> None:
        code = (
            "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
            "result = libc.unshare(0x10000000)"  # CLONE_NEWUSER
        )
        assert await do(code) == -1

    async def test_memory_is_bounded(self, do: Do) -> None:
        assert await do("bytearray(300_000_000)") == "MemoryError"
        assert await do("import mmap; mmap.mmap(-1, 300_000_000)") in ("OSError", "MemoryError")

    async def test_limits_cannot_be_raised(self, do: Do) -> None:
        for limit in ("AS", "NPROC", "NOFILE", "FSIZE", "CORE"):
            code = f"import resource as r; r.setrlimit(r.RLIMIT_{limit}, (1 << 40, 1 << 40))"
            assert await do(code) == "ValueError"


def _runs(pid: int) -> bool:
    """Whether the process still does anything; a zombie that nobody has reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
