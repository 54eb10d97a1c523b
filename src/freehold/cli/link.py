# SPDX-License-Identifier: Apache-2.0
"""`freehold link`: a new one-time sign-in link, for whoever can read the data directory."""

from __future__ import annotations

import argparse

from freehold.cli.main import add_settings, settings_of
from freehold.cli.setup import open_identity


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_settings(parser)


def run(options: argparse.Namespace) -> int:
    settings = settings_of(options)
    identity = open_identity(settings)
    base = settings.api.public_url.rstrip("/") or f"http://127.0.0.1:{settings.port(settings.api.port)}"
    print(f"{base}/signin#{identity.make_link(identity.first_owner())}")
    return 0
