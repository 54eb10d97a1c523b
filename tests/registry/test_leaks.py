# SPDX-License-Identifier: Apache-2.0
"""No secret is anywhere: not in the database's files, not in an answer, not in the log, not in an error."""

from __future__ import annotations

import base64
import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from freehold.core import logs
from freehold.core.errors import FreeholdError
from freehold.registry.cache import CachedDirectory
from freehold.registry.passwords import PasswordPool
from freehold.registry.service import RegistryService
from freehold.registry.verifiers import Verifiers
from freehold.vault import secret_text
from tests.registry.conftest import OURS, Client, House, app, credentials, device
from tests.registry.test_verifiers import BCRYPT, SHA512

CHOSEN, NAMED, UNIQUE, KAFKA = (f"leak-canary-{word}-in-clear" for word in ("chosen", "named", "unique", "kafka"))
GENERATED = secret_text.generate(secret_text.DEVICE)
PSK = b"leak-canary-pre-shared-key"
PSK64 = base64.b64encode(PSK).decode()

ALL_KINDS = (
    {"pass": CHOSEN},
    {"pass": {"plain": CHOSEN}},
    {"pass": GENERATED},
    {"pass": {"bcrypt": BCRYPT}},
    {"pass": {"sha512": SHA512}},
    {"user": {"username": "named", "password": NAMED}},
    {"user": {"username": "unique", "password": UNIQUE, "unique": True}},
    {"psk": {"key": PSK64}},
    {"psk": {"key": PSK64, "validity": {"notBefore": "2020-01-01T00:00:00Z", "notAfter": "2090-01-01T00:00:00Z"}}},
    {"cert": "a certificate is no secret"},
)

IN_CLEAR = [
    *(secret.encode() for secret in (CHOSEN, NAMED, UNIQUE, KAFKA, GENERATED)),
    b"leak-canary",
    GENERATED[4:-6].encode(),
    PSK,
    PSK64.encode(),
    PSK.hex().encode(),
]
"""What may be nowhere at all."""
HASHES = [BCRYPT.encode(), SHA512.encode()]
"""What the database must hold to check against, and nobody may be shown."""


def leaked(where: bytes, what: list[bytes]) -> list[bytes]:
    return [each for each in what if each in where]


def files(house: House) -> bytes:
    found = sorted(house.path.parent.glob(house.path.name + "*"))
    assert len(found) >= 2, "the write-ahead log must be among them"
    return b"".join(path.read_bytes() for path in found)


async def exercise(client: Client) -> list[Any]:
    """Every call that writes or shows a credential, those that are refused included; all answers."""
    answers = [await client.post("/apps", app(spec={"downstream": {"password": KAFKA}}))]
    legacy = credentials(*ALL_KINDS, legacy=True)
    answers.append(await client.post("/apps/app1/devices", device("both", spec=credentials(*ALL_KINDS) | legacy)))
    answers.append(await client.post("/apps/app1/devices", device("d/1", spec=credentials({"pass": "x" * 20}))))
    path = "/apps/app1/devices/d%2F1"
    answers.append(await client.put(path, device("d/1", spec=credentials({"pass": CHOSEN}, {"psk": {"key": PSK64}}))))
    for read in ("/apps", "/apps/app1", "/apps/app1/devices", "/apps/app1/devices/both", path):
        answers.append(await client.get(read))
    shown = (await client.get(path)).json()
    answers.append(await client.put(path, shown))
    assert all(answer.is_success for answer in answers), [answer.text for answer in answers]
    refused = [
        {"authentication": {"credentials": [{"pass": CHOSEN, "user": {"password": NAMED}}]}},
        {"authentication": {"credentials": [{"user": {"username": "u", "password": NAMED, "x": UNIQUE}}]}},
        {"authentication": {"credentials": [{"pass": {"md5": CHOSEN}}]}},
        {"authentication": {"credentials": [{CHOSEN: 1}]}},
        {"authentication": {"credentials": [{"pass": CHOSEN * 100}]}},
        {"authentication": {"credentials": [{"psk": {"key": PSK64 * 100}}]}},
        {"authentication": {"credentials": [{"pass": {"bcrypt": CHOSEN}}]}},
        {"authentication": CHOSEN},
        {"credentials": {CHOSEN: CHOSEN}},
        {"alias": ["both"], **credentials({"pass": CHOSEN})},
    ]
    for spec in refused:
        answers.append(await client.put(path, device("d/1", spec=spec)))
        assert not answers[-1].is_success
    raw = json.dumps(device("d/1", spec=credentials({"pass": CHOSEN}))).encode()
    answers.append(await client.http.put("/api/registry/v1alpha1" + path, content=raw[:-3]))
    assert answers[-1].status_code == 400
    return answers


async def test_no_secret_is_in_a_file_an_answer_or_the_log(
    house: House, client: Client, capfd: pytest.CaptureFixture[str]
) -> None:
    logs.configure(form="json", level="debug")
    answers = await exercise(client)
    for answer in answers:
        everything = answer.content + repr(answer.headers).encode()
        assert leaked(everything, IN_CLEAR + HASHES) == [], answer.request.url
    out, err = capfd.readouterr()
    assert leaked((out + err).encode(), IN_CLEAR + HASHES) == []
    stored = files(house)
    assert leaked(stored, IN_CLEAR) == []
    assert leaked(stored, HASHES) == HASHES, "the search itself must be able to find something"


async def test_a_generated_secret_is_in_its_one_answer_and_nowhere_else(house: House, client: Client) -> None:
    await client.post("/apps", app())
    await client.post("/apps/app1/devices", device())
    secret = (await client.http.post("/api/v1/apps/app1/devices/device1/password")).json()["password"]
    parts = [secret.encode(), secret[4:-6].encode()]
    assert leaked(files(house), parts) == []
    for path in ("/apps/app1/devices", "/apps/app1/devices/device1"):
        assert leaked((await client.get(path)).content, parts) == []


async def test_no_secret_and_no_verifier_is_in_a_repr(house: House, client: Client) -> None:
    await exercise(client)
    directory = CachedDirectory(house.database())
    await directory.start()
    snapshot = await directory.device("app1", "both")
    await directory.stop()
    assert snapshot is not None
    assert len(snapshot.passwords) == 7
    text = repr(snapshot) + repr(snapshot.application) + repr(vars(directory))
    verifiers = [each.verifier.encode() for each in snapshot.passwords]
    assert leaked(text.encode(), IN_CLEAR + HASHES + verifiers) == []


async def test_failed_sign_ins_leave_nothing_in_the_log(house: House, capfd: pytest.CaptureFixture[str]) -> None:
    logs.configure(form="json", level="debug")
    verifiers = Verifiers(house.vault)
    pool = PasswordPool(verifiers, house.vault)
    for verifier in (verifiers.of_secret(NAMED), BCRYPT, SHA512, verifiers.unmatchable, "damaged"):
        assert await pool.verify(verifier, CHOSEN) is False
    await pool.stop()
    out, err = capfd.readouterr()
    assert leaked((out + err).encode(), IN_CLEAR + HASHES) == []


def test_an_error_of_the_database_does_not_carry_what_was_written(
    house: House, registry: RegistryService, tmp_path: Path
) -> None:
    registry.create_application(OURS, app())
    registry.create_device(OURS, device("taken"))
    body = device("x", spec={"alias": ["taken"], **credentials({"pass": {"bcrypt": BCRYPT}})})
    with pytest.raises(FreeholdError) as refused:
        registry.create_device(OURS, body)
    error: BaseException | None = refused.value
    chain = []
    while error is not None:
        chain.append(repr(error) + str(error))
        error = error.__cause__
    assert leaked("".join(chain).encode(), IN_CLEAR + HASHES) == []
    assert refused.value.__suppress_context__


async def test_secrets_that_were_replaced_or_deleted_were_never_readable(house: House, client: Client) -> None:
    await exercise(client)
    await client.put("/apps/app1/devices/both", device("both"))
    await client.delete("/apps/app1")
    assert leaked(files(house), IN_CLEAR) == []
    with contextlib.closing(house.database()) as database, database.read() as connection:
        for table in ("device_secrets", "devices", "applications"):
            assert connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar() == 0
