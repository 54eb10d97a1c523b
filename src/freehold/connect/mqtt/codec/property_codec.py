# SPDX-License-Identifier: Apache-2.0
"""Reading and writing a property set, driven by ``PROPERTY_TABLE`` (2.2.2).

The answers to a bad set are those of the specification: an identifier that is unknown or not
allowed in its packet, or a length that does not add up, is a Malformed Packet (2.2.2.2, 0x81); a
repeated property or a forbidden value is a Protocol Error (0x82, or 0x94 for topic alias 0).
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from msgspec.structs import astuple

from freehold.connect.mqtt.codec.errors import EncodeError, ProtocolViolation
from freehold.connect.mqtt.codec.kinds import PropertyScope
from freehold.connect.mqtt.codec.primitives import (
    Reader,
    binary_bytes,
    malformed,
    string_bytes,
    varint_bytes,
)
from freehold.connect.mqtt.codec.properties import (
    NO_PROPERTIES,
    PROPERTY_TABLE,
    Properties,
    PropertySpec,
    WireType,
)
from freehold.connect.mqtt.codec.reasons import ReasonCode

# Values are typed by `Properties`; between the wire and that struct they are what the table says.
_Reads = Callable[[Reader, str], Any]
_Writes = Callable[[Any, str], bytes]

_READ: Final[Mapping[WireType, _Reads]] = {
    WireType.BYTE: Reader.u8,
    WireType.FLAG: Reader.u8,
    WireType.U16: Reader.u16,
    WireType.U32: Reader.u32,
    WireType.VARINT: Reader.varint,
    WireType.STRING: Reader.string,
    WireType.TOPIC: Reader.string,
    WireType.BINARY: Reader.binary,
    WireType.PAIR: lambda reader, what: (reader.string(what), reader.string(what)),
}

_WRITE: Final[Mapping[WireType, _Writes]] = {
    WireType.BYTE: lambda value, _: value.to_bytes(1, "big"),
    WireType.FLAG: lambda value, _: value.to_bytes(1, "big"),
    WireType.U16: lambda value, _: value.to_bytes(2, "big"),
    WireType.U32: lambda value, _: value.to_bytes(4, "big"),
    WireType.VARINT: lambda value, _: varint_bytes(value),
    WireType.STRING: string_bytes,
    WireType.TOPIC: string_bytes,
    WireType.BINARY: binary_bytes,
    WireType.PAIR: lambda pair, what: string_bytes(pair[0], what) + string_bytes(pair[1], what),
}


_DATA_ALONE: Final = "authentication data without authentication method (3.1.2.11.10)"


class _Step(NamedTuple):
    """A row of the table for one scope, resolved: enum lookups per packet would cost more than all
    the rest (0.2 us each)."""

    spec: PropertySpec
    read: _Reads
    write: _Writes
    allowed: bool
    repeats: bool


def _steps(scope: PropertyScope) -> dict[str, _Step]:
    return {
        spec.name: _Step(spec, _READ[spec.type], _WRITE[spec.type], scope in spec.scopes, scope in spec.repeats)
        for spec in PROPERTY_TABLE
    }


_BY_IDENTIFIER: Final[Mapping[PropertyScope, Mapping[int, _Step]]] = {
    scope: {step.spec.identifier: step for step in _steps(scope).values() if step.allowed} for scope in PropertyScope
}

_BY_FIELD: Final[Mapping[PropertyScope, tuple[_Step, ...]]] = {
    scope: tuple(_steps(scope)[field] for field in Properties.__struct_fields__) for scope in PropertyScope
}


def decode_properties(reader: Reader, scope: PropertyScope) -> Properties:
    """Read the property length and the properties; leaves the reader behind them.

    Raises ``MalformedPacket`` or ``ProtocolViolation`` as the module's text says. Without any
    property the shared ``NO_PROPERTIES`` comes back.
    """
    length = reader.varint("property length")
    if not length:
        return NO_PROPERTIES
    outer, stop = reader.end, reader.pos + length
    if stop > outer:
        malformed(f"property length {length} runs past the packet (2.2.2.1)")
    reader.end = stop
    values = _values(reader, scope)
    reader.end = outer
    if "authentication_data" in values and "authentication_method" not in values:
        raise ProtocolViolation(ReasonCode.PROTOCOL_ERROR, _DATA_ALONE)
    return Properties(**values)


def _values(reader: Reader, scope: PropertyScope) -> dict[str, Any]:
    """The fields of ``Properties`` that the reader's window holds."""
    values: dict[str, Any] = {}
    collected: dict[str, list[Any]] = {}
    steps = _BY_IDENTIFIER[scope]
    while reader.pos < reader.end:
        identifier = reader.u8("property identifier")
        step = steps.get(identifier)
        if step is None:
            malformed(f"property 0x{identifier:02X} may not stand in {scope.name} (2.2.2.2)")
        spec = step.spec
        value = step.read(reader, spec.label)
        if spec.checked and (fault := _fault(spec, value)) is not None:
            raise ProtocolViolation(spec.refusal, fault)
        name = spec.name
        if step.repeats:
            collected.setdefault(name, []).append(value)
        elif name in values:
            raise ProtocolViolation(ReasonCode.PROTOCOL_ERROR, f"{spec.label} stands more than once (2.2.2.2)")
        elif spec.type is WireType.FLAG:
            values[name] = value == 1
        else:
            values[name] = (value,) if spec.many else value
    for name, several in collected.items():
        values[name] = tuple(several)
    return values


def encode_properties(properties: Properties, scope: PropertyScope) -> bytes:
    """The property length and the properties, in the order of the struct's fields.

    Raises ``EncodeError`` for a property that may not stand in ``scope`` or has a forbidden value.
    """
    if properties is NO_PROPERTIES:
        return b"\0"
    out = bytearray()
    for held, step in zip(astuple(properties), _BY_FIELD[scope], strict=True):
        spec = step.spec
        if held is None or (spec.many and not held):
            continue
        if not step.allowed:
            raise EncodeError(f"{spec.label} may not stand in {scope.name}")
        values = held if spec.many else (held,)
        if len(values) > 1 and not step.repeats:
            raise EncodeError(f"{spec.label} may stand only once in {scope.name}")
        for value in values:
            if spec.checked and (fault := _fault(spec, value)) is not None:
                raise EncodeError(fault)
            out.append(spec.identifier)
            out += step.write(value, spec.label)
    if properties.authentication_data is not None and properties.authentication_method is None:
        raise EncodeError(_DATA_ALONE)
    return varint_bytes(len(out)) + bytes(out)


def _fault(spec: PropertySpec, value: Any) -> str | None:
    """What is wrong with a value of this property, if anything."""
    if spec.type is WireType.TOPIC:
        if not value or "+" in value or "#" in value:
            return f"{spec.label} is empty or holds a wildcard [MQTT-3.3.2-14]"
    elif not spec.minimum <= value <= spec.maximum:
        return f"{spec.label} {value} is not in {spec.minimum} to {spec.maximum}"
    return None
