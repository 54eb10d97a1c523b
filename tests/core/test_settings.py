# SPDX-License-Identifier: Apache-2.0
"""The settings table: where a value comes from, what it may be, and that nothing is silently ignored."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from freehold.core.errors import SETTING_INVALID, FreeholdError
from freehold.core.settings import (
    ENV_PREFIX,
    HIGHEST_PORT,
    NOT_SETTINGS,
    TABLE,
    Row,
    Settings,
    as_flat,
    load,
)

ROWS = {row.name: row for row in TABLE}
EVERY_ROW = pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)


def _refused(match: str | None = None) -> pytest.RaisesExc[FreeholdError]:
    return pytest.raises(FreeholdError, match=match, check=lambda cause: cause.refusal is SETTING_INVALID)


def _file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "freehold.toml"
    path.write_text(text, encoding="utf-8")
    return path


def _other_than_default(row: Row) -> object:
    """A value that the row takes and that is not its default."""
    if row.kind is bool:
        return not row.default
    if row.choices:
        return next(choice for choice in row.choices if choice != row.default)
    if row.kind is str:
        return "something else"
    if row.kind is Path:
        return Path("some/where/else")
    if row.most is not None and row.default >= row.most:
        return row.kind(row.default - 1)
    return row.kind(row.default + 1)


# --- where a value comes from -----------------------------------------------------------------------


def test_without_anything_all_is_default() -> None:
    assert load() == Settings()
    assert {name: ROWS[name].default for name in ROWS} == as_flat(Settings())


def test_the_later_place_is_the_stronger(tmp_path: Path) -> None:
    file = _file(tmp_path, "[mqtt]\nport = 1001\nhost = 'file'\ninbox = 5\nreceive_maximum = 9\n")
    environ = {"FREEHOLD_MQTT_PORT": "1002", "FREEHOLD_MQTT_HOST": "environment", "FREEHOLD_MQTT_INBOX": "6"}
    flags = {"mqtt.port": "1003", "mqtt.host": "flag"}
    settings = load(file=file, environ=environ, flags=flags)
    assert (settings.mqtt.port, settings.mqtt.host) == (1003, "flag")
    assert settings.mqtt.inbox == 6
    assert settings.mqtt.receive_maximum == 9
    assert settings.mqtt.max_packet_bytes == Settings().mqtt.max_packet_bytes


@EVERY_ROW
def test_every_setting_comes_from_every_place(row: Row, tmp_path: Path) -> None:
    value = _other_than_default(row)
    assert value != row.default
    assert as_flat(load(environ={row.env: str(value)}))[row.name] == value
    assert as_flat(load(flags={row.name: str(value)}))[row.name] == value
    assert as_flat(load(flags={row.name: value}))[row.name] == value
    section, _, name = row.name.rpartition(".")
    text = json.dumps(str(value) if isinstance(value, Path) else value)
    file = _file(tmp_path, (f"[{section}]\n" if section else "") + f"{name} = {text}\n")
    assert as_flat(load(file=file))[row.name] == value


@EVERY_ROW
def test_every_setting_changes_itself_only(row: Row) -> None:
    changed = as_flat(load(flags={row.name: _other_than_default(row)}))
    assert {name for name in changed if changed[name] != ROWS[name].default} == {row.name}


def test_toml_tables_may_be_dotted_or_inline(tmp_path: Path) -> None:
    for text in ("mqtt.port = 7\n", "mqtt = { port = 7 }\n", "[mqtt]\nport = 7\n", "[mqtt]\n[http]\n[mqtt.x]\n"):
        settings = load(file=_file(tmp_path, text))
        assert settings.mqtt.port == (7 if "7" in text else 1883)


def test_the_file_is_utf8_whatever_the_locale(tmp_path: Path) -> None:
    assert load(file=_file(tmp_path, 'instance = "Küche"\n')).instance == "Küche"


# --- nothing is silently ignored --------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "colour = 'red'\n",
        "[mqtt]\nprot = 1883\n",
        "[mqqt]\nport = 1883\n",
        "mqtt = 1883\n",
        "[data]\npath = '/'\n",
        "[mqtt.port]\nnumber = 1\n",
        "[[mqtt]]\nport = 1\n",
        "[Mqtt]\nport = 1\n",
    ],
)
def test_a_name_in_the_file_that_no_setting_has(text: str, tmp_path: Path) -> None:
    with _refused():
        load(file=_file(tmp_path, text))


@pytest.mark.parametrize("name", ["FREEHOLD_", "FREEHOLD_MQTT", "FREEHOLD_MQTT_PROT", "FREEHOLD_mqtt_port"])
def test_a_variable_with_our_prefix_that_no_setting_has(name: str) -> None:
    with _refused(name):
        load(environ={name: "1"})


def test_other_variables_are_nobodys_business() -> None:
    environ = {"PATH": "/bin", "MQTT_PORT": "x", "XFREEHOLD_MQTT_PORT": "x", "freehold_mqtt_port": "x"}
    assert load(environ=environ | dict.fromkeys(NOT_SETTINGS, "anything")) == Settings()


def test_a_flag_that_no_setting_has() -> None:
    with _refused("there is no setting mqtt.prot"):
        load(flags={"mqtt.prot": "1"})


@pytest.mark.parametrize("content", [b"[mqtt\n", b"port = \n", b"\xff\xfe", b"a = 1\na = 2\n"])
def test_a_file_that_is_no_toml_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "freehold.toml"
    path.write_bytes(content)
    with _refused(re.escape(str(path))):
        load(file=path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with _refused("nowhere.toml"):
        load(file=tmp_path / "nowhere.toml")


# --- types and bounds -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("mqtt.port", "eighteen"),
        ("mqtt.port", ""),
        ("mqtt.port", "1883.0"),
        ("mqtt.port", 1883.0),
        ("mqtt.port", True),
        ("mqtt.port", [1883]),
        ("mqtt.port", None),
        ("mqtt.port", "9" * 5000),
        ("http.idle_timeout_seconds", "soon"),
        ("http.idle_timeout_seconds", "nan"),
        ("http.idle_timeout_seconds", "inf"),
        ("http.idle_timeout_seconds", float("nan")),
        ("http.idle_timeout_seconds", False),
        ("log.retention_hours", float("inf")),
        ("process.allow_unsandboxed", "maybe"),
        ("process.allow_unsandboxed", 1),
        ("process.allow_unsandboxed", ""),
        ("mqtt.host", 5),
        ("mqtt.host", True),
        ("data", 7),
        ("data", ""),
        ("data", ["a"]),
        ("log_level", "loud"),
        ("log_level", "INFO"),
        ("log_format", ""),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_by_name(name: str, raw: object) -> None:
    with _refused(f"^setting.invalid: {re.escape(name)} must be "):
        load(flags={name: raw})


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        *((raw, True) for raw in ("true", "TRUE", "1", "yes", "on", True)),
        *((raw, False) for raw in ("false", "False", "0", "no", "off", False)),
    ],
)
def test_truth_has_many_spellings(raw: object, value: bool) -> None:
    assert load(flags={"process.allow_unsandboxed": raw}).process.allow_unsandboxed is value


@pytest.mark.parametrize("row", [row for row in TABLE if row.least is not None], ids=lambda row: row.name)
def test_the_least_value_is_taken_and_less_refused(row: Row) -> None:
    assert row.least is not None
    assert as_flat(load(flags={row.name: str(row.kind(row.least))}))[row.name] == row.least
    less: float = row.kind(row.least) - (1 if row.kind is int else 0.001)
    with _refused(f"{re.escape(row.name)} must be at least"):
        load(flags={row.name: str(less)})


@pytest.mark.parametrize("row", [row for row in TABLE if row.most is not None], ids=lambda row: row.name)
def test_the_greatest_value_is_taken_and_more_refused(row: Row) -> None:
    assert row.most is not None
    assert as_flat(load(flags={row.name: row.kind(row.most)}))[row.name] == row.most
    with _refused(f"{re.escape(row.name)} must be at most"):
        load(flags={row.name: row.kind(row.most) + 1})


@EVERY_ROW
def test_every_default_keeps_its_own_rules(row: Row) -> None:
    assert row.parse(row.default) == row.default
    assert type(row.parse(str(row.default) or row.default)) is type(row.default)


@given(st.sampled_from(TABLE), st.one_of(st.text(), st.integers(), st.floats(), st.booleans(), st.none()))
def test_any_value_is_taken_within_the_rules_or_refused(row: Row, raw: object) -> None:
    try:
        value = row.parse(raw)
    except FreeholdError as cause:
        refusal = cause.refusal
        assert refusal is SETTING_INVALID
        return
    assert isinstance(value, row.kind)
    if isinstance(value, int | float):
        assert row.least is None or value >= row.least
        assert row.most is None or value <= row.most
    assert not row.choices or value in row.choices


def test_ports_are_shifted_together_and_stay_ports() -> None:
    settings = load(flags={"port_offset": 1000, "http.port": 0})
    assert settings.port(settings.mqtt.port) == 2883
    assert settings.port(settings.http.port) == 0
    highest = HIGHEST_PORT - max(row.default for row in TABLE if row.name.endswith(".port"))
    assert load(flags={"port_offset": highest}).port_offset == highest
    with _refused(f"port_offset {highest + 1}"):
        load(flags={"port_offset": highest + 1})


# --- the table itself -------------------------------------------------------------------------------


def test_settings_go_to_a_child_and_come_back() -> None:
    changed = load(flags={row.name: _other_than_default(row) for row in TABLE if row.name != "port_offset"})
    assert load(flags=as_flat(changed)) == changed
    through_text = json.loads(json.dumps(as_flat(changed), default=str))
    assert load(flags=through_text) == changed


def test_names_are_unique_in_every_spelling() -> None:
    for spelling in ("name", "env", "flag"):
        assert len({getattr(row, spelling) for row in TABLE}) == len(TABLE), spelling
    assert not NOT_SETTINGS & {row.env for row in TABLE}


@EVERY_ROW
def test_a_row_explains_itself(row: Row) -> None:
    assert re.fullmatch(r"[a-z_]+(\.[a-z_]+)?", row.name)
    assert row.env.startswith(ENV_PREFIX)
    assert row.env.isupper()
    assert re.fullmatch(r"--[a-z]+(-[a-z]+)*", row.flag)
    assert len(row.help) > 10
    assert not row.help.endswith(".")
    assert row.kind in {int, float, bool, str, Path}
    assert type(row.default) is row.kind or isinstance(row.default, row.kind)


def test_settings_do_not_change() -> None:
    settings = Settings()
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.instance = "other"  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.mqtt.port = 1  # type: ignore[misc]
    assert hash(settings) == hash(Settings())
