"""Event reader: reads events from the database and encodes them for subscribers."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlmodel import Session

from trackfarm_scheduler.db import event_feed, job_counts
from trackfarm_scheduler.db.event_feed import EventBatch
from trackfarm_scheduler.db.tables import JobRow, JobTrackRow
from trackfarm_scheduler.db.tables_history import EventRow
from trackfarm_scheduler.events.sse import JOB_STATE, KINDS, TRACK_STATE, frame


@dataclass(frozen=True, slots=True)
class EventMessage:
    """One event. `whole`: text for subscribers to all jobs of `owner`; `by_job`: text for
    subscribers to one job, since each job names the track in its own way. `touched`: jobs with
    possibly changed counts."""

    number: int
    owner: str = ""
    whole: bytes = b""
    by_job: Mapping[str, bytes] = field(default_factory=dict)
    changed_jobs: frozenset[str] = frozenset()


def newest(session: Session) -> int:
    """Return the number of the last event, 0 before the first."""
    return event_feed.get_last_id(session)


def read(session: Session, *, after: int, limit: int) -> list[EventMessage]:
    """Return the next events of all jobs, oldest first."""
    return _messages(event_feed.list_after(session, KINDS, after=after, limit=limit))


def replay(
    session: Session, *, after: int, until: int, limit: int, job: str | None, owner: str | None
) -> list[EventMessage]:
    """Return events after `after` up to `until` for a subscriber to `job`, or to the jobs of
    `owner` (None: to all)."""
    batch = event_feed.list_between(
        session, KINDS, after=after, until=until, limit=limit, job=job, owner=owner
    )
    return _messages(batch)


def progress(session: Session, job_id: str) -> bytes | None:
    """Return the progress of a job as an event; None when the job no longer exists."""
    job = session.get(JobRow, job_id)
    if job is None or job.removed_at is not None:
        return None
    counts, audio_done = job_counts.count_requested(session, job_id)
    facts = {
        "job_id": job_id,
        "state": job.state,
        "tracks": counts.model_dump(),
        "audio_seconds": job.audio_seconds,
        "audio_seconds_done": audio_done,
        "spent": job.spent,
    }
    return frame("progress", facts)


def _messages(batch: EventBatch) -> list[EventMessage]:
    return [
        _message(row, batch.links.get(row.track_id or 0, ()), batch.owners) for row in batch.rows
    ]


def _message(
    row: EventRow, links: Sequence[JobTrackRow], owners: Mapping[str, str]
) -> EventMessage:
    number, job_id = row.id or 0, row.job_id
    if row.kind in JOB_STATE and job_id is not None and job_id in owners:
        text = frame("job", _facts(row, job_id, {"state": JOB_STATE[row.kind]}), number)
        return EventMessage(number, owners[job_id], text, {job_id: text}, frozenset({job_id}))
    if row.kind not in TRACK_STATE or not links:
        return EventMessage(number, changed_jobs=frozenset({job_id} if job_id else ()))
    by_job = {link.job_id: _track_frame(row, link, number) for link in links}
    owner_job = job_id if job_id is not None and job_id in by_job else links[0].job_id
    return EventMessage(
        number, owners.get(owner_job, ""), by_job[owner_job], by_job, frozenset(by_job)
    )


def _track_frame(row: EventRow, link: JobTrackRow, number: int) -> bytes:
    about = {
        "track_id": row.track_id,
        "ordinal": link.ordinal,
        "name": link.name,
        "state": TRACK_STATE[row.kind],
    }
    return frame("track", _facts(row, link.job_id, about), number)


def _facts(row: EventRow, job_id: str, about: Mapping[str, Any]) -> dict[str, Any]:
    at = datetime.fromtimestamp(row.at, UTC).isoformat().replace("+00:00", "Z")
    head = {"id": row.id, "at": at, "kind": row.kind, "job_id": job_id}
    return {**head, **about, "data": json.loads(row.data)}
