# SPDX-License-Identifier: Apache-2.0
"""Events, limits and wheels that the tests of processors are made of."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from freehold.events.models import Event
from freehold.process.interfaces import Failed, Measured, Outcome
from freehold.process.sandbox import Limits

APPLICATION = "5f0c3f62-3d8a-4d2c-a5a4-6a1b6f0f3c11"
QUICK = Limits(
    cpu_seconds=0.3,
    memory_bytes=268_435_456,
    output_bytes=65_536,
    wall_seconds=3.0,
    start_seconds=60.0,
)
"""Limits that let a test of a hang end soon. `start_seconds` is for a machine that is busy with other tests."""

_number = itertools.count()


def event(payload: object = None, content_type: str = "application/json", **fields: object) -> Event:
    """An event with `payload` as its data: bytes as they are, anything else as JSON."""
    data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    number = next(_number)
    values: dict[str, object] = {
        "id": f"01935b1e-0000-7000-8000-{number:012x}",
        "time": 1_732_240_800_000_000 + number,
        "application": "plant",
        "applicationuid": APPLICATION,
        "device": "my-dev",
        "deviceuid": "d-1",
        "sender": "gateway",
        "senderuid": "d-2",
        "subject": "telemetry",
        "datacontenttype": content_type,
        "data": data,
        "instance": "test",
    }
    return Event(**(values | fields))  # type: ignore[arg-type]


def rows(outcome: Outcome) -> Sequence[Measured]:
    """The results of an event that did not fail."""
    assert not isinstance(outcome, Failed), outcome
    return outcome


def data_of(outcome: Outcome) -> dict[str, Any]:
    """The fields of the one result of an event."""
    (only,) = rows(outcome)
    return only.data


def failed(outcome: Outcome) -> Failed:
    assert isinstance(outcome, Failed), outcome
    return outcome


def make_wheel(folder: Path, name: str, version: str, files: Mapping[str, str], requires: str = "") -> Path:
    """A wheel of `files` that pip installs."""
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    if requires:
        metadata += f"Requires-Dist: {requires}\n"
    contents = {
        **files,
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},sha256={_digest(text)},{len(text.encode())}\n" for path, text in contents.items())
    wheel = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in contents.items():
            archive.writestr(path, text)
        archive.writestr(f"{info}/RECORD", record + f"{info}/RECORD,,\n")
    return wheel


def _digest(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
