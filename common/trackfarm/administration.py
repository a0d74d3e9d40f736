"""The calls that need a key with scope `admin`: keys and the audit log."""

from typing import Any

from trackfarm.access import AuditEntry, Key, KeyRequest, NewKey
from trackfarm.client import PAGE_SIZE, Farm, segment
from trackfarm.endings import never_sent


class Administration(Farm):
    """A connection to a farm for who administers it."""

    def make_key(self, wanted: KeyRequest) -> NewKey:
        """Never repeated after a lost connection: the answer is the only one with the secret."""
        return self._ask(NewKey, "keys", wanted, repeat=never_sent)

    def keys(self) -> list[Key]:
        """Oldest first, revoked ones included."""
        return self._get(list[Key], "keys")

    def revoke_key(self, reference: str) -> Key:
        """By id, by name, or by the beginning of the id."""
        return self._ask(Key, f"keys/{segment(reference)}/revoke", None, repeat=never_sent)

    def audit(
        self, *, target: str | None = None, after: int = 0, limit: int = PAGE_SIZE
    ) -> list[AuditEntry]:
        """Oldest first, from the one behind `after`; `target` is the id of a job or a key."""
        params: dict[str, Any] = {"after": after, "limit": limit}
        return self._get(list[AuditEntry], "audit", params | ({"target": target} if target else {}))
