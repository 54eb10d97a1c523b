# SPDX-License-Identifier: Apache-2.0
"""`freehold up`: the platform in the foreground, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence

from freehold.cli.main import add_settings, settings_of
from freehold.core import logs
from freehold.core.settings import Settings
from freehold.runtime.supervisor import ROLES, StartFailed, Supervisor, heed_signals


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--role", action="append", choices=ROLES, help="run only this role (may be given several times)"
    )
    add_settings(parser)


def run(options: argparse.Namespace) -> int:
    settings = settings_of(options)
    logs.configure(form=settings.log_format, level=settings.log_level, role="supervisor")
    try:
        asyncio.run(_up(settings, options.role or ROLES))
    except StartFailed as failure:
        print(f"freehold: {failure}", file=sys.stderr)
        return 1
    return 0


async def _up(settings: Settings, roles: Sequence[str]) -> None:
    supervisor = Supervisor(settings, roles=roles, say=lambda line: print(f"· {line}", flush=True))
    heed_signals(supervisor)
    await supervisor.start()
    if supervisor.link is not None:
        print(f"\nSign in once with this link:\n  {sign_in_url(settings, supervisor)}\n", flush=True)
    else:
        print(f"\nConsole: {console_url(settings, supervisor)}  (new sign-in link: freehold link)\n", flush=True)
    await supervisor.wait()
    await supervisor.stop()


def console_url(settings: Settings, supervisor: Supervisor) -> str:
    """Where people reach the console."""
    if settings.api.public_url:
        return settings.api.public_url.rstrip("/")
    host = "127.0.0.1" if settings.api.host in ("0.0.0.0", "::", "") else settings.api.host
    return f"http://{host}:{supervisor.ports.get('api', settings.port(settings.api.port))}"


def sign_in_url(settings: Settings, supervisor: Supervisor) -> str:
    """The link with the one-time code behind `#`, so that it is in no request line and no log."""
    return f"{console_url(settings, supervisor)}/signin#{supervisor.link}"
