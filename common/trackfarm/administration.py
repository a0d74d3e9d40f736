"""Client for the calls that need a key with scope `admin`: keys and the audit log."""

from typing import Any

from trackfarm.access import AuditEntry, Key, KeyRequest, NewKey
from trackfarm.client import Client
from trackfarm.client.asking import ask, get, segment
from trackfarm.client.calls import PAGE_SIZE
from trackfarm.client.endings import never_sent
from trackfarm.client.steps import Steps
from trackfarm.client.worlds import call


class Administration(Client):
    """Connection to a farm for administrators."""

    @call
    def make_key(self, wanted: KeyRequest) -> Steps[NewKey]:
        """Create a key. Never retried: only this response has the secret."""
        return ask(NewKey, "keys", wanted, never_sent)

    @call
    def keys(self) -> Steps[list[Key]]:
        """List the keys, oldest first, revoked ones included."""
        return get(list[Key], "keys")

    @call
    def revoke_key(self, reference: str) -> Steps[Key]:
        """Revoke a key by id, by name, or by the beginning of its id."""
        return ask(Key, f"keys/{segment(reference)}/revoke", None, never_sent)

    @call
    def audit(
        self, *, target: str | None = None, after: int = 0, limit: int = PAGE_SIZE
    ) -> Steps[list[AuditEntry]]:
        """List audit entries after `after`, oldest first; `target` is the id of a job or a key."""
        params: dict[str, Any] = {"after": after, "limit": limit}
        return get(list[AuditEntry], "audit", params | ({"target": target} if target else {}))
