"""Who is calling and what they may do (pure)."""

from dataclasses import dataclass

from trackfarm.access import Scope, implied

ROOT = "root"
ROOT_OWNER = "operator"


@dataclass(frozen=True, slots=True)
class Identity:
    """What a key stands for. `rate`: requests a minute, None for no limit; `most_tracks`:
    unfinished tracks at a time; `expires_at`: Unix seconds."""

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
        """The owner whose jobs it sees, None when it sees all."""
        return None if self.may(Scope.ADMIN) else self.owner


ROOT_IDENTITY = Identity(ROOT, ROOT, ROOT_OWNER, implied([Scope.ADMIN]))


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asked for a change, as the audit log names them."""

    key_id: str | None = None
    key_name: str = ""
    worker_id: str | None = None
    address: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Caller:
    """The holder of a key in one request."""

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
        it = self.identity
        return Actor(it.key_id, it.name, address=self.address, request_id=self.request_id)
