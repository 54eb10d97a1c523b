# SPDX-License-Identifier: Apache-2.0
"""What the documentation and the template say is what happens."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from freehold.core.settings import TABLE
from freehold.process import packages
from freehold.process.environments import BYTES, SECONDS
from freehold.process.guest.channel import JSON
from freehold.process.guest.contract import MOST_RESULTS, pack, unwrap
from freehold.process.guest.script import Script
from freehold.process.sandbox.command import USER_IDS
from freehold.process.sandbox.limits import FILE_BYTES, PROCESSES
from freehold.process.sandbox.worker import PRINTED
from freehold.process.template import TEMPLATE

DOCS = Path(__file__).parents[2] / "docs" / "processors.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)


def fields_of(script: Script, payload: str) -> list[Any]:
    data, names = unwrap(memoryview(payload.encode()), JSON, takes_event=script.takes_event)
    event = {"datacontenttype": "application/json", "subject": "telemetry"}
    result = script.main(data, event) if script.takes_event else script.main(data)
    return [part[0] for part in json.loads(pack(result, names))]


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_do_what_they_say(example: str) -> None:
    claims = re.findall(r"^# (.*) -> (.*)$", example, re.MULTILINE)
    assert claims
    script = Script(example)
    for payload, expected in claims:
        wanted = json.loads(expected)
        assert fields_of(script, payload) == (wanted if isinstance(wanted, list) else [wanted])


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 3


def test_settings_that_are_named_exist() -> None:
    named = set(re.findall(r"`(process\.[a-z_]+)", DOCS.read_text()))
    assert len(named) >= 6
    assert named <= {row.name for row in TABLE}


@pytest.mark.parametrize(
    "said",
    [
        f"at most {packages.MOST}",
        f"at most {MOST_RESULTS}",
        f"| {PROCESSES}; their CPU time",
        f"| {FILE_BYTES >> 20} MB, the worker's own",
        f"the newest {PRINTED >> 10} KB",
        f"{BYTES >> 30} GB, {SECONDS / 60:g} minutes",
        f"({USER_IDS:,} of them)",
    ],
)
def test_numbers_that_are_said_are_true(said: str) -> None:
    assert said in DOCS.read_text()


def test_the_template_turns_resistance_into_temperature() -> None:
    script = Script(TEMPLATE)
    assert fields_of(script, '{"resistance": 10000}') == [{"temperature": 25.0, "resistance": 10000}]
    ((warmer,), (colder,)) = (fields_of(script, f'{{"resistance": {ohms}}}') for ohms in (8056, 32_650))
    assert warmer["temperature"] == pytest.approx(30.0, abs=0.2)
    assert colder["temperature"] == pytest.approx(0.0, abs=1.5)


def test_the_template_leaves_other_messages_alone() -> None:
    assert fields_of(Script(TEMPLATE), '{"humidity": 40}') == [{"humidity": 40}]
