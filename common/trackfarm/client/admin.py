"""Client for the calls that need a key with scope `admin`: keys and the audit log."""

from typing import Any

from trackfarm.client import Client
from trackfarm.client.calls import PAGE_SIZE
from trackfarm.client.dual import call
from trackfarm.client.errors import was_not_sent
from trackfarm.client.requests import ask, get, segment
from trackfarm.client.sansio import Steps
from trackfarm.protocol.accounts import ApiKeyInfo, AuditEntry, KeyRequest, NewApiKey


class Administration(Client):
    """Connection to a farm for administrators."""

    @call
    def make_key(self, request: KeyRequest) -> Steps[NewApiKey]:
        """Create a key. Never retried: only this response has the secret."""
        return ask(NewApiKey, "keys", request, was_not_sent)

    @call
    def keys(self) -> Steps[list[ApiKeyInfo]]:
        """List the keys, oldest first, revoked ones included."""
        return get(list[ApiKeyInfo], "keys")

    @call
    def revoke_key(self, reference: str) -> Steps[ApiKeyInfo]:
        """Revoke a key by id, by name, or by the beginning of its id."""
        return ask(ApiKeyInfo, f"keys/{segment(reference)}/revoke", None, was_not_sent)

    @call
    def audit(
        self, *, target: str | None = None, after: int = 0, limit: int = PAGE_SIZE
    ) -> Steps[list[AuditEntry]]:
        """List audit entries after `after`, oldest first; `target` is the id of a job or a key."""
        params: dict[str, Any] = {"after": after, "limit": limit}
        return get(list[AuditEntry], "audit", params | ({"target": target} if target else {}))
