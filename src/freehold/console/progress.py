# SPDX-License-Identifier: Apache-2.0
"""The newest line of something that takes long, for the page that waits for it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

MOST = 200
"""Jobs that are remembered: the oldest are forgotten, their pages then show no line."""

LONGEST = 200


class Progress:
    """Job → its newest line. A job is named by the page that starts it; owners are kept apart."""

    def __init__(self) -> None:
        self._lines: OrderedDict[tuple[str, str], str] = OrderedDict()

    def reporter(self, owner: str, job: str) -> Callable[[str], None]:
        """What the work calls with each line. `owner` is the person's uid."""

        def report(line: str) -> None:
            self._lines[owner, job] = line[:LONGEST]
            self._lines.move_to_end((owner, job))
            while len(self._lines) > MOST:
                self._lines.popitem(last=False)

        return report

    def line(self, owner: str, job: str) -> str:
        """The newest line; empty for a job that said nothing or that is somebody else's."""
        return self._lines.get((owner, job), "")

    def forget(self, owner: str, job: str) -> None:
        self._lines.pop((owner, job), None)
