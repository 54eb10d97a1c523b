# SPDX-License-Identifier: Apache-2.0
"""Scripts that misbehave: exactly the event at which they do so fails, and all others are done."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from freehold.process.interfaces import Failed
from tests.process.conftest import Start
from tests.process.making import data_of, event, failed

TEMPLATE = """
import ctypes, os, signal, sys, threading, time
kept = []
def main(data):
    if data.get("bad"):
        {deed}
    return data
"""

DEEDS = {
    "exit": ("os._exit(3)", "ended its worker (exit code 3)"),
    "sys.exit": ("sys.exit(2)", "called exit"),
    "segfault": ("ctypes.string_at(1)", "ended its worker with SIGSEGV"),
    "abort": ("os.abort()", "ended its worker with SIGABRT"),
    "kill": ("os.kill(os.getpid(), signal.SIGKILL)", "ended its worker with SIGKILL"),
    "interrupt": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "base exception": ("raise BaseException('mine')", "BaseException: mine"),
    "loop": ("exec('while True: pass')", "used more than 0.3 s of CPU time"),
    "recursion": ("return main(data)", "RecursionError"),
    "one large object": ("kept.append(bytearray(10**9))", "ran out of memory"),
    "many objects": ("exec('while True: kept.append(bytearray(10**7))')", "ran out of memory"),
    "output": ("return {'x': 'y' * 10**6}", "process.output_bytes allows 65536"),
    "close everything": ("os.closerange(0, 1000)", "ended its worker (exit code 1)"),
    "garbage": (
        "[os.write(fd, b'garbage' * 9) for fd in range(3, 64) if _writable(fd)]",
        "wrote into the channel",
    ),
    "wrong type": ("return 5", "main returned an int"),
    "generator": ("return (x for x in [data])", "main returned a generator"),
    "lone surrogate": ("return {'a': '\\ud800'}", "UnicodeEncodeError"),
    "object": ("return {'a': object()}", "object is no value that can be stored"),
    "cycle": ("kept.append(kept); return {'a': kept}", "RecursionError"),
    "depth": ("return nested(200)", "nested deeper than 128 levels"),
    "more depth than any stack has": ("return nested(100_000)", "RecursionError"),
    "hostile error": ("raise Hostile()", "ended its worker"),
}

EXTRA = """
class Hostile(Exception):
    def __str__(self):
        sys.exit()
def nested(levels):
    data = {}
    for _ in range(levels):
        data = {"a": data}
    return data
def _writable(fd):
    try:
        os.write(fd, b"")
        return True
    except OSError:
        return False
"""


@pytest.mark.parametrize("deed", DEEDS)
async def test_exactly_the_culprit_fails(start: Start, deed: str) -> None:
    code, reason = DEEDS[deed]
    worker = await start(TEMPLATE.format(deed=code) + EXTRA)
    events = [event({"n": number, "bad": number in (4, 7)}) for number in range(10)]
    outcomes = await worker.run(events)
    for number, outcome in enumerate(outcomes):
        if number in (4, 7):
            assert reason in failed(outcome).reason
        else:
            assert data_of(outcome)["n"] == number
    (again,) = await worker.run([event({"n": 99})])
    assert data_of(again) == {"n": 99}


@pytest.mark.parametrize(
    ("deed", "reason"),
    [
        ("time.sleep(1000)", "did not finish within 3 s"),
        # Which of the limits comes first depends on how busy the machine is.
        ("sum(range(10**13))", "CPU time|did not finish"),
        ("exec('while True:\\n try:\\n  while True: pass\\n except BaseException: pass')", "CPU time|did not finish"),
        ("lock = threading.Lock(); lock.acquire(); lock.acquire()", "did not finish within 3 s"),
    ],
)
async def test_42_what_never_ends_is_ended(start: Start, deed: str, reason: str) -> None:
    worker = await start(TEMPLATE.format(deed=deed))
    events = [event({"n": number, "bad": number == 1}) for number in range(3)]
    outcomes = await worker.run(events)
    assert [isinstance(outcome, Failed) for outcome in outcomes] == [False, True, False]
    told = failed(outcomes[1])
    assert re.search(reason, told.reason)
    assert 'File "processor.py", line 6' in told.detail


async def test_42_a_hanging_neighbour_holds_up_nobody(start: Start) -> None:
    hanging = await start("import time\ndef main(data):\n    time.sleep(1000)\n")
    quick = await start("def main(data):\n    return data\n")
    waiting = asyncio.create_task(hanging.run([event({})]))
    for number in range(20):
        (outcome,) = await quick.run([event({"n": number})])
        assert data_of(outcome) == {"n": number}
    assert not waiting.done()
    (outcome,) = await waiting
    assert "did not finish" in failed(outcome).reason


async def test_slow_events_that_keep_their_limit_are_left_alone(start: Start) -> None:
    """Each event uses two thirds of its CPU time, all together far more than one may."""
    worker = await start(
        "import time\n"
        "def main(data):\n"
        "    end = time.process_time() + 0.2\n"
        "    while time.process_time() < end: pass\n"
        "    return data\n"
    )
    outcomes = await worker.run([event({"n": number}) for number in range(8)])
    assert [data_of(outcome)["n"] for outcome in outcomes] == list(range(8))
    assert worker.restarts == 0


async def test_events_one_by_one_do_not_add_up(start: Start) -> None:
    worker = await start(
        "import time\n"
        "def main(data):\n"
        "    end = time.process_time() + 0.1\n"
        "    while time.process_time() < end: pass\n"
        "    return data\n"
    )
    for number in range(12):
        (outcome,) = await worker.run([event({"n": number})])
        assert data_of(outcome) == {"n": number}


async def test_a_leak_ends_the_worker_and_not_the_events(start: Start) -> None:
    """20 MB an event: no single event is to blame, and all but those at the limit are done."""
    worker = await start(
        "kept = []\ndef main(data):\n    kept.append(bytearray(20_000_000))\n    return {'kept': len(kept)}\n"
    )
    outcomes = await worker.run([event({})] * 30)
    counts = [None if isinstance(outcome, Failed) else data_of(outcome)["kept"] for outcome in outcomes]
    assert counts[0] == 1
    assert 1 in counts[1:]  # a new worker began anew
    assert 0 < counts.count(None) <= 5
    assert {failed(outcome).reason for outcome in outcomes if isinstance(outcome, Failed)} == {"ran out of memory"}


async def test_a_thread_that_burns_between_batches_ends_its_worker(start: Start) -> None:
    worker = await start(
        "import threading\n"
        "def spin():\n"
        "    while True: pass\n"
        "def main(data):\n"
        "    if data.get('spin'): threading.Thread(target=spin, daemon=True).start()\n"
        "    return data\n"
    )
    await worker.run([event({"spin": True})])
    process = worker._process
    assert process is not None
    async with asyncio.timeout(60):
        while process.alive():
            await asyncio.sleep(0.05)
    (outcome,) = await worker.run([event({"n": 1})])
    assert data_of(outcome) == {"n": 1}


async def test_forged_answers_are_no_answers(start: Start) -> None:
    """The script knows the format, but not the number of the batch."""
    worker = await start(
        "import os, struct\n"
        "def main(data):\n"
        "    if data['n'] == 1:\n"
        "        frame = struct.pack('=QBII', 12345, 1, 1, 4) + b'[[]]'\n"
        "        for fd in range(3, 64):\n"
        "            try: os.write(fd, frame)\n"
        "            except OSError: pass\n"
        "    return data\n"
    )
    outcomes = await worker.run([event({"n": number}) for number in range(4)])
    assert [isinstance(outcome, Failed) for outcome in outcomes] == [False, True, False, False]
    assert "wrote into the channel" in failed(outcomes[1]).reason


FORGERS = {
    "retires without having done anything": (2, 0, b"[]"),
    "says last too early": (1, 0, b"[]"),
    "answers nothing for ever": (0, 0, b"[]"),
    "claims more than was asked": (0, 100, b"[" + b"[]," * 99 + b"[]]"),
    "counts wrongly": (0, 1, b"[[],[]]"),
    "sends half a frame": (0, 1, b"[["),
    "sends other things": (0, 1, b'[[[{"a":1},5,5,5]]]'),
}


@pytest.mark.parametrize("forger", FORGERS)
async def test_a_script_that_knows_the_number_of_the_batch_harms_only_its_events(start: Start, forger: str) -> None:
    """It finds the number in the frames above it and answers in the worker's place, for every event again."""
    flags, count, payload = FORGERS[forger]
    worker = await start(
        "import os, struct, sys\n"
        "def main(data):\n"
        "    if data['n'] != 1: return data\n"
        "    frame = sys._getframe()\n"
        "    while 'self' not in frame.f_locals or not hasattr(frame.f_locals['self'], '_request'):\n"
        "        frame = frame.f_back\n"
        "    runner = frame.f_locals['self']\n"
        f"    answer = struct.pack('=QBII', runner._request.nonce, {flags}, {count}, {len(payload)}) + {payload!r}\n"
        "    for _ in range(3): os.write(runner._channel.descriptor, answer)\n"
        "    return data\n"
    )
    outcomes = await worker.run([event({"n": number}) for number in range(4)])
    assert [isinstance(outcome, Failed) for outcome in outcomes] == [False, True, False, False]
    (outcome,) = await worker.run([event({"n": 5})])
    assert data_of(outcome) == {"n": 5}


async def test_a_script_that_does_not_load_again_fails_its_events(start: Start, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    package = tmp_path / "fleeting.py"
    package.write_text("")
    worker = await start("import os, fleeting\ndef main(data):\n    os._exit(1)\n", environment=tmp_path)
    package.unlink()
    outcomes = await worker.run([event({})] * 3)
    assert {failed(outcome).reason for outcome in outcomes} == {
        "the processor does not start any more: line 1: ModuleNotFoundError: No module named 'fleeting'; "
        "add it to the packages of this processor"
    }
