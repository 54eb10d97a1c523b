# SPDX-License-Identifier: Apache-2.0
"""The program's words: commands, settings as flags, refusals that say what to do."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from freehold import __version__
from freehold.cli.main import COMMANDS, add_settings, main, settings_of
from freehold.core.errors import FreeholdError
from freehold.core.settings import TABLE


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    assert capsys.readouterr().out.strip() == __version__


def test_without_a_command_it_lists_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    shown = capsys.readouterr().out
    assert all(command in shown for command in COMMANDS)


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert COMMANDS[command].split()[0] in capsys.readouterr().out.lower()


def options(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_settings(parser)
    return parser.parse_args(arguments)


def test_every_setting_is_a_flag() -> None:
    for row in TABLE:
        value = "true" if row.kind is bool else "7" if row.kind in (int, float) else "text"
        assert getattr(options(row.flag, value), row.name) == value


def test_a_flag_beats_the_environment_and_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "freehold.toml"
    file.write_text("port_offset = 1\n[mqtt]\nport = 2001\n[http]\nport = 2002\n")
    monkeypatch.setenv("FREEHOLD_MQTT_PORT", "3001")
    monkeypatch.setenv("FREEHOLD_API_PORT", "3003")
    settings = settings_of(options("--config", str(file), "--api-port", "4003"))
    assert (settings.port_offset, settings.mqtt.port) == (1, 3001)
    assert (settings.http.port, settings.api.port) == (2002, 4003)


def test_the_file_may_be_named_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "freehold.toml"
    file.write_text("instance = 'attic'\n")
    monkeypatch.setenv("FREEHOLD_CONFIG", str(file))
    assert settings_of(options()).instance == "attic"


def test_a_wrong_value_is_refused_with_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["up", "--mqtt-port", "many"]) == 1
    said = capsys.readouterr().err
    assert "mqtt.port must be a whole number" in said
    assert "docs/settings.md" in said


def test_a_variable_with_a_typing_error_is_not_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FREEHOLD_MQTT_PROT", "1")
    with pytest.raises(FreeholdError, match="FREEHOLD_MQTT_PROT"):
        settings_of(options())


def test_link_needs_an_installation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["link", "--data", str(tmp_path / "none")]) == 1
    assert "freehold up" in capsys.readouterr().err


def test_it_runs_as_a_module() -> None:
    made = subprocess.run([sys.executable, "-m", "freehold", "version"], capture_output=True, text=True, check=True)
    assert made.stdout.strip() == __version__
