# SPDX-License-Identifier: Apache-2.0
"""The 27 properties of MQTT 5 (2.2.2.2, table 2-4), as one table and one struct.

``Properties`` has a typed field per property, absent ones ``None`` (or an empty tuple where the
property may repeat), so that code reads ``packet.properties.content_type`` and mypy checks it.
``PROPERTY_TABLE`` says everything else (identifier, wire type, range, places); the functions in
``property_codec`` follow it.
"""

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

from msgspec import Struct

from freehold.connect.mqtt.codec.kinds import MAX_REMAINING_LENGTH, PropertyScope
from freehold.connect.mqtt.codec.reasons import ReasonCode


class Properties(Struct, frozen=True, gc=False, kw_only=True, repr_omit_defaults=True):
    """The properties of one packet, or of a will. Times are in seconds, sizes in bytes."""

    payload_format_indicator: int | None = None
    message_expiry_interval: int | None = None
    content_type: str | None = None
    response_topic: str | None = None
    correlation_data: bytes | None = None
    subscription_identifiers: tuple[int, ...] = ()
    session_expiry_interval: int | None = None
    assigned_client_identifier: str | None = None
    server_keep_alive: int | None = None
    authentication_method: str | None = None
    authentication_data: bytes | None = None
    request_problem_information: bool | None = None
    will_delay_interval: int | None = None
    request_response_information: bool | None = None
    response_information: str | None = None
    server_reference: str | None = None
    reason_string: str | None = None
    receive_maximum: int | None = None
    topic_alias_maximum: int | None = None
    topic_alias: int | None = None
    maximum_qos: int | None = None
    retain_available: bool | None = None
    user_properties: tuple[tuple[str, str], ...] = ()
    maximum_packet_size: int | None = None
    wildcard_subscription_available: bool | None = None
    subscription_identifier_available: bool | None = None
    shared_subscription_available: bool | None = None

    def __repr__(self) -> str:
        shown = (
            f"{name}={'...' if name == 'authentication_data' else repr(value)}"
            for name in self.__struct_fields__
            if (value := getattr(self, name)) not in (None, ())
        )
        return f"Properties({', '.join(shown)})"


NO_PROPERTIES: Final = Properties()
"""What every packet without properties shares; ``is NO_PROPERTIES`` is the cheap first question."""


class WireType(Enum):
    """How a property's value is written (2.2.2.2); FLAG is a byte that is 0 or 1."""

    BYTE = auto()
    FLAG = auto()
    U16 = auto()
    U32 = auto()
    VARINT = auto()
    STRING = auto()
    TOPIC = auto()
    BINARY = auto()
    PAIR = auto()


_LARGEST: Final = {
    WireType.BYTE: 0xFF,
    WireType.FLAG: 1,
    WireType.U16: 0xFFFF,
    WireType.U32: 0xFFFFFFFF,
    WireType.VARINT: MAX_REMAINING_LENGTH,
}

_S = PropertyScope
_NOWHERE: Final[frozenset[PropertyScope]] = frozenset()
_EVERYWHERE: Final = frozenset(PropertyScope)
_MESSAGE: Final = frozenset({_S.PUBLISH, _S.WILL})
_HANDSHAKE: Final = frozenset({_S.CONNECT, _S.CONNACK})
_CONNECT: Final = frozenset({_S.CONNECT})
_CONNACK: Final = frozenset({_S.CONNACK})
_PUBLISH: Final = frozenset({_S.PUBLISH})
_ANSWERS: Final = _EVERYWHERE - {_S.WILL, _S.CONNECT, _S.PUBLISH, _S.SUBSCRIBE, _S.UNSUBSCRIBE}


@dataclass(frozen=True, slots=True)
class PropertySpec:
    """One row of table 2-4.

    ``name`` is the field of ``Properties``; ``scopes`` where the property may stand and
    ``repeats`` where it may do so more than once. Numbers outside ``minimum`` to ``maximum`` are
    answered with ``refusal``; a ``maximum`` of 0 becomes that of the type, and stays 0 for what
    is not a number.
    """

    identifier: int
    name: str
    type: WireType
    scopes: frozenset[PropertyScope]
    repeats: frozenset[PropertyScope] = _NOWHERE
    minimum: int = 0
    maximum: int = 0
    refusal: ReasonCode = ReasonCode.PROTOCOL_ERROR
    label: str = field(init=False)
    """The name as people write it, for error texts."""
    many: bool = field(init=False)
    """Whether the field of ``Properties`` is a tuple of values."""
    checked: bool = field(init=False)
    """Whether a well-formed value may still be a forbidden one."""

    def __post_init__(self) -> None:
        # Derived once: these are read for each property of each packet.
        largest = _LARGEST.get(self.type, 0)
        object.__setattr__(self, "maximum", self.maximum or largest)
        object.__setattr__(self, "checked", largest > 0 or self.type is WireType.TOPIC)
        one = self.name.replace("properties", "property").replace("identifiers", "identifier")
        object.__setattr__(self, "label", one.replace("_", " "))
        object.__setattr__(self, "many", bool(self.repeats))


_T = WireType
PROPERTY_TABLE: Final = (
    PropertySpec(0x01, "payload_format_indicator", _T.BYTE, _MESSAGE, maximum=1),
    PropertySpec(0x02, "message_expiry_interval", _T.U32, _MESSAGE),
    PropertySpec(0x03, "content_type", _T.STRING, _MESSAGE),
    PropertySpec(0x08, "response_topic", _T.TOPIC, _MESSAGE),
    PropertySpec(0x09, "correlation_data", _T.BINARY, _MESSAGE),
    # A PUBLISH carries one for each subscription that it matched (3.3.2.3.8).
    PropertySpec(
        0x0B,
        "subscription_identifiers",
        _T.VARINT,
        _PUBLISH | {_S.SUBSCRIBE},
        repeats=_PUBLISH,
        minimum=1,
    ),
    PropertySpec(0x11, "session_expiry_interval", _T.U32, _HANDSHAKE | {_S.DISCONNECT}),
    PropertySpec(0x12, "assigned_client_identifier", _T.STRING, _CONNACK),
    PropertySpec(0x13, "server_keep_alive", _T.U16, _CONNACK),
    PropertySpec(0x15, "authentication_method", _T.STRING, _HANDSHAKE | {_S.AUTH}),
    PropertySpec(0x16, "authentication_data", _T.BINARY, _HANDSHAKE | {_S.AUTH}),
    PropertySpec(0x17, "request_problem_information", _T.FLAG, _CONNECT),
    PropertySpec(0x18, "will_delay_interval", _T.U32, frozenset({_S.WILL})),
    PropertySpec(0x19, "request_response_information", _T.FLAG, _CONNECT),
    PropertySpec(0x1A, "response_information", _T.STRING, _CONNACK),
    PropertySpec(0x1C, "server_reference", _T.STRING, _CONNACK | {_S.DISCONNECT}),
    PropertySpec(0x1F, "reason_string", _T.STRING, _ANSWERS),
    PropertySpec(0x21, "receive_maximum", _T.U16, _HANDSHAKE, minimum=1),
    PropertySpec(0x22, "topic_alias_maximum", _T.U16, _HANDSHAKE),
    PropertySpec(0x23, "topic_alias", _T.U16, _PUBLISH, minimum=1, refusal=ReasonCode.TOPIC_ALIAS_INVALID),
    PropertySpec(0x24, "maximum_qos", _T.BYTE, _CONNACK, maximum=1),
    PropertySpec(0x25, "retain_available", _T.FLAG, _CONNACK),
    PropertySpec(0x26, "user_properties", _T.PAIR, _EVERYWHERE, repeats=_EVERYWHERE),
    PropertySpec(0x27, "maximum_packet_size", _T.U32, _HANDSHAKE, minimum=1),
    PropertySpec(0x28, "wildcard_subscription_available", _T.FLAG, _CONNACK),
    PropertySpec(0x29, "subscription_identifier_available", _T.FLAG, _CONNACK),
    PropertySpec(0x2A, "shared_subscription_available", _T.FLAG, _CONNACK),
)
