"""API keys, their usage, and the audit log: messages of operator clients and the scheduler."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, Field, StringConstraints

from trackfarm.protocol.base import AnswerModel, RequestModel

KEY_PREFIX = "tf_"  # so that scanners for leaked secrets find keys in code and logs
DEFAULT_RATE = 600
MOST_RATE = 1_000_000

Owner = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
KeyName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._@-]{0,63}$")]


class Scope(StrEnum):
    READ = "read"
    SUBMIT = "submit"
    OPERATE = "operate"
    ADMIN = "admin"


# Submitting and operating require reading. Operating does not allow submitting: that costs money.
IMPLIED: Mapping[Scope, frozenset[Scope]] = {
    Scope.READ: frozenset({Scope.READ}),
    Scope.SUBMIT: frozenset({Scope.SUBMIT, Scope.READ}),
    Scope.OPERATE: frozenset({Scope.OPERATE, Scope.READ}),
    Scope.ADMIN: frozenset(Scope),
}


def implied(scopes: Iterable[Scope]) -> frozenset[Scope]:
    """Return all scopes of a key with these scopes, implied ones included."""
    return frozenset().union(*(IMPLIED[scope] for scope in scopes))


class KeyRequest(RequestModel):
    """Request for a new API key.

    `owner`: the account that owns the key's jobs and uploads; defaults to the key's name, reduced
    to the characters allowed in an owner. `rate`: requests per minute. `most_tracks`: limit on
    unfinished tracks at a time, None for no limit.
    """

    name: KeyName
    scopes: list[Scope] = Field(min_length=1, max_length=len(Scope))
    owner: Owner | None = None
    expires_at: AwareDatetime | None = None
    rate: int = Field(default=DEFAULT_RATE, ge=1, le=MOST_RATE)
    most_tracks: int | None = Field(default=None, ge=0, le=2**53)


class ApiKeyInfo(AnswerModel):
    """API key without its secret, which is shown only when the key is created."""

    id: str
    name: str
    owner: str
    scopes: list[Scope]
    rate: int
    most_tracks: int | None
    made_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None


class NewApiKey(AnswerModel):
    """New API key. `secret` is shown only in this response."""

    key: ApiKeyInfo
    secret: str


class AuditEntry(AnswerModel):
    """One requested change. `outcome` is `done` or the reason for the refusal."""

    id: int
    at: datetime
    key_id: str | None
    key_name: str
    worker_id: str | None
    address: str
    action: str
    target: str
    outcome: str
    request_id: str


class Step(StrEnum):
    """Interval by which usage is grouped: none, days or hours (UTC)."""

    TOTAL = "total"
    DAY = "day"
    HOUR = "hour"


class UsagePeriod(AnswerModel):
    """Usage of one key.

    `tracks` completed with `audio_seconds` in total, failed attempts, and the engine seconds and US
    dollars of both; `since` is None for the whole time.
    """

    owner: str
    key_id: str
    since: datetime | None
    tracks: int
    failures: int
    audio_seconds: float
    gpu_seconds: float
    dollars: float


class UsageReport(AnswerModel):
    """Usage in whole hours, from `since` (inclusive) to `until` (exclusive)."""

    since: datetime
    until: datetime
    by: Step
    used: list[UsagePeriod]
