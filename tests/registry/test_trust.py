# SPDX-License-Identifier: Apache-2.0
"""Trust anchors: PEM and DER, the subject as devices' certificates name it, and garbage that harms nothing."""

from __future__ import annotations

import base64
import datetime
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from freehold.core.errors import FreeholdError
from freehold.registry.service import RegistryService
from freehold.registry.trust import evaluate
from tests.registry.conftest import OURS, THEIRS, Client, app, code_of

DAY = datetime.timedelta(days=1)
NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def certificate(*names: tuple[x509.ObjectIdentifier, str], start: datetime.datetime = NOW) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(oid, value) for oid, value in names])
    key = ec.generate_private_key(ec.SECP256R1())
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + DAY)
        .sign(key, SHA256())
    )


NAMES = (
    (NameOID.ORGANIZATION_NAME, "Drogue IoT"),
    (NameOID.ORGANIZATIONAL_UNIT_NAME, "Cloud"),
    (NameOID.COMMON_NAME, "Application 1"),
)
SUBJECT = "O=Drogue IoT, OU=Cloud, CN=Application 1"
ANCHOR = certificate(*NAMES)
PEM = base64.b64encode(ANCHOR.public_bytes(serialization.Encoding.PEM)).decode()
DER = base64.b64encode(ANCHOR.public_bytes(serialization.Encoding.DER)).decode()


def anchors(*given: Any) -> dict[str, Any]:
    return {"trustAnchors": {"anchors": [{"certificate": each} for each in given]}}


@pytest.mark.parametrize("given_form", [PEM, DER])
def test_drogue_76_pem_and_der_are_both_valid(given_form: str) -> None:
    found = evaluate(anchors(given_form))
    assert found.subjects == {SUBJECT}
    assert found.status == {
        "anchors": [
            {
                "valid": {
                    "subject": SUBJECT,
                    "certificate": given_form,
                    "notBefore": "2026-01-01T00:00:00.000000Z",
                    "notAfter": "2026-01-02T00:00:00.000000Z",
                }
            }
        ]
    }


GARBAGE = [
    "",
    "garbage",
    "not base64!",
    base64.b64encode(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").decode(),
    base64.b64encode(b"-----BEGIN NOTHING").decode(),
    DER[:-40],
    None,
    5,
    [],
]


@pytest.mark.parametrize("given_form", GARBAGE, ids=repr)
def test_drogue_76_garbage_is_invalid_beside_valid_ones(given_form: object) -> None:
    found = evaluate(anchors(given_form, PEM))
    assert found.status is not None
    invalid, valid = found.status["anchors"]
    assert set(invalid["invalid"]) == {"error", "message"}
    assert invalid["invalid"]["message"]
    assert "valid" in valid
    assert found.subjects == {SUBJECT}


@pytest.mark.parametrize("section", [None, [], "x", {"anchors": {}}, {"anchors": None}, {"anchors": 5}])
def test_a_section_of_another_shape_has_no_status(section: object) -> None:
    assert evaluate({"trustAnchors": section}).status is None
    assert evaluate({}).status is None


def test_an_empty_section_has_an_empty_status() -> None:
    assert evaluate({"trustAnchors": {}}).status == {"anchors": []}


@given(st.binary(max_size=200))
def test_any_bytes_are_valid_or_invalid(raw: bytes) -> None:
    found = evaluate(anchors(base64.b64encode(raw).decode()))
    assert found.status is not None
    assert "invalid" in found.status["anchors"][0]


async def test_drogue_76_over_http(client: Client) -> None:
    assert (await client.post("/apps", app(spec=anchors(PEM, "garbage")))).status_code == 201
    shown = (await client.get("/apps/app1")).json()
    valid, invalid = shown["status"]["trustAnchors"]["anchors"]
    assert valid["valid"]["subject"] == SUBJECT
    assert "invalid" in invalid
    shown["spec"] = anchors("garbage")
    assert (await client.put("/apps/app1", shown)).status_code == 204
    (only,) = (await client.get("/apps/app1")).json()["status"]["trustAnchors"]["anchors"]
    assert "invalid" in only
    assert (await client.put("/apps/app1", app())).status_code == 204
    assert "trustAnchors" not in (await client.get("/apps/app1")).json()["status"]


def test_a_client_cannot_write_the_computed_status(registry: RegistryService) -> None:
    forged = {"trustAnchors": {"anchors": [{"valid": {"subject": "CN=evil"}}]}}
    registry.create_application(OURS, app(status=forged))
    assert "trustAnchors" not in registry.get_application(OURS, "app1").status
    registry.update_application(OURS, "app1", app(spec=anchors(PEM), status=forged))
    shown = registry.get_application(OURS, "app1").status["trustAnchors"]
    assert shown["anchors"][0]["valid"]["subject"] == SUBJECT


def test_two_applications_cannot_have_the_same_anchor(registry: RegistryService) -> None:
    registry.create_application(OURS, app(spec=anchors(PEM)))
    for tenant in (OURS, THEIRS):
        assert code_of(registry.create_application, tenant, app("app2", spec=anchors(DER))) == "resource.conflict"
    registry.create_application(OURS, app("app2"))
    with pytest.raises(FreeholdError) as refused:
        registry.update_application(OURS, "app2", app("app2", spec=anchors(PEM)))
    assert refused.value.refusal.code == "resource.conflict"
    assert "app1" not in refused.value.detail
    registry.update_application(OURS, "app1", app())
    registry.update_application(OURS, "app2", app("app2", spec=anchors(PEM)))


def test_an_anchor_may_be_there_twice(registry: RegistryService) -> None:
    registry.create_application(OURS, app(spec=anchors(PEM, DER)))
    assert len(registry.get_application(OURS, "app1").status["trustAnchors"]["anchors"]) == 2


def test_unusual_names_of_the_subject_are_written_by_their_number() -> None:
    odd = certificate((NameOID.EMAIL_ADDRESS, "a@b"), (NameOID.COMMON_NAME, "x"))
    raw = base64.b64encode(odd.public_bytes(serialization.Encoding.DER)).decode()
    assert evaluate(anchors(raw)).subjects == {"1.2.840.113549.1.9.1=a@b, CN=x"}
