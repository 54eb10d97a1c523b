# SPDX-License-Identifier: Apache-2.0
"""The one settings table: every knob of Freehold with its type, default, bounds and help.

Sections are frozen dataclasses, so that code reads `settings.mqtt.port` and mypy knows its type; the table
is derived from them. A value comes from, the later the stronger: the default, the TOML file (`[mqtt]
port = 1883`), the environment (`FREEHOLD_MQTT_PORT`), the command line (`--mqtt-port`). `docs/settings.md`
is generated from this table and a test reads it.
"""

from __future__ import annotations

import dataclasses
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_type_hints

from freehold.core.errors import SETTING_INVALID

ENV_PREFIX = "FREEHOLD_"
HIGHEST_PORT = 65_535


def setting(
    default: Any,
    help: str,
    *,
    least: float | None = None,
    most: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    """Declare a setting: its default, one sentence of help, the bounds that a number or the words that a text keeps."""
    return field(default=default, metadata={"help": help, "least": least, "most": most, "choices": choices})


def port(default: int, help: str) -> Any:
    return setting(default, help + " (0 switches it off)", least=0, most=HIGHEST_PORT)


@dataclass(frozen=True, slots=True)
class Api:
    """Console and management API."""

    host: str = setting("127.0.0.1", "address on which console and management API listen")
    port: int = port(8080, "port of console and management API")
    public_url: str = setting("", "URL under which people reach the console, when a proxy is in front")
    session_hours: int = setting(24 * 7, "hours until a console session ends unless used", least=1)
    body_bytes: int = setting(1_048_576, "largest request body of the management API", least=1024)


@dataclass(frozen=True, slots=True)
class Http:
    """HTTP for devices."""

    host: str = setting("127.0.0.1", "address on which the device HTTP endpoint listens")
    port: int = port(8088, "port of the device HTTP endpoint")
    max_body_bytes: int = setting(65_536, "largest body that a device may post", least=1)
    max_connections: int = setting(20_000, "open connections; more are refused with 503", least=1)
    header_timeout_seconds: float = setting(15.0, "time in which a request must be complete", least=0.1)
    idle_timeout_seconds: float = setting(75.0, "time after which an idle keep-alive connection is closed", least=1)
    command_wait_seconds: int = setting(300, "longest wait for a command (`ct`) that is honoured", least=0)


@dataclass(frozen=True, slots=True)
class Mqtt:
    """MQTT for devices."""

    host: str = setting("127.0.0.1", "address on which the MQTT endpoint listens")
    port: int = port(1883, "port of MQTT over TCP")
    max_packet_bytes: int = setting(16_384, "largest MQTT packet that a device may send", least=128, most=268_435_455)
    max_connections: int = setting(100_000, "open connections; more are refused", least=1)
    connect_timeout_seconds: float = setting(15.0, "time from the open connection to a complete CONNECT", least=0.1)
    max_keep_alive_seconds: int = setting(
        3600,
        "longest keep alive; a v5 client that asks for more or none is told this one",
        least=1,
        most=65535,
    )
    receive_maximum: int = setting(
        256, "publishes with QoS 1 that one connection may have unanswered", least=1, most=65535
    )
    inbox: int = setting(32, "commands that may wait for one slow connection", least=1)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one address, device or application may use up."""

    auth_failures_per_minute: int = setting(
        30, "failed sign-ins from one address in a minute before it must wait", least=1
    )
    events_per_second: int = setting(0, "events that one application may send in a second; 0 is no limit", least=0)
    password_checks: int = setting(2, "chosen passwords (argon2id) that are checked at the same time", least=1)


@dataclass(frozen=True, slots=True)
class Log:
    """The event log."""

    partitions: int = setting(1, "partitions of a new application's topic; never changes later", least=1, most=64)
    queue_bytes: int = setting(16_777_216, "events that may wait for the disk; past it endpoints refuse", least=65_536)
    retention_hours: float = setting(168.0, "age at which events leave the log", least=0.01)
    retention_bytes: int = setting(
        2_147_483_648, "bytes of events that one application may keep in the log", least=1_048_576
    )


@dataclass(frozen=True, slots=True)
class Process:
    """Processors: the owner's Python over events."""

    allow_unsandboxed: bool = setting(
        False,
        "run processors without isolation where no sandbox is possible; read `docs/processors.md` first",
    )
    cpu_seconds_per_event: float = setting(1.0, "CPU time that a processor may use on one event", least=0.01)
    memory_bytes: int = setting(268_435_456, "memory of one processor", least=33_554_432)
    output_bytes: int = setting(65_536, "largest result for one event", least=256)
    batch: int = setting(1000, "events that go to a processor at once", least=1, most=100_000)
    uid_base: int = setting(
        410_000,
        "first of the user ids under which processors run when Freehold runs as root",
        least=1000,
    )
    versions_kept: int = setting(20, "versions of a processor that are kept", least=2)


@dataclass(frozen=True, slots=True)
class Store:
    """The telemetry store."""

    retention_days: float = setting(
        365.0, "age at which measured values are deleted; minute and hour averages stay", least=0.01
    )
    rollup_retention_days: float = setting(3650.0, "age at which averages are deleted", least=0.01)
    dead_letters: int = setting(10_000, "dead letters kept for one application; the oldest leave first", least=10)


@dataclass(frozen=True, slots=True)
class Commands:
    """Commands to devices."""

    timeout_seconds: float = setting(30.0, "time in which a command must be taken before it expires", least=0.1)
    keep_days: float = setting(30.0, "days for which the life of a command is kept", least=0.01)


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings. Immutable: a change needs a restart, and a test can hold two installations side by side."""

    data: Path = setting(  # noqa: RUF009 - a Path is as immutable as the others
        Path("freehold-data"), "directory that holds everything this installation knows"
    )
    port_offset: int = setting(0, "number added to every port, so that several installations run side by side", least=0)
    instance: str = setting("freehold", "name of this installation in every event (extension `instance`)")
    log_format: str = setting(
        "auto",
        "form of the log lines; `auto` is text on a terminal, JSON elsewhere",
        choices=("auto", "json", "text"),
    )
    log_level: str = setting("info", "least weight of what is logged", choices=("debug", "info", "warning", "error"))
    api: Api = field(default_factory=Api)
    http: Http = field(default_factory=Http)
    mqtt: Mqtt = field(default_factory=Mqtt)
    limits: Limits = field(default_factory=Limits)
    log: Log = field(default_factory=Log)
    process: Process = field(default_factory=Process)
    store: Store = field(default_factory=Store)
    commands: Commands = field(default_factory=Commands)

    def port(self, configured: int) -> int:
        """The port to open for a configured one: shifted by `port_offset`, 0 stays 0 (off)."""
        return configured + self.port_offset if configured else 0


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the settings table. `name` is dotted (`mqtt.port`); `kind` the Python type of its value."""

    name: str
    kind: type
    default: Any
    help: str
    least: float | None
    most: float | None
    choices: tuple[str, ...] = ()

    @property
    def env(self) -> str:
        return ENV_PREFIX + self.name.replace(".", "_").upper()

    @property
    def flag(self) -> str:
        return "--" + self.name.replace(".", "-").replace("_", "-")

    def parse(self, raw: object) -> Any:
        """The typed value of text (environment, flag) or of a TOML value. Raises `SETTING_INVALID`."""
        try:
            value = _convert(self.kind, raw)
        except (TypeError, ValueError):
            raise SETTING_INVALID.error(f"{self.name} must be {_KIND_WORDS[self.kind]}, not {raw!r}") from None
        if self.choices and value not in self.choices:
            raise SETTING_INVALID.error(f"{self.name} must be one of {', '.join(self.choices)}, not {value!r}")
        if self.least is not None and value < self.least:
            raise SETTING_INVALID.error(f"{self.name} must be at least {self.least}, not {value}")
        if self.most is not None and value > self.most:
            raise SETTING_INVALID.error(f"{self.name} must be at most {self.most}, not {value}")
        return value


_KIND_WORDS: dict[type, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    Path: "a path that is not empty",
}
_TRUTH = {
    "true": True,
    "1": True,
    "yes": True,
    "on": True,
    "false": False,
    "0": False,
    "no": False,
    "off": False,
}


def _convert(kind: type, raw: object) -> Any:
    if kind is bool:
        if isinstance(raw, bool):
            return raw
        if not isinstance(raw, str) or raw.lower() not in _TRUTH:
            raise ValueError(raw)
        return _TRUTH[raw.lower()]
    if isinstance(raw, bool) or not isinstance(raw, str | int | float | Path):
        raise TypeError(raw)
    if kind is int and isinstance(raw, float):
        raise TypeError(raw)
    if kind is str and not isinstance(raw, str):
        raise TypeError(raw)
    if kind is Path and not str(raw):
        raise ValueError(raw)  # it would mean the working directory
    value = kind(raw)
    if kind is float and not math.isfinite(value):
        raise ValueError(raw)  # no bound holds what is not a number
    return value


def _is_section(kind: Any) -> bool:
    return dataclasses.is_dataclass(kind)


def _rows_of(section: type, prefix: str) -> list[Row]:
    hints: dict[str, Any] = get_type_hints(section)
    rows: list[Row] = []
    for item in dataclasses.fields(section):
        kind: Any = hints[item.name]
        if _is_section(kind):
            rows += _rows_of(kind, f"{prefix}{item.name}.")
        else:
            meta = item.metadata
            rows.append(
                Row(
                    prefix + item.name,
                    kind,
                    item.default,
                    meta["help"],
                    meta["least"],
                    meta["most"],
                    meta["choices"],
                )
            )
    return rows


TABLE: tuple[Row, ...] = tuple(_rows_of(Settings, ""))
"""The settings table, in the order of declaration."""


def load(
    *,
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
) -> Settings:
    """Settings from defaults, TOML `file`, `environ` and `flags` (dotted name → raw value), the later the stronger.

    Raises `SETTING_INVALID` for a value out of type or bounds, and for a name in the file or an environment
    variable with our prefix that no setting has: a typing error must not silently mean the default.
    """
    rows = {row.name: row for row in TABLE}
    values: dict[str, Any] = {}
    if file is not None:
        for name, raw in _flatten(_read_toml(file), ""):
            if name not in rows:
                raise SETTING_INVALID.error(f"{file}: there is no setting {name}")
            values[name] = rows[name].parse(raw)
    by_env = {row.env: row for row in TABLE}
    for variable, text in (environ or {}).items():
        if not variable.startswith(ENV_PREFIX) or variable in NOT_SETTINGS:
            continue
        if variable not in by_env:
            raise SETTING_INVALID.error(f"the environment variable {variable} is no setting")
        values[by_env[variable].name] = by_env[variable].parse(text)
    for name, raw in (flags or {}).items():
        if name not in rows:
            raise SETTING_INVALID.error(f"there is no setting {name}")
        values[name] = rows[name].parse(raw)
    settings: Settings = _build(Settings, "", values)
    _check_ports(settings)
    return settings


NOT_SETTINGS = frozenset({"FREEHOLD_CONFIG", "FREEHOLD_VAULT_KEY"})
"""Variables with our prefix that are not in the table: where the file is, and the root key (never in a file)."""


def _check_ports(settings: Settings) -> None:
    for name, value in as_flat(settings).items():
        if name.endswith(".port") and settings.port(value) > HIGHEST_PORT:
            raise SETTING_INVALID.error(
                f"{name} is {value}; with port_offset {settings.port_offset} that is past {HIGHEST_PORT}"
            )


def as_flat(settings: Settings) -> dict[str, Any]:
    """Dotted name → value, for handing settings to a child process and for the settings page."""
    flat: dict[str, Any] = {}
    for row in TABLE:
        value: Any = settings
        for part in row.name.split("."):
            value = getattr(value, part)
        flat[row.name] = value
    return flat


def _build(section: type, prefix: str, values: Mapping[str, Any]) -> Any:
    hints: dict[str, Any] = get_type_hints(section)
    arguments: dict[str, Any] = {}
    for item in dataclasses.fields(section):
        name = prefix + item.name
        kind: Any = hints[item.name]
        if _is_section(kind):
            arguments[item.name] = _build(kind, f"{name}.", values)
        elif name in values:
            arguments[item.name] = values[name]
    return section(**arguments)


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as cause:
        raise SETTING_INVALID.error(f"{file}: {cause}") from cause


def _flatten(table: Mapping[str, Any], prefix: str) -> list[tuple[str, Any]]:
    pairs: list[tuple[str, Any]] = []
    for key, value in table.items():
        if isinstance(value, dict):
            pairs += _flatten(value, f"{prefix}{key}.")
        else:
            pairs.append((prefix + key, value))
    return pairs
