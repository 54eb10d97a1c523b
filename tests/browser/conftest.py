# SPDX-License-Identifier: Apache-2.0
"""A running demo and a headless Chromium: the console as people meet it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.browser.window import Window
from tests.conftest import missing_part, needs
from tests.ports import free_offset

STARTING_SECONDS = 120


@dataclass
class Demo:
    """`freehold demo` as a process of its own. `link` signs in once."""

    process: subprocess.Popen[str]
    link: str
    output: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        return self.link.partition("/signin")[0]


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    data = tmp_path_factory.mktemp("demo")
    data.chmod(0o755)  # sandboxed processors run under a user of their own
    words = ["demo", "--data", str(data / "data"), "--port-offset", str(free_offset()), "--json"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("FREEHOLD_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "freehold", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment | {"PYTHONUNBUFFERED": "1"},
    )
    running = Demo(process, "")
    found = threading.Event()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            running.output.append(line)
            if match := re.search(r"https?://\S+/signin#\S+", line):
                running.link = match.group()
                found.set()
        found.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        found.wait(STARTING_SECONDS)
        assert running.link, "the demo printed no sign-in link:\n" + "".join(running.output)
        yield running
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reader.join(10)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots go; `FREEHOLD_PICTURES` names a folder to keep them in."""
    kept = os.environ.get("FREEHOLD_PICTURES")
    folder = Path(kept) if kept else tmp_path_factory.mktemp("pictures")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


OpenWindow = Callable[..., Window]


@pytest.fixture(scope="session")
def open_window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenWindow]:
    """`open_window(width=1440, dark=False)`: a browser of its own, with an empty profile."""
    driver = needs("chromedriver")
    binary = next((path for name in ("chromium", "google-chrome") if (path := shutil.which(name))), None)
    if binary is None:
        missing_part("a Chromium (see scripts/system-packages)")
    opened: list[Window] = []

    def open_(width: int = 1440, *, dark: bool = False) -> Window:
        window = Window(driver, binary, tmp_path_factory.mktemp("profile"), width=width, dark=dark)
        opened.append(window)
        return window

    yield open_
    for window in opened:
        window.close()


@pytest.fixture(scope="session")
def signed_in(demo: Demo, open_window: OpenWindow) -> Window:
    """A window in which somebody used the demo's link."""
    window = open_window()
    window.driver.get(demo.link)
    window.until(lambda: window.driver.current_url == f"{demo.address}/", "the link signs in")
    return window
