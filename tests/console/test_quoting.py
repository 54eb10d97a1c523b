# SPDX-License-Identifier: Apache-2.0
"""Lines to paste mean what they say to a real shell, whatever devices are called."""

from __future__ import annotations

import shlex
import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from freehold.connect.credentials import split_device_user
from freehold.console.quoting import shell_line, shell_word
from freehold.console.snippets import Endpoints, device_user, snippets
from tests.conftest import needs

from .conftest import HOSTILE

ENDPOINTS = Endpoints("127.0.0.1", 8088, 1883)
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def bash_says(*words: str) -> list[str]:
    """What bash makes of a line of these quoted words."""
    line = shell_line(["printf", "%s\\0", *words])
    done = subprocess.run([needs("bash"), "-c", line], capture_output=True, timeout=30, check=True)
    return done.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1]


@settings(max_examples=40, deadline=None)
@given(st.lists(names, min_size=1, max_size=5))
@example(["'", '"', "$(id)", "`id`", "\\", "!!", "a\nb", "\x1b[2J", "\u202e", "~", "*", "#", ""])
def test_bash_reads_back_every_word(words: list[str]) -> None:
    assert bash_says(*words) == [word.replace("\0", "") for word in words]


@given(names)
def test_a_word_is_printable_so_that_pasting_it_cannot_act(word: str) -> None:
    assert shell_word(word).isprintable()


@pytest.mark.parametrize(
    ("word", "quoted"),
    [
        ("plain", "plain"),
        ("a b", "'a b'"),
        ("it's", """'it'"'"'s'"""),
        ("", "''"),
        ("a\n'b\\", r"$'a\012\'b\\'"),
    ],
)
def test_words(word: str, quoted: str) -> None:
    assert shell_word(word) == quoted


@given(names.filter(bool))
def test_the_platform_reads_the_user_name_back(device: str) -> None:
    user = device_user("plant", device)
    assert split_device_user(user) == (device, "plant")
    assert ":" not in user.partition("@")[0]


@pytest.mark.parametrize("device", HOSTILE)
def test_lines_hold_exactly_these_arguments(device: str) -> None:
    user = device_user("plant", device)
    lines = {one.id: one.line for one in snippets(ENDPOINTS, "plant", device, "frd_s3cret")}
    assert shlex.split(lines["curl"]) == [
        *("curl", "-i", "-u", f"{user}:frd_s3cret", "-H", "content-type: application/json"),
        *("-d", '{"temperature": 21.5}', "http://127.0.0.1:8088/v1/telemetry"),
    ]
    assert shlex.split(lines["mosquitto-pub"])[:9] == [
        *("mosquitto_pub", "-h", "127.0.0.1", "-p", "1883", "-u", user, "-P", "frd_s3cret"),
    ]
    assert shlex.split(lines["mosquitto-sub"])[-2:] == ["-t", "command/inbox/#"]


def test_a_switched_off_endpoint_has_no_line() -> None:
    assert [one.id for one in snippets(Endpoints("h", 0, 1883), "a", "d", "s")] == ["mosquitto-pub", "mosquitto-sub"]
    assert [one.id for one in snippets(Endpoints("h", 8088, 0), "a", "d", "s")] == ["curl"]
    assert snippets(Endpoints("h", 0, 0), "a", "d", "s") == []
