# SPDX-License-Identifier: Apache-2.0
"""The pinned commands as programs: what they print last, how they end, and that nothing stays behind."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_offset

pytestmark = pytest.mark.timeout(240)


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("FREEHOLD_")}


def run(*words: str) -> tuple[int, dict[str, Any]]:
    """Exit status and the JSON object of the last line."""
    command = [sys.executable, "-m", "freehold", *words, "--port-offset", str(free_offset()), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    last = done.stdout.strip().splitlines()[-1]
    return done.returncode, json.loads(last)


def leftovers(folder: Path) -> list[str]:
    """Command lines of processes that still speak of `folder`."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                if str(folder) in line:
                    found.append(line)
    return found


def test_the_demo_counts_what_it_did_and_leaves_nothing_running(tmp_path: Path) -> None:
    status, result = run("demo", "--seconds", "15", "--data", str(tmp_path / "data"))
    assert status == 0
    assert set(result) == {"events_accepted", "rows_stored", "commands_delivered", "first_row_s"}
    assert result["events_accepted"] > 0
    assert result["rows_stored"] >= result["events_accepted"]
    assert result["commands_delivered"] > 0
    assert result["first_row_s"] > 0
    assert leftovers(tmp_path) == []


def test_the_demo_opens_its_directory_of_yesterday(tmp_path: Path) -> None:
    first = run("demo", "--seconds", "12", "--data", str(tmp_path / "data"))[1]
    status, second = run("demo", "--seconds", "12", "--data", str(tmp_path / "data"))
    assert status == 0
    assert second["rows_stored"] > first["rows_stored"]


def test_torture_loses_nothing(tmp_path: Path) -> None:
    status, result = run("torture", "--rounds", "2", "--data", str(tmp_path / "data"))
    assert set(result) == {"acknowledged", "found", "lost", "repeated"}
    assert result["acknowledged"] > 0
    assert (result["found"], result["lost"], result["repeated"], status) == (result["acknowledged"], 0, 0, 0)


def test_bench_gives_figures_as_json(tmp_path: Path) -> None:
    words = ("bench", "--scenario", "mqtt-single", "--scenario", "http", "--seconds", "1")
    status, result = run(*words, "--data", str(tmp_path / "data"))
    assert status == 0
    assert {row["scenario"] for row in result["figures"]} == {"mqtt-qos1-window1", "http-post"}
    assert all(row["acknowledged"] > 0 for row in result["figures"])


def test_up_ends_cleanly_on_ctrl_c_and_prints_a_link_once(tmp_path: Path) -> None:
    offset = str(free_offset())
    command = [sys.executable, "-m", "freehold", "up", "--data", str(tmp_path / "data"), "--port-offset", offset]
    links = []
    for _ in range(2):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment())
        assert process.stdout is not None
        line = next(line for line in process.stdout if "http://" in line)
        links.append(line.strip())
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
        assert leftovers(tmp_path) == []
    assert all("/signin#frl_" in link for link in links), "nobody has signed in yet: each start offers a new link"
    assert links[0] != links[1]


def test_a_second_platform_on_one_directory_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "freehold", "up", "--data", str(tmp_path / "data")]
    first = subprocess.Popen([*command, "--port-offset", str(free_offset())], stdout=subprocess.PIPE, env=environment())
    try:
        assert first.stdout is not None
        for line in first.stdout:
            if b"http://" in line:
                break
        second = subprocess.run(
            [*command, "--port-offset", str(free_offset())],
            capture_output=True,
            text=True,
            env=environment(),
            check=False,
        )
        assert second.returncode == 1
        assert "another Freehold runs on" in second.stderr
    finally:
        first.terminate()
        first.wait(60)


def test_a_supervisor_that_is_killed_takes_its_roles_with_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "freehold", "up", "--data", str(tmp_path / "data")]
    process = subprocess.Popen(
        [*command, "--port-offset", str(free_offset())], stdout=subprocess.PIPE, env=environment()
    )
    assert process.stdout is not None
    for line in process.stdout:
        if b"http://" in line:
            break
    roles = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(roles) == 3
    process.kill()
    process.wait(60)
    deadline = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() for pid in roles):
        assert time.monotonic() < deadline, "a role outlived its supervisor"
        time.sleep(0.1)
