"""API keys and the audit log, as the operator's programs and the scheduler speak of them."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

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


# Whoever orders work or steers it must see it. To steer is not to order: that costs money.
IMPLIED: Mapping[Scope, frozenset[Scope]] = {
    Scope.READ: frozenset({Scope.READ}),
    Scope.SUBMIT: frozenset({Scope.SUBMIT, Scope.READ}),
    Scope.OPERATE: frozenset({Scope.OPERATE, Scope.READ}),
    Scope.ADMIN: frozenset(Scope),
}


def implied(scopes: Iterable[Scope]) -> frozenset[Scope]:
    """Everything that a key with these scopes may do."""
    return frozenset().union(*(IMPLIED[scope] for scope in scopes))


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Record(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class KeyRequest(_Request):
    """`owner`: whose jobs and uploads these are; left out, the name in the form of an owner.
    `rate`: requests a minute. `most_tracks`: unfinished tracks at a time, None for no limit."""

    name: KeyName
    scopes: list[Scope] = Field(min_length=1, max_length=len(Scope))
    owner: Owner | None = None
    expires_at: AwareDatetime | None = None
    rate: int = Field(default=DEFAULT_RATE, ge=1, le=MOST_RATE)
    most_tracks: int | None = Field(default=None, ge=0, le=2**53)


class Key(_Record):
    """A key without its secret, which nobody has but the one it was given to."""

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


class NewKey(_Record):
    """`secret` is shown this once."""

    key: Key
    secret: str


class AuditEntry(_Record):
    """One change that somebody asked for. `outcome` is `done` or says why it was refused."""

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
