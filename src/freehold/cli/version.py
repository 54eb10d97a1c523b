# SPDX-License-Identifier: Apache-2.0
"""`freehold version`."""

from __future__ import annotations

import argparse

from freehold import __version__


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None."""


def run(_options: argparse.Namespace) -> int:
    print(__version__)
    return 0
