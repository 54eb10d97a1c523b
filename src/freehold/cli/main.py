# SPDX-License-Identifier: Apache-2.0
"""The `freehold` program. Each command is a module of this package with `add_arguments` and `run`.

Modules are imported when their command is used: `freehold version` must not wait for a web framework.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from pathlib import Path
from typing import Any, Protocol

from freehold.core.errors import FreeholdError
from freehold.core.settings import TABLE, Settings, load

COMMANDS = {
    "up": "run the platform until it is stopped",
    "demo": "run the platform with three virtual sensors, a processor and a lamp",
    "link": "print a one-time sign-in link for the owner",
    "bench": "measure this machine with a load generator",
    "torture": "kill the platform under load again and again and count what is lost",
    "docs": "write the generated reference pages (settings, errors)",
    "version": "print the version",
}


class Command(Protocol):
    """What a command's module offers."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...
    def run(self, options: argparse.Namespace) -> int: ...


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    parser = _parser(next((word for word in arguments if word in COMMANDS), None))
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return 2
    try:
        return _module(options.command).run(options)
    except FreeholdError as refusal:
        print(f"freehold: {refusal.detail or refusal.refusal.title}", file=sys.stderr)
        print(f"          {refusal.refusal.remedy}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def settings_of(options: argparse.Namespace) -> Settings:
    """Settings of this run: defaults, file, environment, flags. Raises `setting.invalid`."""
    file = options.config or os.environ.get("FREEHOLD_CONFIG")
    flags = {row.name: value for row in TABLE if (value := getattr(options, row.name, None)) is not None}
    return load(file=Path(file) if file else None, environ=os.environ, flags=flags)


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Every setting of the table as a flag; `--config` names the TOML file."""
    parser.add_argument("--config", metavar="FILE", help="TOML file with settings")
    group = parser.add_argument_group("settings (docs/settings.md)")
    for row in TABLE:
        shown = f"{row.help} (default: {row.default})".replace("%", "%%")
        group.add_argument(row.flag, dest=row.name, metavar=row.kind.__name__.upper(), help=shown)


def _parser(wanted: str | None) -> argparse.ArgumentParser:
    """`wanted`: only this command's module is imported, for its arguments."""
    parser = argparse.ArgumentParser(prog="freehold", description="An IoT platform that you own.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, help_text in COMMANDS.items():
        command = commands.add_parser(name, help=help_text, description=help_text.capitalize() + ".")
        if name == wanted:
            _module(name).add_arguments(command)
    return parser


def _module(command: str) -> Command:
    module: Any = importlib.import_module(f"freehold.cli.{command}")
    found: Command = module
    return found
