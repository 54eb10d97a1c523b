# SPDX-License-Identifier: Apache-2.0
"""Workers as the pipeline uses them: real processes, in each engine."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from freehold.core.errors import FreeholdError
from freehold.process.interfaces import Measured
from freehold.process.sandbox.worker import FRAME_BYTES
from tests.process.conftest import Start
from tests.process.making import data_of, event, failed, rows

IDENTITY = "def main(data):\n    return data\n"


class TestContract:
    async def test_40_main_sees_the_data_of_a_myt_message(self, start: Start) -> None:
        worker = await start(
            "import loggerHelper\n"
            "def main(data):\n"
            "    data['temp'] = data['temp'] * 2\n"
            "    loggerHelper.logger.info('done')\n"
            "    return data\n"
        )
        message = {"measurement": "sensorData", "sensor": "pi1", "data": {"temp": 22, "pressure": 15, "device": "pi1"}}
        (outcome,) = await worker.run([event(message)])
        assert rows(outcome) == [Measured({"temp": 44, "pressure": 15, "device": "pi1"}, "sensorData", "pi1")]
        assert worker.printed() == "INFO done\n"

    async def test_41_an_event_that_raises_fails_alone(self, start: Start) -> None:
        worker = await start("def main(data):\n    return {'half': 1 / data['x']}\n")
        outcomes = await worker.run([event({"x": 2}), event({"x": 0}), event({}), event({"x": 4})])
        assert data_of(outcomes[0]) == {"half": 0.5}
        assert failed(outcomes[1]).reason == "ZeroDivisionError: division by zero"
        assert 'File "processor.py", line 2, in main' in failed(outcomes[1]).detail
        assert failed(outcomes[2]).reason == "KeyError: 'x'"
        assert data_of(outcomes[3]) == {"half": 0.25}

    async def test_none_drops_and_a_list_splits(self, start: Start) -> None:
        worker = await start("def main(data):\n    return data['value']\n")
        outcomes = await worker.run([event({"value": None}), event({"value": [{"a": 1}, {"b": 2}]})])
        assert rows(outcomes[0]) == []
        assert rows(outcomes[1]) == [Measured({"a": 1}), Measured({"b": 2})]

    async def test_main_may_take_the_event(self, start: Start) -> None:
        worker = await start("def main(data, event):\n    return {'sent': data, 'by': event}\n")
        one = event({"measurement": "m", "sensor": "s", "data": {"a": 1}}, extensions={"lorawanport": "7"})
        (outcome,) = await worker.run([one])
        found = data_of(outcome)
        assert found["sent"] == {"a": 1}
        assert found["by"]["id"] == one.id
        assert found["by"]["device"] == "my-dev"
        assert found["by"]["sender"] == "gateway"
        assert found["by"]["time"] == one.time_text
        assert found["by"]["lorawanport"] == "7"
        assert (found["by"]["measurement"], found["by"]["sensor"]) == ("m", "s")

    async def test_other_payloads_come_to_who_takes_the_event(self, start: Start) -> None:
        worker = await start("def main(data, event):\n    return {event['datacontenttype']: data}\n")
        outcomes = await worker.run([event(b"21.5", "text/plain"), event(b"\x00\xff", "application/octet-stream")])
        assert [data_of(outcome) for outcome in outcomes] == [
            {"text/plain": {"text": "21.5"}},
            {"application/octet-stream": {"data_base64": "AP8="}},
        ]

    async def test_other_payloads_fail_for_who_does_not(self, start: Start) -> None:
        worker = await start(IDENTITY)
        outcomes = await worker.run([event(b"21.5", "text/plain"), event(b"{broken", "application/json")])
        assert "main(data, event)" in failed(outcomes[0]).reason
        assert "not JSON" in failed(outcomes[1]).reason

    async def test_state_lives_from_batch_to_batch(self, start: Start) -> None:
        worker = await start("seen = []\ndef main(data):\n    seen.append(1)\n    return {'n': len(seen)}\n")
        counts = [data_of(outcome)["n"] for _ in range(3) for outcome in await worker.run([event({})] * 2)]
        assert counts == [1, 2, 3, 4, 5, 6]

    async def test_an_empty_batch_is_nothing(self, start: Start) -> None:
        worker = await start(IDENTITY)
        assert await worker.run([]) == []

    async def test_a_large_batch_in_order(self, start: Start) -> None:
        worker = await start(IDENTITY)
        events = [event({"n": number, "text": "x" * (number % 700)}) for number in range(20_000)]
        assert sum(len(one.data) for one in events) > FRAME_BYTES
        outcomes = await worker.run(events)
        assert [data_of(outcome)["n"] for outcome in outcomes] == list(range(20_000))

    async def test_45_any_json_comes_back_as_it_is(self, start: Start) -> None:
        payload = {"i": 2**63 - 1, "f": 1e308, "b": True, "n": None, "t": "Grüße 🌡", "l": [1, [2]], "o": {"": {}}}
        worker = await start(IDENTITY)
        (outcome,) = await worker.run([event(json.dumps(payload).encode())])
        assert data_of(outcome) == payload

    async def test_printed_is_the_newest_output(self, start: Start) -> None:
        worker = await start("print('loaded')\ndef main(data):\n    print(data['n'])\n    return None\n")
        await worker.run([event({"n": number}) for number in range(30_000)])
        assert worker.printed().endswith("29998\n29999\n")
        assert len(worker.printed()) <= 16_384

    async def test_packages_come_from_the_environment(self, start: Start, tmp_path: Path) -> None:
        tmp_path.chmod(0o755)  # what `Environments` does too
        (tmp_path / "thermo.py").write_text("def double(x):\n    return 2 * x\n")
        worker = await start(
            "import thermo\ndef main(data):\n    return {'x': thermo.double(data['x'])}\n", environment=tmp_path
        )
        (outcome,) = await worker.run([event({"x": 4})])
        assert data_of(outcome) == {"x": 8}

    @pytest.mark.parametrize("module", ["msgspec", "freehold", "guest", "structlog", "pytest"])
    async def test_what_the_platform_uses_is_not_the_scripts(self, start: Start, module: str) -> None:
        with pytest.raises(FreeholdError, match="add it to the packages"):
            await start(f"import {module}\n{IDENTITY}")


class TestLoading:
    @pytest.mark.parametrize(
        ("source", "told"),
        [
            ("def main(data):\n    return (\n", "line 2: SyntaxError"),
            ("import nothing_of_this_name\n", "line 1: ModuleNotFoundError"),
            ("x = 5\n", "there is no function `main(data)`"),
            ("import os\nos._exit(3)\n", "ended its worker while it loaded"),
            ("raise SystemExit\n", "line 1: called exit"),
            ("x = bytearray(10**9)\n", "line 1: ran out of memory"),
            ("def main(data): ...\n\0", "null bytes"),
            ("(" * 100_000, "line 1: "),
        ],
    )
    async def test_61_what_does_not_load_is_told(self, start: Start, source: str, told: str) -> None:
        with pytest.raises(FreeholdError) as caught:
            await start(source)
        assert caught.value.refusal.code == "processor.invalid"
        assert told in caught.value.detail

    async def test_line_and_traceback_are_in_the_context(self, start: Start) -> None:
        with pytest.raises(FreeholdError) as caught:
            await start("def helper():\n    return 1 / 0\nhelper()\n")
        assert caught.value.context["line"] == 2
        assert "helper()" in str(caught.value.context["traceback"])


class TestProcesses:
    async def test_a_worker_that_ended_between_batches_is_replaced(self, start: Start) -> None:
        worker = await start("import os\ndef main(data):\n    return {'pid': 1}\n")
        await worker.run([event({})])
        process = worker._process
        assert process is not None
        process.kill()
        while process.alive():
            await asyncio.sleep(0.01)
        (outcome,) = await worker.run([event({})])
        assert data_of(outcome) == {"pid": 1}
        assert worker.restarts == 1

    async def test_a_stopped_worker_starts_again(self, start: Start) -> None:
        worker = await start(IDENTITY)
        await worker.stop()
        await worker.stop()
        (outcome,) = await worker.run([event({"a": 1})])
        assert data_of(outcome) == {"a": 1}

    async def test_a_cancelled_batch_leaves_no_answer_behind(self, start: Start) -> None:
        worker = await start("import time\ndef main(data):\n    time.sleep(data['wait'])\n    return data\n")
        running = asyncio.create_task(worker.run([event({"wait": 1})]))
        await asyncio.sleep(0.1)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        (outcome,) = await worker.run([event({"wait": 0})])
        assert data_of(outcome) == {"wait": 0}

    async def test_stop_leaves_no_process(self, start: Start) -> None:
        worker = await start(IDENTITY)
        process = worker._process
        assert process is not None
        await worker.stop()
        assert not Path(f"/proc/{process.pid}").exists()
        assert process.popen.returncode is not None

    async def test_stop_waits_for_no_script(self, start: Start) -> None:
        worker = await start(
            "import atexit, time, threading\n"
            "atexit.register(time.sleep, 1000)\n"
            "def main(data):\n"
            "    threading.Thread(target=time.sleep, args=(1000,)).start()\n"
            "    return data\n"
        )
        await worker.run([event({})])
        async with asyncio.timeout(10):
            await worker.stop()


async def test_200_restarts_leak_nothing(start: Start) -> None:
    """Half of them in each engine."""
    others = _children()  # of tests before: a browser, a demo
    worker = await start("import os\ndef main(data):\n    os._exit(3)\n")
    before = _descriptors()
    outcomes = await worker.run([event({})] * 99)
    assert [failed(outcome).reason for outcome in outcomes] == ["ended its worker (exit code 3)"] * 99
    assert worker.restarts >= 99
    await worker.stop()
    assert _descriptors() < before  # the running worker's are given back
    assert _children() <= others


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def _children() -> set[int]:
    """Children of this process, zombies included."""
    found = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it ended meanwhile
            if int(fields[1]) == os.getpid():
                found.add(int(folder.name))
    return found
