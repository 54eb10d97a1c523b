# SPDX-License-Identifier: Apache-2.0
"""The host's end of `guest.channel`: requests out of events, outcomes out of answers that nobody trusts.

Payloads go out as they are. Answers are bounded before they are read and checked while they are decoded:
a script may write whatever it likes to the descriptor, and the worst that comes of it is a failed event.
"""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any

import msgspec

from freehold.events.content import DEPTH, declares_json
from freehold.events.models import Event, escape, partition_key
from freehold.process.guest.batch import PIECE
from freehold.process.guest.channel import (
    ANSWER,
    BINARY,
    CAREFUL,
    JSON,
    LAST,
    LENGTHS,
    LOAD,
    REQUEST,
    RETIRING,
    RUN,
    TEXT,
)
from freehold.process.interfaces import Failed, Measured, Outcome

LARGEST_FAILURE = 65_536
"""A failure's text is bounded by the guest; escaped as JSON it may be some times as long."""


class Garbage(Exception):
    """The worker sent what is no answer."""


class Loaded(msgspec.Struct, frozen=True):
    """Answer to a LOAD: `reason` is None when the script loaded."""

    takes_event: bool = False
    reason: Annotated[str, msgspec.Meta(max_length=1000)] | None = None
    detail: Annotated[str, msgspec.Meta(max_length=8192)] = ""
    line: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A checked answer: outcomes of the next events of the batch."""

    outcomes: list[Outcome]
    last: bool
    retiring: bool


_outcomes: msgspec.json.Decoder[list[list[Measured] | Failed]] = msgspec.json.Decoder(list[list[Measured] | Failed])
_loaded = msgspec.json.Decoder(Loaded)
_encode = msgspec.json.Encoder().encode


@lru_cache(maxsize=1024)
def kind_of(content_type: str) -> int:
    """JSON, TEXT or BINARY; what counts as JSON is decided at the door (`events.content`)."""
    if declares_json(content_type):
        return JSON
    return TEXT if content_type.lower().startswith("text/") else BINARY


def load_request(nonce: int, source: str) -> bytes:
    payload = source.encode("utf-8", "surrogatepass")
    lengths = array(LENGTHS, [len(payload)]).tobytes()
    return REQUEST.pack(nonce, LOAD, 0, 1, 0, len(payload)) + lengths + b"\0" + payload


def run_request(nonce: int, events: Sequence[Event], *, careful: bool, with_events: bool) -> bytes:
    """One frame for a batch. The attributes of the events go along when the script takes them."""
    payloads = [event.data for event in events]
    kinds = bytes([kind_of(event.datacontenttype) for event in events])
    joined = b"".join(payloads)
    metadata = _encode([attributes(event) for event in events]) if with_events else b""
    head = REQUEST.pack(nonce, RUN, CAREFUL if careful else 0, len(payloads), len(metadata), len(joined))
    return b"".join((head, array(LENGTHS, map(len, payloads)).tobytes(), kinds, metadata, joined))


def attributes(event: Event) -> dict[str, Any]:
    """What `main(data, event)` gets as `event`: CloudEvents attributes and extensions by their names."""
    constant = _constant_attributes(
        event.type,
        event.subject,
        event.datacontenttype,
        event.dataschema,
        event.application,
        event.applicationuid,
        event.device,
        event.deviceuid,
        event.sender,
        event.senderuid,
        event.instance,
    )
    return {**event.extensions, **constant, "id": event.id, "time": event.time_text}


@lru_cache(maxsize=4096)
def _constant_attributes(
    kind: str,
    subject: str,
    content_type: str,
    schema: str | None,
    application: str,
    application_uid: str,
    device: str,
    device_uid: str,
    sender: str,
    sender_uid: str,
    instance: str,
) -> dict[str, Any]:
    """What stays the same from one event of a channel to the next: escaping names costs more than the rest."""
    return {
        "specversion": "1.0",
        "source": f"drogue://{application}/{escape(device)}",
        "type": kind,
        "subject": subject,
        "datacontenttype": content_type,
        "dataschema": schema,
        "application": application,
        "applicationuid": application_uid,
        "device": device,
        "deviceuid": device_uid,
        "sender": sender,
        "senderuid": sender_uid,
        "instance": instance,
        "partitionkey": partition_key(application, sender),
    }


async def read_loaded(reader: asyncio.StreamReader, nonce: int) -> Loaded:
    payload = await _read(reader, nonce, most_events=0, most_bytes=LARGEST_FAILURE)
    try:
        return _loaded.decode(payload[2])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as cause:
        raise Garbage(str(cause)) from None


async def read_answer(reader: asyncio.StreamReader, nonce: int, *, most_events: int, output_bytes: int) -> Answer:
    """The next answer of a batch. Raises IncompleteReadError when the worker is gone, and `Garbage`.

    Safe to cancel between answers: a part of one stays in the reader.
    """
    most = 2 * PIECE + max(output_bytes, LARGEST_FAILURE)
    flags, count, payload = await _read(reader, nonce, most_events=most_events, most_bytes=most)
    try:
        outcomes = _outcomes.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as cause:
        raise Garbage(str(cause)) from None
    if len(outcomes) != count:
        raise Garbage("an answer with another number of results than it says")
    # One flat result has three brackets. Only where there are many more can one be deep: then look.
    if payload.count(b"[") + payload.count(b"{") > 3 * count + DEPTH:
        outcomes = [_not_too_deep(outcome) for outcome in outcomes]
    return Answer(outcomes, bool(flags & LAST), bool(flags & RETIRING))  # type: ignore[arg-type]


def _not_too_deep(outcome: list[Measured] | Failed) -> list[Measured] | Failed:
    """What is stored can be walked at any depth of any stack, as payloads can (`events.content`)."""
    if isinstance(outcome, Failed) or all(_shallow(part.data, DEPTH) for part in outcome):
        return outcome
    return Failed(f"the result is nested deeper than {DEPTH} levels", "")


def _shallow(value: dict[str, Any] | list[Any], levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(_shallow(item, levels - 1) for item in inner if isinstance(item, dict | list))


async def _read(
    reader: asyncio.StreamReader, nonce: int, *, most_events: int, most_bytes: int
) -> tuple[int, int, bytes]:
    head = await reader.readexactly(ANSWER.size)
    found, flags, count, size = ANSWER.unpack(head)
    if found != nonce or count > most_events or size > most_bytes:
        raise Garbage("bytes that are no answer to this batch")
    return flags, count, await reader.readexactly(size)
