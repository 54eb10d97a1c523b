# SPDX-License-Identifier: Apache-2.0
"""`freehold docs FOLDER`: write the reference pages that are generated from the tables in code."""

from __future__ import annotations

import argparse
from pathlib import Path

from freehold.core.reference import errors_page, settings_page

PAGES = {"settings.md": settings_page, "errors.md": errors_page}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, nargs="?", default=Path("docs"), help="where to (default: docs)")


def run(options: argparse.Namespace) -> int:
    options.folder.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (options.folder / name).write_text(page())
        print(options.folder / name)
    return 0
