# SPDX-License-Identifier: Apache-2.0
"""The fifteen control packets as frozen values; field names are those of the specification.

They are msgspec Structs because making one costs 0.1 us where a frozen dataclass costs 1 us, and
without garbage collection tracking because they hold only values that cannot form cycles. The
values serve both versions: what 3.1.1 lacks (properties, reason codes of acknowledgements) keeps
its default there, and ``encode`` refuses what the chosen version cannot say.
"""

from typing import ClassVar

from msgspec import Struct

from freehold.connect.mqtt.codec.kinds import PacketType
from freehold.connect.mqtt.codec.properties import NO_PROPERTIES, Properties
from freehold.connect.mqtt.codec.reasons import ConnectReturnCode, ReasonCode


class Packet(Struct, frozen=True, gc=False, repr_omit_defaults=True):
    """Base of all packets."""

    type: ClassVar[PacketType]


class Will(Struct, frozen=True, gc=False, repr_omit_defaults=True):
    """The message that the server publishes when the connection ends abnormally (3.1.2.5)."""

    topic: str
    payload: bytes = b""
    qos: int = 0
    retain: bool = False
    properties: Properties = NO_PROPERTIES


class Connect(Packet, frozen=True, gc=False):
    """CONNECT (3.1). ``keep_alive`` in seconds, 0 for none; ``clean_start`` is "clean session" in
    3.1.1. The representation hides the password."""

    type = PacketType.CONNECT
    client_id: str
    version: int = 5
    clean_start: bool = True
    keep_alive: int = 0
    user_name: str | None = None
    password: bytes | None = None
    will: Will | None = None
    properties: Properties = NO_PROPERTIES

    def __repr__(self) -> str:
        password = None if self.password is None else "..."
        return (
            f"Connect(client_id={self.client_id!r}, version={self.version}, "
            f"clean_start={self.clean_start}, keep_alive={self.keep_alive}, "
            f"user_name={self.user_name!r}, password={password}, will={self.will!r}, "
            f"properties={self.properties!r})"
        )


class Connack(Packet, frozen=True, gc=False):
    """CONNACK (3.2). 3.1.1 carries a ``ConnectReturnCode``, 5.0 a ``ReasonCode``."""

    type = PacketType.CONNACK
    session_present: bool = False
    reason_code: ReasonCode | ConnectReturnCode = ReasonCode.SUCCESS
    properties: Properties = NO_PROPERTIES


class Publish(Packet, frozen=True, gc=False):
    """PUBLISH (3.3). ``packet_id`` is 0 exactly when ``qos`` is 0; ``topic`` is empty only in 5.0
    together with a topic alias."""

    type = PacketType.PUBLISH
    topic: str
    payload: bytes = b""
    qos: int = 0
    retain: bool = False
    dup: bool = False
    packet_id: int = 0
    properties: Properties = NO_PROPERTIES


class Acknowledgement(Packet, frozen=True, gc=False):
    """What PUBACK, PUBREC, PUBREL and PUBCOMP have in common."""

    packet_id: int
    reason_code: ReasonCode = ReasonCode.SUCCESS
    properties: Properties = NO_PROPERTIES


class Puback(Acknowledgement, frozen=True, gc=False):
    """PUBACK (3.4): answer to a QoS 1 PUBLISH."""

    type = PacketType.PUBACK


class Pubrec(Acknowledgement, frozen=True, gc=False):
    """PUBREC (3.5): first answer to a QoS 2 PUBLISH."""

    type = PacketType.PUBREC


class Pubrel(Acknowledgement, frozen=True, gc=False):
    """PUBREL (3.6): answer to PUBREC."""

    type = PacketType.PUBREL


class Pubcomp(Acknowledgement, frozen=True, gc=False):
    """PUBCOMP (3.7): answer to PUBREL, the end of a QoS 2 exchange."""

    type = PacketType.PUBCOMP


class Subscription(Struct, frozen=True, gc=False, repr_omit_defaults=True):
    """A topic filter with its subscription options (3.8.3.1); all but ``qos`` exist in 5.0 only.

    ``retain_handling``: 0 send retained messages, 1 only if the subscription is new, 2 never.
    The filter is well-formed UTF-8 and not empty, but its wildcards are not checked here: that is
    ``topics.validate_topic_filter``, so that one bad filter can be refused in SUBACK by itself.
    """

    topic_filter: str
    qos: int = 0
    no_local: bool = False
    retain_as_published: bool = False
    retain_handling: int = 0


class Subscribe(Packet, frozen=True, gc=False):
    """SUBSCRIBE (3.8)."""

    type = PacketType.SUBSCRIBE
    packet_id: int
    subscriptions: tuple[Subscription, ...]
    properties: Properties = NO_PROPERTIES


class Suback(Packet, frozen=True, gc=False):
    """SUBACK (3.9): one reason code per subscription, in its order."""

    type = PacketType.SUBACK
    packet_id: int
    reason_codes: tuple[ReasonCode, ...]
    properties: Properties = NO_PROPERTIES


class Unsubscribe(Packet, frozen=True, gc=False):
    """UNSUBSCRIBE (3.10)."""

    type = PacketType.UNSUBSCRIBE
    packet_id: int
    topic_filters: tuple[str, ...]
    properties: Properties = NO_PROPERTIES


class Unsuback(Packet, frozen=True, gc=False):
    """UNSUBACK (3.11): one reason code per filter in 5.0, none at all in 3.1.1."""

    type = PacketType.UNSUBACK
    packet_id: int
    reason_codes: tuple[ReasonCode, ...] = ()
    properties: Properties = NO_PROPERTIES


class Pingreq(Packet, frozen=True, gc=False):
    """PINGREQ (3.12)."""

    type = PacketType.PINGREQ


class Pingresp(Packet, frozen=True, gc=False):
    """PINGRESP (3.13)."""

    type = PacketType.PINGRESP


class Disconnect(Packet, frozen=True, gc=False):
    """DISCONNECT (3.14); in 3.1.1 the client sends it and it says nothing more."""

    type = PacketType.DISCONNECT
    reason_code: ReasonCode = ReasonCode.NORMAL_DISCONNECTION
    properties: Properties = NO_PROPERTIES


class Auth(Packet, frozen=True, gc=False):
    """AUTH (3.15), MQTT 5 only: a step of an enhanced authentication."""

    type = PacketType.AUTH
    reason_code: ReasonCode = ReasonCode.SUCCESS
    properties: Properties = NO_PROPERTIES
