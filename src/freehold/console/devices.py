# SPDX-License-Identifier: Apache-2.0
"""Finding devices for the table: by name, label and state, page by page, and never more than a bounded look."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from freehold.registry.interfaces import Registry, Resource
from freehold.store.interfaces import DeviceState

PAGE = 25
_CHUNK = 1000
_MOST_LOOKED_AT = 20_000
"""Devices that one search goes through: the registry searches by label only, so names are compared here."""

State = Literal["", "connected", "offline"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A filter of the table. Empty fields do not filter."""

    name: str = ""
    labels: str = ""
    state: State = ""
    page: int = 1

    @property
    def plain(self) -> bool:
        """Whether the registry alone can answer."""
        return not self.name and not self.state


@dataclass(frozen=True, slots=True)
class Found:
    """One page of devices. `more`: there is another; `cut`: the search ended at its bound."""

    devices: Sequence[Resource]
    more: bool
    cut: bool = False


def find_devices(
    registry: Registry, tenant: str, application: str, wanted: Wanted, states: Mapping[str, DeviceState]
) -> Found:
    """The devices of one page. Blocks. Raises what the registry raises for a label selector that it cannot read."""
    offset = (wanted.page - 1) * PAGE
    if wanted.plain:
        page = registry.list_devices(tenant, application, labels=wanted.labels, limit=PAGE + 1, offset=offset)
        return Found(page[:PAGE], len(page) > PAGE)
    matching: list[Resource] = []
    looked_at = 0
    for device in _all(registry, tenant, application, wanted.labels):
        looked_at += 1
        if _matches(device.metadata["name"], wanted, states):
            matching.append(device)
        if len(matching) > offset + PAGE:
            break
    return Found(matching[offset : offset + PAGE], len(matching) > offset + PAGE, cut=looked_at >= _MOST_LOOKED_AT)


def _all(registry: Registry, tenant: str, application: str, labels: str) -> Iterator[Resource]:
    for offset in range(0, _MOST_LOOKED_AT, _CHUNK):
        chunk = registry.list_devices(tenant, application, labels=labels, limit=_CHUNK, offset=offset)
        yield from chunk
        if len(chunk) < _CHUNK:
            return


def _matches(name: str, wanted: Wanted, states: Mapping[str, DeviceState]) -> bool:
    if wanted.name.casefold() not in name.casefold():
        return False
    if not wanted.state:
        return True
    state = states.get(name)
    return (state is not None and state.connected is True) == (wanted.state == "connected")
