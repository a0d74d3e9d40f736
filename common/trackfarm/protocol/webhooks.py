"""Webhooks: events sent when a track or a job ends, and their signature.

The scheme is Standard Webhooks (standardwebhooks.com): three headers, and an HMAC with SHA-256 over
id, time and body. A message may arrive more than once, always with the same `webhook-id`.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from pydantic import Field

from trackfarm.protocol.base import AnswerModel, RequestModel

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix of the scheme's secrets
TOLERANCE_SECONDS = 300.0  # between the sender's clock and ours, as in the scheme's libraries
_VERSION = "v1"


class HookEvent(StrEnum):
    TRACK_DONE = "track.done"
    TRACK_FAILED = "track.failed"
    JOB_ENDED = "job.ended"


class DeliveryState(StrEnum):
    """State of a delivery. `pending` changes once to one of the others, which are final."""

    PENDING = "pending"
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"


class WebhookRequest(RequestModel):
    """Request for a new webhook. `events` to send; all by default."""

    url: str = Field(min_length=8, max_length=2000)
    events: list[HookEvent] = Field(default=list(HookEvent), min_length=1, max_length=16)


class WebhookInfo(AnswerModel):
    """Webhook of one owner.

    `failures`: since the last successful delivery; nothing is sent before `not_before`.
    """

    id: str
    owner: str
    url: str
    events: list[HookEvent]
    made_at: datetime
    failures: int
    not_before: datetime | None


class NewWebhook(AnswerModel):
    """New webhook. `secret` is shown only in this response."""

    webhook: WebhookInfo
    secret: str = Field(repr=False)


class DeliveryInfo(AnswerModel):
    """One message to one webhook.

    `next_at` is None if there will be no further try; `status` is the receiver's last HTTP status,
    None without a response.
    """

    id: str
    event: HookEvent
    job_id: str
    track_id: int | None
    state: DeliveryState
    tries: int
    created_at: datetime
    next_at: datetime | None
    ended_at: datetime | None
    status: int | None
    error: str


class BadSignature(Exception):
    """The message was not signed with the secret, or not now; the text says which."""


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the `webhook-signature` header. Raises ValueError for a malformed secret."""
    message = b".".join((message_id.encode(), str(timestamp).encode(), body))
    digest = hmac.digest(_key(secret), message, hashlib.sha256)
    return f"{_VERSION},{base64.b64encode(digest).decode()}"


def secret_of(key: bytes) -> str:
    """Return a key of 24 to 64 bytes in the form that receivers store."""
    return SECRET_PREFIX + base64.b64encode(key).decode()


def verify(secret: str, headers: Mapping[str, str], body: bytes, *, now: float) -> str:
    """Return the id of a genuine message, by which a receiver recognises duplicates.

    `headers` have names in lower case, `now` is in seconds since 1970. Raises BadSignature.
    """
    try:
        message_id, timestamp = headers[ID], int(headers[TIMESTAMP])
        signatures = headers[SIGNATURE].split()
    except (KeyError, ValueError) as error:
        raise BadSignature("a header is missing or cannot be read") from error
    if abs(now - timestamp) > TOLERANCE_SECONDS:
        raise BadSignature(f"its timestamp is more than {TOLERANCE_SECONDS:.0f} s off our clock")
    expected = signature(secret, message_id, timestamp, body).encode()
    if not any(hmac.compare_digest(expected, each.encode()) for each in signatures):
        raise BadSignature("the signature does not match the secret")
    return message_id


def _key(secret: str) -> bytes:
    try:
        return base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("a webhook secret must be whsec_ followed by Base64") from error
