# SPDX-License-Identifier: Apache-2.0
"""Trust anchors of an application: the certificates under which its devices' certificates are signed.

What is wrong with an anchor is said in `status.trustAnchors`, and never refuses the application (contract
drogue.md 4.2, check 76). The subjects of the valid ones are keys by which the application is found.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography import x509

from freehold.core.clock import to_rfc3339

SECTION = "trustAnchors"


@dataclass(frozen=True, slots=True)
class Anchors:
    """`status` is what `status.trustAnchors` shows; None when the spec has no such section."""

    status: dict[str, Any] | None
    subjects: frozenset[str]


def evaluate(spec: Mapping[str, Any]) -> Anchors:
    """Look at every anchor of an application's spec. Never raises: a section of another shape has none."""
    section = spec.get(SECTION)
    entries = section.get("anchors", []) if isinstance(section, dict) else None
    if not isinstance(entries, list):
        return Anchors(None, frozenset())
    shown = [_entry(entry) for entry in entries]
    subjects = frozenset(entry["valid"]["subject"] for entry in shown if "valid" in entry)
    return Anchors({"anchors": shown}, subjects)


def subject_text(name: x509.Name) -> str:
    """A distinguished name as keys hold it: `O=Drogue IoT, OU=Cloud, CN=Device 1`, in the certificate's order."""
    return ", ".join(f"{part.rfc4514_attribute_name}={part.value!s}" for part in name)


def _entry(entry: Any) -> dict[str, Any]:
    given = entry.get("certificate") if isinstance(entry, dict) else None
    try:
        raw = base64.b64decode(given, validate=True) if isinstance(given, str) else b""
        certificate = _load(raw)
        valid = {
            "subject": subject_text(certificate.subject),
            "certificate": given,
            "notBefore": _time(certificate.not_valid_before_utc.timestamp()),
            "notAfter": _time(certificate.not_valid_after_utc.timestamp()),
        }
    except (binascii.Error, ValueError, OverflowError, x509.InvalidVersion) as reason:
        return {"invalid": {"error": "InvalidCertificate", "message": str(reason)[:200] or "not a certificate"}}
    return {"valid": valid}


def _load(raw: bytes) -> x509.Certificate:
    """PEM is what Drogue's code takes, DER what its documentation says (appendix A-16): both are taken here."""
    if b"-----BEGIN" in raw:
        return x509.load_pem_x509_certificate(raw)
    return x509.load_der_x509_certificate(raw)


def _time(seconds: float) -> str:
    return to_rfc3339(int(seconds) * 1_000_000)
