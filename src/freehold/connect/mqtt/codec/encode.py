# SPDX-License-Identifier: Apache-2.0
"""``encode``: the whole bytes of any control packet."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from freehold.connect.mqtt.codec.acks import encode_ack
from freehold.connect.mqtt.codec.connect import encode_connack, encode_connect
from freehold.connect.mqtt.codec.control import encode_auth, encode_disconnect, encode_ping
from freehold.connect.mqtt.codec.errors import DecodeError, EncodeError
from freehold.connect.mqtt.codec.packets import (
    Auth,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    Unsuback,
    Unsubscribe,
)
from freehold.connect.mqtt.codec.publish import publish_bytes
from freehold.connect.mqtt.codec.subscription import (
    encode_suback,
    encode_subscribe,
    encode_unsuback,
    encode_unsubscribe,
)


def _encode_publish(packet: Publish, version: int) -> bytes:
    return publish_bytes(
        packet.topic,
        packet.payload,
        version=version,
        qos=packet.qos,
        packet_id=packet.packet_id,
        retain=packet.retain,
        dup=packet.dup,
        properties=packet.properties,
    )


# Each encoder takes exactly the class it is filed under, which a mapping's type cannot say.
_ENCODERS: Final[Mapping[type[Packet], Callable[[Any, int], bytes]]] = {
    Connect: lambda packet, _version: encode_connect(packet),
    Connack: encode_connack,
    Publish: _encode_publish,
    Puback: encode_ack,
    Pubrec: encode_ack,
    Pubrel: encode_ack,
    Pubcomp: encode_ack,
    Subscribe: encode_subscribe,
    Suback: encode_suback,
    Unsubscribe: encode_unsubscribe,
    Unsuback: encode_unsuback,
    Pingreq: encode_ping,
    Pingresp: encode_ping,
    Disconnect: encode_disconnect,
    Auth: encode_auth,
}


def encode(packet: Packet, version: int) -> bytes:
    """The packet as it goes on the wire, fixed header included.

    ``version`` is the connection's protocol level (5, or anything else for 3.1.1); CONNECT ignores
    it and writes its own. What comes out is what ``decode_packet`` takes back unchanged. Raises
    ``EncodeError`` for a packet that would not be taken, or that the version cannot express.
    """
    try:
        return _ENCODERS[type(packet)](packet, version)
    except DecodeError as broken:
        # A rule that both directions share (`rules`) speaks as the decoder does.
        raise EncodeError(broken.text) from None
