# SPDX-License-Identifier: Apache-2.0
"""Frames of Server-Sent Events, read back by a parser written from the HTML Standard, 9.2.6."""

from __future__ import annotations

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from freehold.deliver import sse
from freehold.deliver.models import Item, Update, parse_cursor

from .conftest import make_event


def parse(stream: bytes) -> list[dict[str, str]]:
    """The events that a browser would dispatch."""
    events, name, data, last_id = [], "", [], ""
    for line in re.split(r"\r\n|\r|\n", stream.decode("utf-8")):
        if not line:
            if data:
                events.append({"event": name or "message", "data": "\n".join(data), "id": last_id})
            name, data = "", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "event":
                name = value
            case "data":
                data.append(value)
            case "id" if "\0" not in value:
                last_id = value
    return events


@given(st.text(st.characters(exclude_categories=["Cs"])), st.from_regex(r"[0-9.\-]{0,40}", fullmatch=True))
def test_any_data_arrives_as_it_was_but_for_its_line_ends(text: str, event_id: str) -> None:
    (event,) = parse(sse.frame("event", text.encode(), event_id)) or [{"event": "event", "data": "", "id": event_id}]
    assert event["event"] == "event"
    assert event["data"].split("\n") == re.split(r"\r\n|\r|\n", text)
    assert event["id"] == event_id


@given(st.binary(max_size=300), st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60))
def test_an_event_is_one_cloud_event_whatever_the_device_sent(data: bytes, device: str) -> None:
    event = make_event(device=device, data=data, datacontenttype="application/octet-stream", subject=device)
    (found,) = parse(sse.event(Item(event, {0: 5, 3: 9})))
    document = json.loads(found["data"])
    assert (document["device"], document["subject"], document["id"]) == (device, device, event.id)
    assert parse_cursor(found["id"]) == {0: 5, 3: 9}


def test_an_update_tells_what_was_missed_first() -> None:
    update = Update(7, (Item(make_event(1), {0: 1}), Item(make_event(2), {0: 2})))
    assert [event["event"] for event in parse(sse.update(update))] == ["gap", "event", "event"]
    assert json.loads(parse(sse.update(update))[0]["data"]) == {"missed": 7}
    assert sse.update(Update()) == sse.HEARTBEAT
    assert parse(sse.HEARTBEAT) == []


def test_the_first_words_set_the_pause_before_connecting_again() -> None:
    assert sse.hello(1500) == b"retry: 1500\n\n"
    assert parse(sse.hello(1500) + sse.live()) == [{"event": "live", "data": "{}", "id": ""}]
