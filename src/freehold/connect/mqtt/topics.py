# SPDX-License-Identifier: Apache-2.0
"""Topic names, topic filters, shared subscriptions (4.7, 4.8.2).

The codec guarantees well-formed UTF-8 and topic names without wildcards; what is here holds for
strings from anywhere (settings, APIs, SUBSCRIBE). All functions are linear in the length of their
arguments and iterative: a filter of 30,000 levels is refused, not recursed into.
"""

from typing import Final, NamedTuple

MAX_LEVELS: Final = 128
"""Default bound on levels. The specification has none, but routing costs memory for each."""

MAX_BYTES: Final = 65_535
"""Longest topic in UTF-8 bytes [MQTT-4.7.3-3]."""

_SHARE: Final = "$share"


class InvalidTopic(ValueError):
    """A topic name or filter that MQTT, or the given bounds, do not allow; says which rule."""


class SharedFilter(NamedTuple):
    """A filter as subscribed to: ``group`` is its share name, ``None`` if it is not shared."""

    group: str | None
    topic_filter: str


def validate_topic_name(topic: str, *, max_levels: int = MAX_LEVELS, max_bytes: int = MAX_BYTES) -> None:
    """Raise ``InvalidTopic`` unless a message may be published to ``topic``."""
    _validate_text(topic, max_levels, max_bytes)
    if "+" in topic or "#" in topic:
        raise InvalidTopic("topic name holds a wildcard [MQTT-4.7.1-1]")


def validate_topic_filter(topic_filter: str, *, max_levels: int = MAX_LEVELS, max_bytes: int = MAX_BYTES) -> None:
    """Raise ``InvalidTopic`` unless ``topic_filter`` may be subscribed to.

    A shared filter has to be right as a whole; its ``$share`` and group count as levels.
    """
    _validate_text(topic_filter, max_levels, max_bytes)
    levels = parse_shared(topic_filter).topic_filter.split("/")
    last = len(levels) - 1
    for index, level in enumerate(levels):
        if "#" in level and (level != "#" or index != last):
            raise InvalidTopic("'#' is not a whole level, or not the last one [MQTT-4.7.1-1]")
        if "+" in level and level != "+":
            raise InvalidTopic("'+' is not a whole level [MQTT-4.7.1-2]")


def parse_shared(topic_filter: str) -> SharedFilter:
    """Split ``$share/{group}/{filter}`` (4.8.2); any other filter comes back with no group.

    Raises ``InvalidTopic`` for a shared filter without group or filter, or with a wildcard in the
    group.
    """
    share, slash, rest = topic_filter.partition("/")
    if share != _SHARE or not slash:
        return SharedFilter(None, topic_filter)
    group, _, inner = rest.partition("/")
    if not group or "+" in group or "#" in group:
        raise InvalidTopic("share name is empty or holds a wildcard [MQTT-4.8.2-1, 4.8.2-2]")
    if not inner:
        raise InvalidTopic("shared subscription without a topic filter [MQTT-4.8.2-2]")
    return SharedFilter(group, inner)


def matches(topic_filter: str, topic: str) -> bool:
    """Whether a message on ``topic`` is for a subscription to ``topic_filter``.

    Both have to be valid; of a shared filter pass the inner one. Topics that begin with ``$`` are
    not matched by a filter that begins with a wildcard [MQTT-4.7.2-1], and ``a/#`` matches ``a``
    (4.7.1.2).
    """
    if topic_filter[:1] in ("+", "#") and topic[:1] == "$":
        return False
    wanted = topic_filter.split("/")
    levels = topic.split("/")
    for index, level in enumerate(wanted):
        if level == "#":
            return True
        if index == len(levels) or level not in ("+", levels[index]):
            return False
    return len(wanted) == len(levels)


def _validate_text(topic: str, max_levels: int, max_bytes: int) -> None:
    if not topic:
        raise InvalidTopic("topic is empty [MQTT-4.7.3-1]")
    if "\0" in topic:
        raise InvalidTopic("topic holds U+0000 [MQTT-4.7.3-2]")
    try:
        size = len(topic.encode())
    except UnicodeEncodeError:
        raise InvalidTopic("topic holds a lone surrogate [MQTT-1.5.4-1]") from None
    if size > max_bytes:
        raise InvalidTopic(f"topic has {size} bytes, at most {max_bytes} are allowed")
    levels = topic.count("/") + 1
    if levels > max_levels:
        raise InvalidTopic(f"topic has {levels} levels, at most {max_levels} are allowed")
