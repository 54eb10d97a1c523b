# SPDX-License-Identifier: Apache-2.0
"""Ready-to-paste lines for a device: curl, mosquitto_pub, mosquitto_sub (contract drogue.md 1.1-1.3).

The secret stands in the arguments, because these are lines that a person tries by hand and both programs
take it nowhere else in one line; the page says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from freehold.console.quoting import shell_word

SAMPLE = '{"temperature": 21.5}'
CHANNEL = "telemetry"


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where devices reach this installation. A port of 0 means that the endpoint is switched off."""

    host: str
    http_port: int
    mqtt_port: int


@dataclass(frozen=True, slots=True)
class Snippet:
    """One command: what it does and the line itself."""

    id: str
    title: str
    line: str


def device_user(application: str, device: str) -> str:
    """`device@application`, in the device `@`, `%`, `:` and what cannot be seen percent-encoded.

    The platform splits at the first `@` and decodes the left part (1.1); HTTP Basic splits user and
    password at the first `:` (RFC 7617, 2).
    """
    encoded = "".join(
        character if character.isprintable() and character not in "%@:" else quote(character, safe="")
        for character in device
    )
    return f"{encoded}@{application}"


def snippets(endpoints: Endpoints, application: str, device: str, secret: str) -> Sequence[Snippet]:
    """The lines for what is switched on."""
    user = device_user(application, device)
    found = []
    if endpoints.http_port:
        url = f"http://{endpoints.host}:{endpoints.http_port}/v1/{CHANNEL}"
        words = ("curl", "-i", "-u", f"{user}:{secret}", "-H", "content-type: application/json")
        found.append(Snippet("curl", "Send with HTTP", _line(*words, "-d", SAMPLE, url)))
    if endpoints.mqtt_port:
        at = ("-h", endpoints.host, "-p", str(endpoints.mqtt_port), "-u", user, "-P", secret)
        publish = _line("mosquitto_pub", *at, "-q", "1", "-t", CHANNEL, "-m", SAMPLE)
        subscribe = _line("mosquitto_sub", *at, "-v", "-t", "command/inbox/#")
        found.append(Snippet("mosquitto-pub", "Send with MQTT", publish))
        found.append(Snippet("mosquitto-sub", "Wait for commands", subscribe))
    return found


def _line(*words: str) -> str:
    return " ".join(shell_word(word) for word in words)
