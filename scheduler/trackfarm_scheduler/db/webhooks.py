"""Webhook rows: creation, lookup and removal. Their messages are in `webhook_outbox`."""

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import delete, func, select
from sqlmodel import Session, col

from trackfarm.identity import new_id
from trackfarm.protocol.webhooks import DeliveryInfo, DeliveryState, HookEvent, WebhookInfo
from trackfarm_scheduler.db.digests import digest_of
from trackfarm_scheduler.db.tables_webhooks import DeliveryRow, WebhookRow


def make_id() -> str:
    return new_id("hook")


def create(
    session: Session,
    *,
    webhook_id: str,
    owner: str,
    url: str,
    events: Sequence[HookEvent],
    secret: str,
    now: float,
) -> WebhookRow:
    """Add a webhook; only the digest of `secret` is stored."""
    row = WebhookRow(
        id=webhook_id,
        owner=owner,
        url=url,
        events=" ".join(dict.fromkeys(events)),
        secret_hash=digest_of(secret),
        made_at=now,
    )
    session.add(row)
    return row


def events_of(row: WebhookRow) -> list[HookEvent]:
    return [HookEvent(word) for word in row.events.split()]


def find(session: Session, webhook_id: str, *, owner: str | None) -> WebhookRow | None:
    """Return the webhook with this id; with `owner`, only one of that owner."""
    row = session.get(WebhookRow, webhook_id)
    return row if row is not None and owner in (None, row.owner) else None


def list_all(session: Session, *, owner: str | None) -> list[WebhookRow]:
    """Return webhooks oldest first; with `owner`, only that owner's."""
    owner_filter = () if owner is None else (col(WebhookRow.owner) == owner,)
    order = col(WebhookRow.made_at), col(WebhookRow.id)
    return list(session.scalars(select(WebhookRow).where(*owner_filter).order_by(*order)))


def count(session: Session, owner: str) -> int:
    statement = select(func.count()).where(col(WebhookRow.owner) == owner)
    return session.scalar(statement) or 0


def remove(session: Session, webhook_id: str) -> None:
    """Delete a webhook and all its messages."""
    session.execute(delete(DeliveryRow).where(col(DeliveryRow.webhook_id) == webhook_id))
    session.execute(delete(WebhookRow).where(col(WebhookRow.id) == webhook_id))


def view(row: WebhookRow) -> WebhookInfo:
    return WebhookInfo(
        id=row.id,
        owner=row.owner,
        url=row.url,
        events=events_of(row),
        made_at=_at(row.made_at),
        failures=row.failures,
        not_before=_at(row.not_before) if row.not_before else None,
    )


def delivery_view(row: DeliveryRow) -> DeliveryInfo:
    state = DeliveryState(row.state)
    return DeliveryInfo(
        id=row.message_id,
        event=HookEvent(row.event),
        job_id=row.job_id,
        track_id=row.track_id,
        state=state,
        tries=row.tries,
        created_at=_at(row.created_at),
        next_at=_at(row.next_at) if state is DeliveryState.PENDING else None,
        ended_at=None if row.ended_at is None else _at(row.ended_at),
        status=row.status,
        error=row.error,
    )


def _at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
