# SPDX-License-Identifier: Apache-2.0
"""The one catalogue of refusals: stable code, what happened, what to do, and how each protocol says it.

Every refusal that leaves Freehold is one `Refusal` of this table, raised as `FreeholdError`. An endpoint
renders it in its protocol's own words; a test renders every entry in every protocol, and the reference
page `docs/errors.md` is generated from the table, so that none of them can drift apart.

"Absent" and "not yours" are one entry on purpose (DESIGN.md, promise 7).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

DOCS = "errors.md#"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One catalogue entry.

    `status` is the HTTP status (RFC 9110), `mqtt` the MQTT 5 reason code (OASIS MQTT 5.0, 2.4),
    `coap` the CoAP response code as text (RFC 7252, 12.1.2), `legacy` the word that Drogue's bodies
    carry in `error` (contract drogue.md 1.2 and 4.1).
    """

    code: str
    status: int
    mqtt: int
    coap: str
    title: str
    remedy: str
    legacy: str = "InternalError"

    @property
    def anchor(self) -> str:
        """Where the documentation explains this entry, relative to the documentation's root."""
        return DOCS + self.code.replace(".", "-")

    def error(self, detail: str = "", /, **context: Any) -> FreeholdError:
        """The exception to raise. `detail` must not hold a secret: it may reach the client and the log."""
        return FreeholdError(self, detail, context)


@dataclass(slots=True, eq=False)  # compared by identity: an exception must be hashable
class FreeholdError(Exception):
    """A refusal that happened: the catalogue entry, one sentence of detail, and context for the log."""

    refusal: Refusal
    detail: str = ""
    context: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.refusal.code}: {self.detail or self.refusal.title}"

    def problem(self) -> dict[str, Any]:
        """RFC 9457 problem details (`application/problem+json`)."""
        return {
            "type": self.refusal.anchor,
            "title": self.refusal.title,
            "status": self.refusal.status,
            "detail": self.detail or self.refusal.title,
            "code": self.refusal.code,
            "remedy": self.refusal.remedy,
        }

    def legacy_body(self, message: str | None = None) -> dict[str, str]:
        """Drogue's two-field body (contract drogue.md 4.1)."""
        return {
            "error": self.refusal.legacy,
            "message": message or self.detail or self.refusal.title,
        }

    def reason_string(self) -> str:
        """MQTT 5 reason string, and the CoAP diagnostic payload (RFC 7252, 5.5.2)."""
        return f"{self.detail or self.refusal.title} [{self.refusal.code}]"


CATALOGUE: dict[str, Refusal] = {}


def _refusal(
    code: str,
    status: int,
    mqtt: int,
    coap: str,
    title: str,
    remedy: str,
    legacy: str = "InternalError",
) -> Refusal:
    if code in CATALOGUE:
        raise ValueError(f"the error code {code} is in the catalogue twice")
    entry = CATALOGUE[code] = Refusal(code, status, mqtt, coap, title, remedy, legacy)
    return entry


# --- devices: who are you, may you -----------------------------------------------------------------
CREDENTIALS_REJECTED = _refusal(
    "device.credentials.rejected",
    403,
    0x86,
    "4.03",
    "Authentication failed",
    "Check device name, application and secret. Nothing more is said on purpose: an unknown device, a "
    "disabled one and a wrong secret look the same from outside. The owner sees the reason in the log.",
    "AuthenticationError",
)
DEVICE_NOT_PERMITTED = _refusal(
    "device.not-permitted",
    403,
    0x87,
    "4.03",
    "Not authorized",
    "To publish for another device, list this gateway's name in that device's `spec.gatewaySelector.matchNames`.",
    "AuthenticationError",
)
TOO_MANY_ATTEMPTS = _refusal(
    "device.attempts.limited",
    429,
    0x9F,
    "4.29",
    "Too many failed sign-ins from this address",
    "Wait a minute, correct the secret and try again. The limit is `limits.auth_failures_per_minute`.",
    "TooManyRequests",
)
AUTHENTICATION_UNAVAILABLE = _refusal(
    "device.authentication.unavailable",
    503,
    0x88,
    "5.03",
    "Identities cannot be checked at the moment",
    "Send again a little later; nothing was accepted. The owner finds the cause on the health page.",
    "AuthenticationServiceError",
)
TAKEN_OVER = _refusal(
    "device.session.taken-over",
    409,
    0x8E,
    "4.09",
    "The same device connected again",
    "Two programs use one device identity. Give each device an identity of its own.",
    "Conflict",
)
ACCESS_REVOKED = _refusal(
    "device.access.revoked",
    403,
    0x87,
    "4.03",
    "Access was withdrawn",
    "The device or its application was disabled, deleted or given other credentials while connected.",
    "AuthenticationError",
)

# --- what a device said ----------------------------------------------------------------------------
PAYLOAD_NOT_JSON = _refusal(
    "event.payload.not-json",
    406,
    0x80,
    "4.06",
    "The content type says JSON, the payload is not JSON",
    "Send valid UTF-8 JSON (RFC 8259), or name the content type that the payload really has.",
    "NotAcceptable",
)
PAYLOAD_TOO_LARGE = _refusal(
    "event.payload.too-large",
    413,
    0x95,
    "4.13",
    "The message is larger than this endpoint takes",
    "Send smaller messages, or raise `http.max_body_bytes` or `mqtt.max_packet_bytes`.",
    "PayloadTooLarge",
)
CHANNEL_INVALID = _refusal(
    "event.channel.invalid",
    400,
    0x90,
    "4.00",
    "Topic name is invalid",
    "Publish to `channel` or `channel/device` (dialect drogue/v1), or choose another dialect in `spec.mqtt.dialect`.",
    "InvalidRequest",
)
ATTRIBUTE_INVALID = _refusal(
    "event.attribute.invalid",
    400,
    0x83,
    "4.00",
    "An attribute of the message cannot stand in an event",
    "Content type and data schema are short text without control characters; the detail names the one that is not.",
    "InvalidRequest",
)
REQUEST_INVALID = _refusal(
    "request.invalid",
    400,
    0x82,
    "4.00",
    "The request cannot be understood",
    "The detail names the part that is wrong; the reference of this interface shows the form it takes.",
    "InvalidRequest",
)
REQUEST_TIMEOUT = _refusal(
    "request.timeout",
    408,
    0x8D,
    "4.08",
    "The request took too long to arrive",
    "Send header and body without long pauses, or raise `http.header_timeout_seconds`.",
    "RequestTimeout",
)
METHOD_NOT_ALLOWED = _refusal(
    "request.method.not-allowed",
    405,
    0x82,
    "4.05",
    "This method does nothing here",
    "Publish with `POST /v1/<channel>`; `GET /` answers whether the endpoint lives.",
    "MethodNotAllowed",
)
HEADERS_TOO_LARGE = _refusal(
    "request.headers.too-large",
    431,
    0x95,
    "4.13",
    "The head of the request is larger than this endpoint takes",
    "Send fewer or shorter headers, a shorter path and a shorter query.",
    "InvalidRequest",
)
PROTOCOL_VIOLATION = _refusal(
    "protocol.violation",
    400,
    0x82,
    "4.00",
    "The client broke the protocol",
    "The detail names the rule. This is a fault of the client library or of a proxy between.",
    "InvalidRequest",
)
SUBSCRIPTION_REFUSED = _refusal(
    "subscription.refused",
    403,
    0x87,
    "4.03",
    "A device may subscribe to its command inbox only",
    "Subscribe to `command/inbox/#`, `command/inbox//#` or `command/inbox/<device>/#`.",
    "Forbidden",
)

# --- load ------------------------------------------------------------------------------------------
OVERLOADED = _refusal(
    "platform.overloaded",
    503,
    0x97,
    "5.03",
    "More events arrive than can be made durable at once",
    "Send the message again after a pause; it was not accepted. The bound is `log.queue_bytes`.",
    "Overloaded",
)
TOO_MANY_CONNECTIONS = _refusal(
    "platform.connections.exhausted",
    503,
    0x97,
    "5.03",
    "No more connections can be open at once",
    "Connect again in a moment; the owner raises `http.max_connections` or `mqtt.max_connections`.",
    "Unavailable",
)
QUOTA_EXCEEDED = _refusal(
    "quota.exceeded",
    429,
    0x97,
    "4.29",
    "A quota of this tenant is used up",
    "Send more slowly, or ask the owner to raise the quota that the detail names.",
    "TooManyRequests",
)
LOG_UNAVAILABLE = _refusal(
    "log.unavailable",
    500,
    0x80,
    "5.00",
    "The event could not be made durable",
    "Send the message again; it was not accepted. Disk full or failing: the health page names the cause.",
    "InternalError",
)
INTERNAL = _refusal(
    "internal",
    500,
    0x80,
    "5.00",
    "Something went wrong on our side",
    "Try again. If it stays, the log holds the trace under the time of this answer.",
    "InternalError",
)
SHUTTING_DOWN = _refusal(
    "platform.stopping",
    503,
    0x8B,
    "5.03",
    "The platform is stopping",
    "Connect again in a moment.",
    "Unavailable",
)

# --- management ------------------------------------------------------------------------------------
NOT_SIGNED_IN = _refusal(
    "identity.not-signed-in",
    403,
    0x87,
    "4.01",
    "Not signed in",
    "Send an access token (`Authorization: Bearer …`), or sign in to the console with the one-time link.",
    "Forbidden",
)
FORBIDDEN = _refusal(
    "identity.forbidden",
    403,
    0x87,
    "4.03",
    "Forbidden",
    "Ask an owner of the application for the permission that the detail names.",
    "Forbidden",
)
LINK_INVALID = _refusal(
    "identity.link.invalid",
    403,
    0x87,
    "4.03",
    "This sign-in link was used already, or is too old",
    "Make another one on the machine that runs Freehold: `freehold link`.",
    "Forbidden",
)
NOT_FOUND = _refusal(
    "resource.not-found",
    404,
    0x8F,
    "4.04",
    "There is no such thing, or it is not yours",
    "Check the spelling, and that you are signed in to the right tenant.",
    "NotFound",
)
REFERENCE_NOT_FOUND = _refusal(
    "resource.reference.not-found",
    404,
    0x8F,
    "4.04",
    "Referenced a non-existing entity",
    "Create the application first, or correct the name in the body.",
    "ReferenceNotFound",
)
CONFLICT = _refusal(
    "resource.conflict",
    409,
    0x80,
    "4.09",
    "Conflict",
    "A name, alias or unique user name is taken. The detail names it where it is yours.",
    "Conflict",
)
OPTIMISTIC_LOCK = _refusal(
    "resource.changed-meanwhile",
    409,
    0x80,
    "4.09",
    "Somebody changed this meanwhile",
    "Read it again, apply your change to what you read, and send that.",
    "OptimisticLockFailed",
)
RESOURCE_INVALID = _refusal(
    "resource.invalid",
    400,
    0x83,
    "4.00",
    "The resource is not in a valid form",
    "The detail names the field and the rule.",
    "BadRequest",
)
COMMAND_REFUSED = _refusal(
    "command.refused",
    406,
    0x83,
    "4.06",
    "The command cannot go to this device",
    "The device does not exist or is disabled, or the payload is not of its declared type.",
    "NotAcceptable",
)

# --- processors and stores -------------------------------------------------------------------------
PROCESSOR_INVALID = _refusal(
    "processor.invalid",
    422,
    0x80,
    "4.00",
    "The processor was not accepted",
    "The detail has line and reason. A processor is Python with a function `main(data)` or `main(data, event)`.",
    "InvalidRequest",
)
PACKAGE_INVALID = _refusal(
    "processor.package.invalid",
    422,
    0x80,
    "4.00",
    "A package cannot be installed",
    "Name packages as `name` or `name==1.2.3`; each must exist with a wheel for this Python.",
    "InvalidRequest",
)
SANDBOX_UNAVAILABLE = _refusal(
    "processor.sandbox.unavailable",
    503,
    0x80,
    "5.03",
    "Processors cannot run: this machine offers no sandbox",
    "Install bubblewrap or allow user namespaces. `process.allow_unsandboxed = true` runs processors without "
    "isolation; do that only where all who may edit processors may also read everything on the machine.",
    "Unavailable",
)
QUERY_INVALID = _refusal(
    "telemetry.query.invalid",
    400,
    0x83,
    "4.00",
    "The query cannot be understood",
    "The detail names the parameter. Times are RFC 3339 or relative (`-1h`), `every` is like `1m`.",
    "InvalidRequest",
)
STORE_UNAVAILABLE = _refusal(
    "store.unavailable",
    503,
    0x80,
    "5.03",
    "The telemetry store does not answer",
    "Events stay in the log and are stored when it answers again. The health page names the cause.",
    "Unavailable",
)

# --- starting up -----------------------------------------------------------------------------------
SETTING_INVALID = _refusal(
    "setting.invalid",
    500,
    0x80,
    "5.00",
    "A setting has a value that it cannot have",
    "`docs/settings.md` lists every setting with its type, default and bounds.",
)
DATA_DIRECTORY = _refusal(
    "data-directory.unusable",
    500,
    0x80,
    "5.00",
    "The data directory cannot be used",
    "The detail says why: another Freehold runs on it, it was made by a newer version, or it cannot be written.",
)
PORT_TAKEN = _refusal(
    "port.taken",
    500,
    0x80,
    "5.00",
    "A port cannot be opened",
    "Stop the other program, or shift all ports with `--port-offset 1000`.",
)
