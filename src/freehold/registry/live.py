# SPDX-License-Identifier: Apache-2.0
"""The snapshots that somebody still holds: at most one fresh one of each application and device.

An open connection keeps its device's snapshot long after a cache has evicted it, and must still learn that
it is stale. So what is fresh is found here by name, and held weakly: when nobody holds it, it is gone.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary, WeakValueDictionary

from freehold.registry.interfaces import ApplicationSnapshot, DeviceSnapshot


class Live:
    """Fresh snapshots by real name. Whatever leaves is marked stale first."""

    def __init__(self) -> None:
        self._applications: WeakValueDictionary[str, ApplicationSnapshot] = WeakValueDictionary()
        self._devices: WeakKeyDictionary[ApplicationSnapshot, WeakValueDictionary[str, DeviceSnapshot]] = (
            WeakKeyDictionary()
        )

    def names(self) -> list[str]:
        """Names of the applications of which a fresh snapshot is held."""
        return list(self._applications)

    def device(self, application: str, name: str) -> DeviceSnapshot | None:
        owner = self._applications.get(application)
        return self._devices[owner].get(name) if owner is not None else None

    def adopt_application(self, loaded: ApplicationSnapshot) -> ApplicationSnapshot:
        """The one fresh snapshot of this application: the one held already, or `loaded`."""
        held = self._applications.get(loaded.name)
        if held is not None and held.uid == loaded.uid:
            return held
        self.touch(loaded.name, None)  # another application had this name
        self._applications[loaded.name] = loaded
        self._devices[loaded] = WeakValueDictionary()
        return loaded

    def adopt_device(self, loaded: DeviceSnapshot) -> DeviceSnapshot:
        """The one fresh snapshot of this device: the one held already, or `loaded`, with its application's."""
        owner = self.adopt_application(loaded.application)
        held = self._devices[owner].get(loaded.name)
        if held is not None and held.uid == loaded.uid:
            return held
        self.touch(owner.name, loaded.name)
        loaded.application = owner
        self._devices[owner][loaded.name] = loaded
        return loaded

    def touch(self, application: str, device: str | None) -> None:
        """Mark stale what a change of this device, or of the application and all in it, concerns."""
        owner = self._applications.get(application)
        if owner is None:
            return
        devices = self._devices[owner]
        if device is None:
            del self._applications[application]
            owner.stale = True
            for snapshot in list(devices.values()):
                snapshot.stale = True
        elif (held := devices.pop(device, None)) is not None:
            held.stale = True
