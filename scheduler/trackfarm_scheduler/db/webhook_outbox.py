"""The webhook outbox: messages written in the transaction of their event, sent by the leader, and
ended once. The only module that writes a delivery's state."""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, delete, exists, insert, select, update
from sqlmodel import Session, col

from trackfarm.protocol.webhooks import DeliveryState, HookEvent
from trackfarm_scheduler.db.events import JournalEvent
from trackfarm_scheduler.db.tables import JobRow, JobTrackRow, table_of
from trackfarm_scheduler.db.tables_webhooks import WAITING, DeliveryRow, WebhookRow

EVENT_OF: Mapping[str, HookEvent] = {
    "track_done": HookEvent.TRACK_DONE,
    "track_failed": HookEvent.TRACK_FAILED,
    "job_done": HookEvent.JOB_ENDED,
    "job_failed": HookEvent.JOB_ENDED,
    "job_cancelled": HookEvent.JOB_ENDED,
    "job_out_of_budget": HookEvent.JOB_ENDED,
}
_JOB, _HOOK, _DELIVERY = table_of(JobRow), table_of(WebhookRow), table_of(DeliveryRow)
_LISTENING = (
    select(_JOB.c.id, _HOOK.c.id, _HOOK.c.events)
    .join(_HOOK, _HOOK.c.owner == _JOB.c.owner)
    .where(_JOB.c.id.in_(bindparam("jobs", expanding=True)))
)
_INSERT = insert(_DELIVERY)
_PENDING = col(DeliveryRow.state) == DeliveryState.PENDING


@dataclass(frozen=True, slots=True)
class WebhookMessage:
    """A message to send now. Times in Unix seconds: `created_at` of the event, `since` when its
    delivery began, or was restarted. `data`: the facts of the event."""

    row_id: int
    message_id: str
    event: HookEvent
    created_at: float
    since: float
    tries: int
    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class DeliveryOutcome:
    """The result of sending: DELIVERED, GIVEN_UP, or PENDING until `next_at`. `status` is the
    receiver's HTTP status, None if there was no response."""

    row_id: int
    state: DeliveryState
    next_at: float
    status: int | None
    error: str


def write_messages(session: Session, new_events: Sequence[JournalEvent]) -> None:
    """Add a row for each event and each webhook subscribed to it; without webhooks this costs one
    index lookup."""
    relevant = [(h, EVENT_OF[h.kind]) for h in new_events if h.kind in EVENT_OF and h.job_id]
    if not relevant:
        return
    listening = session.execute(_LISTENING, {"jobs": sorted({str(h.job_id) for h, _ in relevant})})
    hooks = [(job_id, hook_id, events.split()) for job_id, hook_id, events in listening]
    rows = [
        _row(new_event, event, hook_id)
        for new_event, event in relevant
        for job_id, hook_id, events in hooks
        if job_id == new_event.job_id and event in events
    ]
    if rows:
        session.execute(_INSERT, rows)


def _row(new_event: JournalEvent, event: HookEvent, webhook_id: str) -> dict[str, object]:
    state = new_event.kind.partition("_")[2]
    return {
        "message_id": f"msg_{secrets.token_hex(10)}",
        "webhook_id": webhook_id,
        "event": event.value,
        "job_id": new_event.job_id,
        "track_id": new_event.track_id,
        "data": json.dumps({"state": state, **new_event.data}, separators=(",", ":")),
        "state": DeliveryState.PENDING.value,
        "tries": 0,
        "created_at": new_event.at,
        "since": new_event.at,
        "next_at": new_event.at,
        "error": "",
    }


def list_due_webhooks(session: Session, now: float) -> list[str]:
    """Return the webhooks with messages to send now, ones without recent failures first."""
    waits = exists().where(
        col(DeliveryRow.webhook_id) == col(WebhookRow.id), _PENDING, col(DeliveryRow.next_at) <= now
    )
    statement = select(col(WebhookRow.id)).where(col(WebhookRow.not_before) <= now, waits)
    return list(session.scalars(statement.order_by(col(WebhookRow.not_before))))


def reserve(
    session: Session, webhook_id: str, *, now: float, until: float, limit: int
) -> list[WebhookMessage]:
    """Take the messages that are due longest, and reserve them for this caller until `until`."""
    statement = (
        select(DeliveryRow)
        .where(col(DeliveryRow.webhook_id) == webhook_id, _PENDING, col(DeliveryRow.next_at) <= now)
        .order_by(col(DeliveryRow.next_at), col(DeliveryRow.id))
        .limit(limit)
    )
    rows = list(session.scalars(statement))
    ids = [row.id for row in rows if row.id is not None]
    session.execute(update(DeliveryRow).where(col(DeliveryRow.id).in_(ids)).values(next_at=until))
    names = _names(session, rows)
    return [_message(row, names) for row in rows]


def _names(session: Session, rows: Sequence[DeliveryRow]) -> dict[tuple[str, int], dict[str, Any]]:
    """Return ordinal, name and tags of these tracks in their catalog, by job and track."""
    ids = [row.track_id for row in rows if row.track_id is not None]
    if not ids:
        return {}
    links = session.scalars(
        select(JobTrackRow).where(
            col(JobTrackRow.track_id).in_(ids),
            col(JobTrackRow.job_id).in_({row.job_id for row in rows}),
        )
    )
    return {
        (link.job_id, link.track_id): {
            "ordinal": link.ordinal,
            "name": link.name,
            "tags": json.loads(link.tags),
        }
        for link in links
    }


def _message(
    row: DeliveryRow, names: Mapping[tuple[str, int], Mapping[str, Any]]
) -> WebhookMessage:
    assert row.id is not None
    data: dict[str, Any] = {"job_id": row.job_id}
    if row.track_id is not None:
        data |= {"track_id": row.track_id, **names.get((row.job_id, row.track_id), {})}
    return WebhookMessage(
        row_id=row.id,
        message_id=row.message_id,
        event=HookEvent(row.event),
        created_at=row.created_at,
        since=row.since,
        tries=row.tries,
        data=data | json.loads(row.data),
    )


def record_outcomes(session: Session, outcomes: Sequence[DeliveryOutcome], now: float) -> None:
    """End messages that were delivered or given up, once; postpone the rest."""
    for outcome in outcomes:
        ended = None if outcome.state is DeliveryState.PENDING else now
        session.execute(
            update(DeliveryRow)
            .where(col(DeliveryRow.id) == outcome.row_id, _PENDING)
            .values(
                state=outcome.state,
                tries=col(DeliveryRow.tries) + 1,
                next_at=outcome.next_at,
                ended_at=ended,
                status=outcome.status,
                error=outcome.error,
            )
        )


def release(session: Session, messages: Sequence[WebhookMessage], now: float) -> None:
    """Make messages due again that were taken and not tried."""
    ids = [message.row_id for message in messages]
    session.execute(
        update(DeliveryRow).where(col(DeliveryRow.id).in_(ids), _PENDING).values(next_at=now)
    )


def record_failures(session: Session, webhook_id: str, failures: int, not_before: float) -> None:
    """Record a webhook's failures, and send nothing to it until `not_before`."""
    session.execute(
        update(WebhookRow)
        .where(col(WebhookRow.id) == webhook_id)
        .values(failures=failures, not_before=not_before)
    )


def give_up_old(session: Session, *, since_before: float, now: float) -> int:
    """Give up messages that could not be delivered since before `since_before`, tried or not;
    return how many."""
    result = session.execute(
        update(DeliveryRow)
        .where(
            WAITING,
            col(DeliveryRow.since) < since_before,
            col(DeliveryRow.next_at) <= now,
        )
        .values(state=DeliveryState.GIVEN_UP, ended_at=now)
    )
    return int(result.rowcount)  # type: ignore[attr-defined]


def list_page(
    session: Session, webhook_id: str, *, state: DeliveryState | None, before: int, limit: int
) -> list[DeliveryRow]:
    """Return messages newest first, with row ids below `before`."""
    wanted = [col(DeliveryRow.webhook_id) == webhook_id, col(DeliveryRow.id) < before]
    if state is not None:
        wanted.append(col(DeliveryRow.state) == state)
    statement = select(DeliveryRow).where(*wanted).order_by(col(DeliveryRow.id).desc())
    return list(session.scalars(statement.limit(limit)))


def restart(session: Session, webhook_id: str, message_id: str, now: float) -> bool:
    """Restart the delivery of a message that was given up; False if there is no such message."""
    statement = (
        update(DeliveryRow)
        .where(
            col(DeliveryRow.webhook_id) == webhook_id,
            col(DeliveryRow.message_id) == message_id,
            col(DeliveryRow.state) == DeliveryState.GIVEN_UP,
        )
        .values(state=DeliveryState.PENDING, since=now, next_at=now, ended_at=None)
        .returning(col(DeliveryRow.id))
    )
    return session.scalar(statement) is not None


def delete_old(session: Session, *, ended_before: float, limit: int) -> int:
    """Delete messages that ended before `ended_before`, at most `limit`; return how many."""
    due = select(col(DeliveryRow.id)).where(col(DeliveryRow.ended_at) < ended_before).limit(limit)
    ids = list(session.scalars(due))
    session.execute(delete(DeliveryRow).where(col(DeliveryRow.id).in_(ids)))
    return len(ids)
