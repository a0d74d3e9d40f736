"""Identity of a caller and its permissions (pure)."""

from dataclasses import dataclass

from trackfarm.protocol.accounts import Scope, implied

ROOT = "root"
ROOT_OWNER = "operator"


@dataclass(frozen=True, slots=True)
class Identity:
    """The identity behind a key. `rate`: requests per minute, None for no limit; `most_tracks`:
    limit of unfinished tracks; `expires_at`: Unix seconds."""

    key_id: str
    name: str
    owner: str
    scopes: frozenset[Scope]
    rate: int | None = None
    most_tracks: int | None = None
    expires_at: float | None = None

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes

    def has_expired(self, now: float) -> bool:
        return self.expires_at is not None and self.expires_at <= now

    @property
    def sees(self) -> str | None:
        """The only owner with visible jobs; None when the identity sees the jobs of every owner."""
        return None if self.may(Scope.ADMIN) else self.owner


ROOT_IDENTITY = Identity(ROOT, ROOT, ROOT_OWNER, implied([Scope.ADMIN]))


@dataclass(frozen=True, slots=True)
class Actor:
    """The author of a change, as recorded in the audit log."""

    key_id: str | None = None
    key_name: str = ""
    worker_id: str | None = None
    address: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Caller:
    """The holder of the key used in one request."""

    identity: Identity
    address: str = ""
    request_id: str = ""

    @property
    def owner(self) -> str:
        return self.identity.owner

    @property
    def sees(self) -> str | None:
        return self.identity.sees

    @property
    def actor(self) -> Actor:
        identity = self.identity
        return Actor(
            identity.key_id, identity.name, address=self.address, request_id=self.request_id
        )
