# SPDX-License-Identifier: Apache-2.0
"""The root key: made once, durable, private, never silently replaced."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from pathlib import Path

import pytest

from freehold.core.errors import FreeholdError
from freehold.vault.rootkey import FILE, SIZE, VARIABLE, root_key

KEY = bytes(range(32))
ENCODED = base64.b64encode(KEY).decode()


def refusal(keys: Path, environ: dict[str, str]) -> FreeholdError:
    with pytest.raises(FreeholdError) as caught:
        root_key(keys, environ)
    return caught.value


def test_the_first_start_makes_a_key_that_later_starts_read(tmp_path: Path) -> None:
    first = root_key(tmp_path, {})
    assert len(first) == SIZE
    assert root_key(tmp_path, {}) == first


def test_two_installations_have_different_keys(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    assert root_key(tmp_path / "a", {}) != root_key(tmp_path / "b", {})


def test_only_the_owner_can_read_the_file_and_nothing_else_is_left(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        root_key(tmp_path, {})
    finally:
        os.umask(old)
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == [FILE]


def test_the_key_may_come_from_the_environment_and_then_is_not_written(tmp_path: Path) -> None:
    assert root_key(tmp_path, {VARIABLE: ENCODED + "\n"}) == KEY
    assert not (tmp_path / FILE).exists()


def test_file_and_environment_may_agree(tmp_path: Path) -> None:
    made = root_key(tmp_path, {})
    assert root_key(tmp_path, {VARIABLE: base64.b64encode(made).decode()}) == made


def test_file_and_environment_that_differ_are_refused(tmp_path: Path) -> None:
    root_key(tmp_path, {})
    error = refusal(tmp_path, {VARIABLE: ENCODED})
    assert error.refusal.code == "data-directory.unusable"
    assert ENCODED not in str(error)


@pytest.mark.parametrize(
    "text", ["short", "AAAA", ENCODED[:-4], ENCODED + ENCODED, "!" * 44, "é" * 44, base64.b32encode(KEY).decode()]
)
def test_a_variable_that_is_no_key_is_refused_without_repeating_it(tmp_path: Path, text: str) -> None:
    error = refusal(tmp_path, {VARIABLE: text})
    assert error.refusal.code == "setting.invalid"
    assert VARIABLE in error.detail
    assert text not in str(error)
    assert error.__cause__ is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    root_key(tmp_path, {})
    (tmp_path / FILE).chmod(mode)
    error = refusal(tmp_path, {})
    assert error.refusal.code == "data-directory.unusable"
    assert "chmod 600" in error.detail


@pytest.mark.parametrize("content", [b"", b"\n", b"abc", ENCODED[:20].encode(), b"\xff" * 44])
def test_a_damaged_file_is_refused_and_never_replaced(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / FILE
    path.write_bytes(content)
    path.chmod(0o600)
    assert "damaged" in refusal(tmp_path, {}).detail
    assert path.read_bytes() == content


def test_a_missing_folder_is_a_refusal_and_not_a_traceback(tmp_path: Path) -> None:
    assert refusal(tmp_path / "absent", {}).refusal.code == "data-directory.unusable"


def test_processes_that_start_at_once_agree_on_one_key(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib; from freehold.vault.rootkey import root_key;"
        "sys.stdin.read(); print(root_key(pathlib.Path(sys.argv[1]), {}).hex())"
    )
    starts = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for start in starts:
        assert start.stdin is not None
        start.stdin.close()
    keys = set()
    for start in starts:
        with start:
            assert start.stdout is not None
            keys.add(start.stdout.read())
    assert len(keys) == 1
    assert os.listdir(tmp_path) == [FILE]
