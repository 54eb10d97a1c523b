# SPDX-License-Identifier: Apache-2.0
"""Refusals as version 5 says them, within what the client takes. Pure functions.

A reason string is left out where the client does not want any [MQTT-3.1.2-29] or where the packet would
then be larger than it takes [MQTT-3.1.2-24]; a DISCONNECT that is too large even so is not sent.
"""

from __future__ import annotations

from typing import NamedTuple

from freehold.connect.mqtt.codec import (
    MAX_PACKET_SIZE,
    Connect,
    DecodeError,
    Disconnect,
    Properties,
    Puback,
    ReasonCode,
    encode,
)
from freehold.connect.mqtt.codec.kinds import PacketType
from freehold.connect.mqtt.codec.reasons import ALLOWED
from freehold.core.errors import INTERNAL, LOG_UNAVAILABLE, FreeholdError

LONGEST_REASON = 512
"""Characters of a reason string."""


class Limits(NamedTuple):
    """What a client takes: bytes of a packet, commands without PUBACK, words beside codes."""

    packet_bytes: int
    receives: int
    words: bool


NO_LIMITS = Limits(MAX_PACKET_SIZE, 65_535, True)


def limits_of(packet: Connect) -> Limits:
    """What a CONNECT says about it; what it does not say is unlimited (3.1.2.11)."""
    said = packet.properties
    if said.maximum_packet_size is said.receive_maximum is said.request_problem_information is None:
        return NO_LIMITS
    return Limits(
        said.maximum_packet_size or NO_LIMITS.packet_bytes,
        said.receive_maximum or NO_LIMITS.receives,
        said.request_problem_information is not False,
    )


def refused_publish(packet_id: int, error: FreeholdError, limits: Limits) -> bytes:
    """The PUBACK that refuses; a reason that it cannot carry (3.4.2.1) becomes "unspecified"."""
    reason = _carried(PacketType.PUBACK, error.refusal.mqtt)
    if limits.words:
        packet = encode(Puback(packet_id, reason, words(said(error))), 5)
        if len(packet) <= limits.packet_bytes:
            return packet
    return encode(Puback(packet_id, reason), 5)


def disconnect(version: int, error: FreeholdError, limits: Limits) -> bytes:
    """The DISCONNECT that says why we close; nothing in 3.1.1, which has no such packet."""
    if version != 5:
        return b""
    return _disconnect(_carried(PacketType.DISCONNECT, error.refusal.mqtt), said(error), limits)


def protocol_error(version: int, error: DecodeError, limits: Limits) -> bytes:
    """The same for a client that broke the protocol."""
    return _disconnect(error.reason_code, error.text, limits) if version == 5 else b""


def said(error: FreeholdError) -> str:
    """The words for a refusal. The cause of a fault of ours (paths, errno) is the owner's, not the device's."""
    if error.refusal in (LOG_UNAVAILABLE, INTERNAL):
        return error.refusal.error().reason_string()
    return error.reason_string()


def words(text: str) -> Properties:
    """`text` as a reason string: bounded, and whatever it repeats of a device's text made fit for MQTT (1.5.4)."""
    fit = text[:LONGEST_REASON].encode("utf-8", "replace").decode().replace("\0", "?")
    return Properties(reason_string=fit)


def _disconnect(reason: ReasonCode, text: str, limits: Limits) -> bytes:
    # Request problem information 0 does not forbid words here [MQTT-3.1.2-29].
    for properties in (words(text), Properties()):
        packet = encode(Disconnect(reason, properties), 5)
        if len(packet) <= limits.packet_bytes:
            return packet
    return b""


def _carried(kind: PacketType, code: int) -> ReasonCode:
    return ALLOWED[kind].get(code, ReasonCode.UNSPECIFIED_ERROR)
