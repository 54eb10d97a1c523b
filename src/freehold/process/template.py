# SPDX-License-Identifier: Apache-2.0
"""The script that a new processor starts with: the contract in comments, and a thermistor.

A text file beside this module, because it is the owner's Python and not ours: the console shows it as it is.
"""

from __future__ import annotations

from importlib.resources import files

TEMPLATE = files(__package__).joinpath("template.py.txt").read_text("utf-8")
