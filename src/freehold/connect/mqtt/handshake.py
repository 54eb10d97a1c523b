# SPDX-License-Identifier: Apache-2.0
"""CONNECT: what the device shows, and the CONNACK that it gets. Pure functions (contract drogue.md 1.3)."""

from __future__ import annotations

from freehold.connect.credentials import split_device_user
from freehold.connect.interfaces import Presented
from freehold.connect.mqtt.answers import NO_LIMITS, Limits, said, words
from freehold.connect.mqtt.codec import (
    Connack,
    Connect,
    ConnectReturnCode,
    DecodeError,
    PacketType,
    Properties,
    ProtocolViolation,
    ReasonCode,
    UnsupportedVersion,
    encode,
    return_code_for,
)
from freehold.connect.mqtt.codec.reasons import ALLOWED
from freehold.core.errors import CREDENTIALS_REJECTED, FreeholdError
from freehold.core.settings import Mqtt


def check_offered(packet: Connect) -> None:
    """Raise `ProtocolViolation` for what a CONNECT of version 5 asks and its CONNACK would deny.

    3.1.1 has no words for it, and a will is worth more than its flags: it is taken as QoS 1, not retained.
    """
    if packet.version != 5:
        return
    if packet.properties.authentication_method is not None:
        text = "enhanced authentication is not offered [MQTT-4.12.0-1]"
        raise ProtocolViolation(ReasonCode.BAD_AUTHENTICATION_METHOD, text)
    if packet.will is not None and packet.will.qos > 1:
        raise ProtocolViolation(ReasonCode.QOS_NOT_SUPPORTED, "a will has QoS 0 or 1 here [MQTT-3.2.2-12]")
    if packet.will is not None and packet.will.retain:
        raise ProtocolViolation(ReasonCode.RETAIN_NOT_SUPPORTED, "a will is not retained here [MQTT-3.2.2-13]")


def presented_by(packet: Connect, address: str) -> Presented:
    """The credentials in a CONNECT. Raises `device.credentials.rejected` for a form that cannot be right.

    `device@application` as user name with a password; or any user name with a password and
    `device@application` as client id. Clean start is required: sessions are not kept yet.
    """
    if not packet.clean_start:
        raise CREDENTIALS_REJECTED.error("clean session is required")
    if packet.user_name is None or packet.password is None:
        raise CREDENTIALS_REJECTED.error("user name and password are required")
    try:
        password = packet.password.decode()
    except UnicodeDecodeError:
        raise CREDENTIALS_REJECTED.error("the password is not UTF-8") from None
    scoped = split_device_user(packet.user_name)
    if scoped is not None:
        return Presented(scoped[1], scoped[0], password, None, address)
    scoped = split_device_user(packet.client_id)
    if scoped is None:
        raise CREDENTIALS_REJECTED.error("neither user name nor client id names device@application")
    return Presented(scoped[1], scoped[0], password, packet.user_name, address)


def keep_alive_of(packet: Connect, settings: Mqtt) -> int:
    """Seconds between packets that this connection must keep; 0 is none, which only 3.1.1 can insist on."""
    if packet.version != 5:
        return packet.keep_alive
    return min(packet.keep_alive or settings.max_keep_alive_seconds, settings.max_keep_alive_seconds)


def accepted(packet: Connect, settings: Mqtt, assigned_client_id: str) -> bytes:
    """The CONNACK of success. Version 5 hears what this endpoint does not do (advice A-19)."""
    if packet.version != 5:
        return encode(Connack(reason_code=ConnectReturnCode.ACCEPTED), packet.version)
    keep_alive = keep_alive_of(packet, settings)
    properties = Properties(
        session_expiry_interval=0 if packet.properties.session_expiry_interval else None,
        receive_maximum=settings.receive_maximum,
        maximum_packet_size=settings.max_packet_bytes,
        maximum_qos=1,
        retain_available=False,
        wildcard_subscription_available=True,
        shared_subscription_available=False,
        subscription_identifier_available=False,
        assigned_client_identifier=None if packet.client_id else assigned_client_id,
        server_keep_alive=keep_alive if keep_alive != packet.keep_alive else None,
    )
    return encode(Connack(properties=properties), 5)


def refused(version: int, error: FreeholdError, limits: Limits) -> bytes:
    """The CONNACK that refuses. All that is not our own trouble is "bad user name or password" (1.3)."""
    ours = error.refusal.status >= 500 or error.refusal.status == 429
    reason = ReasonCode.BAD_USER_NAME_OR_PASSWORD
    if ours:
        reason = ALLOWED[PacketType.CONNACK].get(error.refusal.mqtt, ReasonCode.SERVER_UNAVAILABLE)
    if version != 5:
        return encode(Connack(reason_code=return_code_for(reason)), version)
    # A refused credential says no more than its title: which part of it was wrong is nobody's business.
    text = f"{error.refusal.title} [{error.refusal.code}]" if not ours else said(error)
    return _refusing(reason, text, limits)


def malformed(version: int, error: DecodeError) -> bytes:
    """The answer to a CONNECT that breaks the protocol. 3.1.1 forbids one [MQTT-3.1.4-1 of 3.1.1]."""
    if version != 5:
        return b""
    reason = ALLOWED[PacketType.CONNACK].get(error.reason_code, ReasonCode.PROTOCOL_ERROR)
    return _refusing(reason, error.text, NO_LIMITS)


def unsupported(error: UnsupportedVersion) -> bytes:
    """The CONNACK for a version that is not spoken, in one that the client may understand (3.1.2.2)."""
    reason = ReasonCode.UNSUPPORTED_PROTOCOL_VERSION
    if error.answer_version == 5:
        return _refusing(reason, error.text, NO_LIMITS)
    return encode(Connack(reason_code=return_code_for(reason)), 4)


def _refusing(reason: ReasonCode, text: str, limits: Limits) -> bytes:
    for properties in (words(text), Properties()):
        packet = encode(Connack(reason_code=reason, properties=properties), 5)
        if len(packet) <= limits.packet_bytes:
            return packet
    return b""
