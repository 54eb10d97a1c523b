# SPDX-License-Identifier: Apache-2.0
"""The rule of tests/conftest.py: an absent part skips for a developer and fails in CI."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conftest import needs, pytest_runtest_setup


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "some-tool"
    path.write_text("#!/bin/sh\n", "utf-8")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.defpath}")
    return path


@pytest.mark.parametrize("ci", ["", "true"])
def test_a_part_that_is_there_is_found(tool: Path, ci: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", ci)
    assert needs("some-tool") == str(tool)


def test_an_absent_part_skips_on_a_developers_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-tool"):
        needs("no-such-tool")


def test_an_absent_part_fails_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="missing part: the command no-such-tool"):
        needs("no-such-tool")


def test_the_marker_ends_a_test_before_it_starts(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.delenv("CI", raising=False)
    request.node.add_marker(pytest.mark.needs("no-such-tool"))
    with pytest.raises(pytest.skip.Exception, match="no-such-tool"):
        pytest_runtest_setup(request.node)
