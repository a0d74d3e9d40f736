"""Webhooks: what a farm sends when a track or a job ends, and how both sides sign and check it.

The scheme is Standard Webhooks (standardwebhooks.com): three headers, and an HMAC with SHA-256 over
id, time and body. A message may come more than once and always has the same `webhook-id`.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
SECRET_PREFIX = "whsec_"  # noqa: S105 - what secrets of the scheme begin with
TOLERANCE_SECONDS = 300.0  # between the sender's clock and ours, as in the scheme's libraries
_VERSION = "v1"


class HookEvent(StrEnum):
    TRACK_DONE = "track.done"
    TRACK_FAILED = "track.failed"
    JOB_ENDED = "job.ended"


class DeliveryState(StrEnum):
    """`pending` becomes one of the others, and stays that."""

    PENDING = "pending"
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"


class WebhookRequest(BaseModel):
    """`events`: which are sent, all unless given."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(min_length=8, max_length=2000)
    events: list[HookEvent] = Field(default=list(HookEvent), min_length=1, max_length=16)


class _Record(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Webhook(_Record):
    """`failures`: since anything was delivered; until `not_before` nothing is tried."""

    id: str
    owner: str
    url: str
    events: list[HookEvent]
    made_at: datetime
    failures: int
    not_before: datetime | None


class NewWebhook(_Record):
    """`secret` is shown this once."""

    webhook: Webhook
    secret: str = Field(repr=False)


class Delivery(_Record):
    """One message to one webhook. `next_at` is None when it is not tried again; `status` is what the
    receiver answered last, None when it did not."""

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
    """A message that was not sent by who has the secret, or not now; the text says which."""


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """The value of the header `webhook-signature`. Raises ValueError for a secret without form."""
    signed = b".".join((message_id.encode(), str(timestamp).encode(), body))
    digest = hmac.digest(_key(secret), signed, hashlib.sha256)
    return f"{_VERSION},{base64.b64encode(digest).decode()}"


def secret_of(key: bytes) -> str:
    """A key of 24 to 64 bytes as receivers keep it."""
    return SECRET_PREFIX + base64.b64encode(key).decode()


def verify(secret: str, headers: Mapping[str, str], body: bytes, *, now: float) -> str:
    """The id of a genuine message, by which a receiver knows one that it had before. `headers` with
    names in lower case, `now` in seconds since 1970. Raises BadSignature."""
    try:
        message_id, timestamp = headers[ID], int(headers[TIMESTAMP])
        given = headers[SIGNATURE].split()
    except (KeyError, ValueError) as error:
        raise BadSignature("a header is missing or cannot be read") from error
    if abs(now - timestamp) > TOLERANCE_SECONDS:
        raise BadSignature(f"its time is more than {TOLERANCE_SECONDS:.0f} s from ours")
    good = signature(secret, message_id, timestamp, body).encode()
    if not any(hmac.compare_digest(good, each.encode()) for each in given):
        raise BadSignature("the signature is not this secret's")
    return message_id


def _key(secret: str) -> bytes:
    try:
        return base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("a webhook's secret is whsec_ and Base64") from error
