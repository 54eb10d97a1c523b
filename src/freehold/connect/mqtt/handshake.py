# SPDX-License-Identifier: Apache-2.0
"""CONNECT: what the device shows, and the CONNACK that it gets. Pure functions (contract drogue.md 1.3)."""

from __future__ import annotations

from freehold.connect.credentials import split_device_user
from freehold.connect.interfaces import Presented
from freehold.connect.mqtt.codec import (
    Connack,
    Connect,
    ConnectReturnCode,
    Properties,
    ReasonCode,
    UnsupportedVersion,
    encode,
    return_code_for,
)
from freehold.core.errors import AUTHENTICATION_UNAVAILABLE, CREDENTIALS_REJECTED, FreeholdError
from freehold.core.settings import Mqtt


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


def refused(version: int, error: FreeholdError) -> bytes:
    """The CONNACK that refuses. All that is not our own trouble is "bad user name or password" (1.3)."""
    ours = error.refusal.status >= 500 and error.refusal is not AUTHENTICATION_UNAVAILABLE
    reason = ReasonCode(error.refusal.mqtt) if ours else ReasonCode.BAD_USER_NAME_OR_PASSWORD
    if error.refusal is AUTHENTICATION_UNAVAILABLE or error.refusal.status == 429:
        reason = ReasonCode(error.refusal.mqtt)
    if version != 5:
        code = ConnectReturnCode.BAD_USER_NAME_OR_PASSWORD
        if reason is not ReasonCode.BAD_USER_NAME_OR_PASSWORD:
            code = return_code_for(reason)
        return encode(Connack(reason_code=code), version)
    return encode(Connack(reason_code=reason, properties=reason_properties(error)), 5)


def reason_properties(error: FreeholdError) -> Properties:
    """Reason string for version 5; a refused credential says no more than its title."""
    if error.refusal is CREDENTIALS_REJECTED:
        return Properties(reason_string=f"{error.refusal.title} [{error.refusal.code}]")
    return Properties(reason_string=error.reason_string()[:512])


def unsupported(error: UnsupportedVersion) -> bytes:
    """The CONNACK for a version that is not spoken, in one that the client may understand (3.1.2.2)."""
    reason = ReasonCode.UNSUPPORTED_PROTOCOL_VERSION
    if error.answer_version == 5:
        return encode(Connack(reason_code=reason, properties=Properties(reason_string=error.text)), 5)
    return encode(Connack(reason_code=return_code_for(reason)), 4)


_DISCONNECT_REASONS = {
    0x80: ReasonCode.UNSPECIFIED_ERROR,
    0x82: ReasonCode.PROTOCOL_ERROR,
    0x87: ReasonCode.NOT_AUTHORIZED,
    0x8B: ReasonCode.SERVER_SHUTTING_DOWN,
    0x8D: ReasonCode.KEEP_ALIVE_TIMEOUT,
    0x8E: ReasonCode.SESSION_TAKEN_OVER,
    0x90: ReasonCode.TOPIC_NAME_INVALID,
    0x97: ReasonCode.QUOTA_EXCEEDED,
}


def disconnect_reason(error: FreeholdError) -> ReasonCode:
    """The reason code as a DISCONNECT may carry it (table 3.14.2.1); others are "unspecified"."""
    return _DISCONNECT_REASONS.get(error.refusal.mqtt, ReasonCode.UNSPECIFIED_ERROR)
