"""Tables of keys and of the audit log."""

from collections.abc import Sequence
from datetime import datetime

from rich.table import Table

from trackfarm.access import AuditEntry, Key
from trackfarm.printable import clean
from trackfarm.words import one_line


def keys_table(keys: Sequence[Key], now: datetime) -> Table:
    table = _table("key", "name", "owner", "scopes", "rate", "tracks", "state", "last used")
    for key in keys:
        most = "" if key.most_tracks is None else f"{key.most_tracks:,}"
        table.add_row(
            key.id,
            clean(key.name),
            clean(key.owner),
            " ".join(key.scopes),
            f"{key.rate:,}/min",
            most,
            state_of(key, now),
            "never" if key.last_used_at is None else _moment(key.last_used_at),
        )
    return table


def state_of(key: Key, now: datetime) -> str:
    """Return the key's state in words: active, revoked, expired, or valid until a time."""
    if key.revoked_at is not None:
        return f"revoked {_moment(key.revoked_at)}"
    if key.expires_at is None:
        return "active"
    word = "until" if key.expires_at > now else "expired"
    return f"{word} {_moment(key.expires_at)}"


def audit_table(entries: Sequence[AuditEntry]) -> Table:
    table = _table("at", "by", "from", "action", "target", "outcome")
    for entry in entries:
        actor = entry.key_name or entry.worker_id or "?"
        words = (actor, entry.address, entry.action, entry.target, entry.outcome)
        table.add_row(_moment(entry.at), *(one_line(word) for word in words))
    return table


def _moment(at: datetime) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S}"


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading)
    return table
