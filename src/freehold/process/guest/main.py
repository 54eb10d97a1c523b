# SPDX-License-Identifier: Apache-2.0
"""Entry: give up rights, say hello, load the script, run batches until the host goes away.

The configuration is one JSON object in argv[1]: `sandboxed`, `descriptor` of the channel, `uid` to become (null: stay),
`memory_bytes`, `file_bytes`, `processes` (null: no limit), `cpu_seconds`, `output_bytes`, `packages` (folder
or null), `own` (folder that holds this program). With `hidden`, a list of paths, it is a probe: it prints as
JSON which of them it can see, and who it is.
"""

from __future__ import annotations

import faulthandler
import gc
import json
import os
import signal
import sys
from typing import Any

from . import logger_helper
from .batch import Runner
from .budget import Budget
from .channel import LAST, Channel
from .codec import encode_slowly
from .confine import die_with_parent, drop_to, limit
from .printing import Printed
from .script import Script, describe

OUTPUT = 1


def main() -> None:
    config: dict[str, Any] = json.loads(sys.argv[1])
    limit(config["memory_bytes"], config["file_bytes"], config["processes"])
    if config["uid"] is not None:
        drop_to(config["uid"])
    if not config["sandboxed"]:
        die_with_parent()
    if "hidden" in config:
        _probe(config["hidden"])
        return
    printed = Printed(OUTPUT)
    sys.stdout = sys.stderr = printed
    sys.argv = ["processor.py"]
    _hide(config["own"])
    # A crash, and the host before it kills, leave behind where the script was (loops in C included).
    faulthandler.enable(printed, all_threads=False)
    faulthandler.register(signal.SIGUSR1, printed, all_threads=False)
    if config["packages"] is not None:
        sys.path.append(config["packages"])
    sys.modules["loggerHelper"] = logger_helper.module()
    status = 1
    try:
        status = _serve(Channel(config["descriptor"]), printed, config)
    except BaseException as error:
        # The script closed or broke what we talk through; the host sees the closed channel.
        printed.write(f"the worker ended: {error!r}\n")
    finally:
        printed.end_of_batch()
        os._exit(status)  # threads and exit handlers of the script get no say


def _serve(channel: Channel, printed: Printed, config: dict[str, Any]) -> int:
    channel.hello()  # the sandbox stands; from here on it is the script's fault
    request = channel.read()
    if request is None:
        return 0
    budget = Budget()
    try:
        script = Script(str(request.payloads, "utf-8"))
    except BaseException as error:
        reason, detail, line = describe(error, config["cpu_seconds"])
        answer = {"reason": reason, "detail": detail, "line": line}
        printed.end_of_batch()
        channel.send(request.nonce, LAST, 0, encode_slowly(answer))
        return 0
    printed.end_of_batch()
    channel.send(request.nonce, LAST, 0, encode_slowly({"takes_event": script.takes_event}))
    gc.freeze()  # what is loaded stays: no need to walk it again in every collection
    budget.start(config["cpu_seconds"])
    runner = Runner(
        script,
        channel,
        budget,
        printed,
        output_bytes=config["output_bytes"],
        cpu_seconds=config["cpu_seconds"],
    )
    while True:
        budget.wait(channel.descriptor)
        request = channel.read()
        if request is None or not runner.run(request):
            return 0


def _hide(own: str) -> None:
    """Let the script import its own packages only, of whatever version, never what this program uses."""
    sys.path[:] = [path for path in sys.path if path != own]
    for name in list(sys.modules):
        if name.partition(".")[0] in ("msgspec", "guest"):
            del sys.modules[name]


def _probe(hidden: list[str]) -> None:
    seen = [path for path in hidden if os.path.lexists(path)]
    print(json.dumps({"uid": os.getuid(), "gid": os.getgid(), "seen": seen, "root": os.listdir("/")}))
