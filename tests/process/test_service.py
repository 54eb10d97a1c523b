# SPDX-License-Identifier: Apache-2.0
"""The way of a processor from upload to roll back: real sandbox, real pip, real database."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from freehold.core.bus import PROCESSOR_CHANGED, MemoryBus
from freehold.core.database import METADATA, Database
from freehold.core.errors import FreeholdError
from freehold.process.interfaces import Processors, Sandbox
from freehold.process.service import SOURCE_BYTES, TRIAL_EVENTS, ProcessorService
from freehold.process.tables import active, versions
from freehold.process.template import TEMPLATE
from tests.process.making import data_of, event, failed, make_wheel

APP = "5f0c3f62-3d8a-4d2c-a5a4-6a1b6f0f3c11"
IDENTITY = "def main(data):\n    return data\n"
USES_THERMO = "import thermo\ndef main(data):\n    return {'version': thermo.VERSION}\n"


class House:
    """A service with what is around it."""

    def __init__(self, tmp_path: Path, sandbox: Sandbox) -> None:
        self.folder = tmp_path / "process"
        self.database = Database.sqlite(tmp_path / "meta.db")
        METADATA.create_all(self.database.engine, tables=[versions, active])
        self.bus = MemoryBus()
        self.changes: list[bytes] = []
        self.bus.subscribe(PROCESSOR_CHANGED, self.changes.append)
        self.service = ProcessorService(
            database=self.database, bus=self.bus, sandbox=sandbox, folder=self.folder, versions_kept=3
        )

    async def run(self, sandbox: Sandbox, payload: object) -> dict[str, object]:
        """One event through what is active."""
        script = await self.service.active(APP)
        assert script is not None
        worker = sandbox.worker(script)
        try:
            (outcome,) = await worker.run([event(payload)])
            return data_of(outcome)
        finally:
            await worker.stop()


@pytest.fixture
async def house(tmp_path: Path, bubblewrap: Sandbox) -> AsyncIterator[House]:
    house = House(tmp_path, bubblewrap)
    yield house
    house.database.close()


@pytest.fixture
def service(house: House) -> ProcessorService:
    as_promised: Processors = house.service  # mypy sees that it keeps the protocol
    assert as_promised is house.service
    return house.service


class TestAdding:
    async def test_a_version_is_kept_and_does_not_run(self, house: House, service: ProcessorService) -> None:
        version = await service.add(APP, IDENTITY, [], author="me", note="first")
        assert (version.number, version.active, version.author, version.note) == (1, False, "me", "first")
        assert await service.versions(APP) == [version]
        assert await service.active(APP) is None
        assert house.changes == []

    @pytest.mark.parametrize(
        ("source", "told"),
        [
            ("def main(data:\n", "line 1: SyntaxError"),
            ("def other(): ...\n", "there is no function"),
            ("import nothing_like_it\n", "add it to the packages"),
            ("# " + "x" * SOURCE_BYTES, "at most 262144"),
            ("'\ud800'", "not Unicode"),
        ],
    )
    async def test_61_what_does_not_load_is_refused(self, service: ProcessorService, source: str, told: str) -> None:
        await service.add(APP, IDENTITY, [], author="me")
        await service.activate(APP, 1)
        with pytest.raises(FreeholdError) as caught:
            await service.add(APP, source, [], author="me")
        assert caught.value.refusal.code == "processor.invalid"
        assert told in caught.value.detail
        script = await service.active(APP)
        assert script is not None
        assert script.version == 1

    @pytest.mark.usefixtures("wheels")
    async def test_packages_are_installed_and_checked(self, service: ProcessorService) -> None:
        version = await service.add(APP, USES_THERMO, ["Thermo"], author="me")
        assert version.packages == ("thermo",)
        with pytest.raises(FreeholdError, match="add it to the packages"):
            await service.add(APP, USES_THERMO, [], author="me")

    @pytest.mark.usefixtures("wheels")
    async def test_progress_is_told(self, service: ProcessorService) -> None:
        lines: list[str] = []
        await service.add(APP, IDENTITY, ["thermo"], author="me", progress=lines.append)
        assert any("thermo" in line for line in lines)

    @pytest.mark.usefixtures("wheels")
    @pytest.mark.parametrize("package", ["no-such-package-xyz", "--help", "x; id"])
    async def test_29_a_package_that_cannot_be_had_is_refused(self, service: ProcessorService, package: str) -> None:
        with pytest.raises(FreeholdError) as caught:
            await service.add(APP, IDENTITY, [package], author="me")
        assert caught.value.refusal.code == "processor.package.invalid"
        assert package in caught.value.detail
        assert await service.versions(APP) == []

    async def test_text_of_people_is_bounded(self, service: ProcessorService) -> None:
        version = await service.add(APP, IDENTITY, [], author="a" * 1000, note="\ud800" + "n" * 1000)
        assert len(version.author) == 255
        assert len(version.note) == 500

    async def test_the_template_is_a_processor(self, service: ProcessorService) -> None:
        await service.add(APP, TEMPLATE, [], author="me")
        result = await service.try_out(APP, TEMPLATE, [], [event({"resistance": 10_000}), event({"other": 1})])
        assert data_of(result.outcomes[0]) == {"temperature": 25.0, "resistance": 10_000}
        assert data_of(result.outcomes[1]) == {"other": 1}


class TestTrying:
    async def test_outcomes_beside_inputs_and_what_was_printed(self, service: ProcessorService) -> None:
        source = "def main(data):\n    print('saw', data)\n    return {'y': 1 / data['x']}\n"
        result = await service.try_out(APP, source, [], [event({"x": 2}), event({"x": 0})])
        assert data_of(result.outcomes[0]) == {"y": 0.5}
        assert failed(result.outcomes[1]).reason == "ZeroDivisionError: division by zero"
        assert result.printed == "saw {'x': 2}\nsaw {'x': 0}\n"
        assert result.seconds > 0

    async def test_nothing_is_stored(self, house: House, service: ProcessorService) -> None:
        await service.try_out(APP, IDENTITY, [], [event({})])
        assert await service.versions(APP) == []
        assert house.changes == []

    async def test_what_does_not_load_is_refused(self, service: ProcessorService) -> None:
        with pytest.raises(FreeholdError, match="line 1: SyntaxError"):
            await service.try_out(APP, "def", [], [])

    async def test_events_are_bounded(self, service: ProcessorService) -> None:
        with pytest.raises(FreeholdError, match="at most 1000"):
            await service.try_out(APP, IDENTITY, [], [event({})] * (TRIAL_EVENTS + 1))

    async def test_many_at_once_all_end(self, service: ProcessorService) -> None:
        results = await asyncio.gather(*(service.try_out(APP, IDENTITY, [], [event({"n": n})]) for n in range(6)))
        assert [data_of(result.outcomes[0])["n"] for result in results] == list(range(6))


class TestRunning:
    async def test_61_activate_and_roll_back_in_one_step(
        self, house: House, service: ProcessorService, bubblewrap: Sandbox
    ) -> None:
        for factor in (2, 3):
            await service.add(APP, f"def main(data):\n    return {{'x': data['x'] * {factor}}}\n", [], author="me")
        await service.activate(APP, 1)
        assert await house.run(bubblewrap, {"x": 10}) == {"x": 20}
        await service.activate(APP, 2)
        assert await house.run(bubblewrap, {"x": 10}) == {"x": 30}
        version = await service.roll_back(APP)
        assert (version.number, version.active) == (1, True)
        assert await house.run(bubblewrap, {"x": 10}) == {"x": 20}
        await service.deactivate(APP)
        assert await service.active(APP) is None
        assert house.changes == [APP.encode()] * 4

    async def test_what_is_not_there_changes_nothing(self, house: House, service: ProcessorService) -> None:
        for attempt in (service.activate(APP, 5), service.roll_back(APP)):
            with pytest.raises(FreeholdError) as caught:
                await attempt
            assert caught.value.refusal.code == "resource.not-found"
        assert house.changes == []

    async def test_62_each_version_keeps_its_packages(
        self, house: House, service: ProcessorService, bubblewrap: Sandbox, wheels: Path
    ) -> None:
        await service.add(APP, USES_THERMO, ["thermo==1.0"], author="me")
        await service.add(APP, USES_THERMO, ["thermo", "needy"], author="me")
        await service.add(APP, "def main(data):\n    return {'version': 'none'}\n", [], author="me")
        for number, version in ((1, "1.0"), (2, "1.1"), (3, "none"), (1, "1.0")):
            await service.activate(APP, number)
            assert await house.run(bubblewrap, {}) == {"version": version}

    async def test_packages_that_were_lost_come_back_as_they_were(
        self, house: House, service: ProcessorService, bubblewrap: Sandbox, wheels: Path
    ) -> None:
        await service.add(APP, USES_THERMO, ["thermo"], author="me")
        await service.activate(APP, 1)
        shutil.rmtree(house.folder)
        make_wheel(wheels, "thermo", "9.0", {"thermo/__init__.py": "VERSION = '9.0'\n"})
        assert await house.run(bubblewrap, {}) == {"version": "1.1"}

    @pytest.mark.usefixtures("wheels")
    async def test_forgetting_leaves_nothing(self, house: House, service: ProcessorService) -> None:
        await service.add(APP, USES_THERMO, ["thermo"], author="me")
        await service.activate(APP, 1)
        await service.forget(APP)
        assert await service.versions(APP) == []
        assert await service.active(APP) is None
        assert list(house.folder.iterdir()) == []
        assert house.changes[-1] == APP.encode()
