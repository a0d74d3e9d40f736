"""Stored files of finished tracks: queries, later verification, and revocation of changed ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select, update
from sqlmodel import Session, col

from trackfarm.api import JobState, TrackState
from trackfarm.wire import FailureKind
from trackfarm_scheduler.machines import AttemptState
from trackfarm_scheduler.store import journal, makers, tracks
from trackfarm_scheduler.store.journal import Happening
from trackfarm_scheduler.store.tables import Artifact, Attempt, Job, JobTrack, Track

CHANGED = "its object was changed after the commit"
_MAY_MAKE = [state for state in JobState if state not in (JobState.CANCELLED, JobState.FAILED)]


@dataclass(frozen=True, slots=True)
class Committed:
    """An artifact as recorded at its commit; `etag` is empty if it was not recorded."""

    track_id: int
    worker_id: str
    object_key: str
    size: int
    md5: str
    etag: str


def is_made_for(session: Session, object_key: str, owner: str | None) -> bool:
    """Return whether the object is the file of a finished track that a job of this owner (None: of
    any owner) requested."""
    owner_filter = () if owner is None else (col(Job.owner) == owner,)
    statement = (
        select(col(Artifact.track_id))
        .join(JobTrack, col(JobTrack.track_id) == col(Artifact.track_id))
        .join(Job, col(Job.id) == col(JobTrack.job_id))
        .where(col(Artifact.object_key) == object_key, *owner_filter)
        .limit(1)
    )
    return session.scalar(statement) is not None


def to_look_at(session: Session, *, written_before: float, limit: int) -> list[Committed]:
    """Return artifacts that were not verified since their upload URL expired, if that was before
    `written_before`."""
    rows = session.execute(
        select(
            col(Artifact.track_id),
            col(Artifact.worker_id),
            col(Artifact.object_key),
            col(Artifact.size),
            col(Artifact.md5),
            col(Artifact.etag),
        )
        .join(
            Attempt,
            (col(Attempt.track_id) == col(Artifact.track_id))
            & (col(Attempt.lease_id) == col(Artifact.lease_id)),
        )
        .where(col(Artifact.looked_at).is_(None), col(Attempt.url_expires_at) < written_before)
        .limit(limit)
    )
    return [Committed(*row) for row in rows]


def note_look(session: Session, track_ids: Sequence[int], now: float) -> None:
    """Mark these artifacts as verified: unchanged since their commit."""
    session.execute(
        update(Artifact).where(col(Artifact.track_id).in_(track_ids)).values(looked_at=now)
    )


def void(session: Session, committed: Committed, now: float) -> bool:
    """Revoke a commit: the track becomes pending again if its job is neither cancelled nor failed,
    or if another active job requested it, and failed otherwise. Return False if the artifact has
    been replaced since."""
    tracks.lock(session, [committed.track_id])
    lease_id = session.scalar(
        delete(Artifact)
        .where(
            col(Artifact.track_id) == committed.track_id,
            col(Artifact.object_key) == committed.object_key,
        )
        .returning(col(Artifact.lease_id))
    )
    if lease_id is None:
        return False
    _reopen(session, committed.track_id)
    session.execute(
        update(Attempt)
        .where(col(Attempt.lease_id) == lease_id, col(Attempt.track_id) == committed.track_id)
        .values(state=AttemptState.FAILED, kind=FailureKind.OBJECT_MISMATCH.value, message=CHANGED)
    )
    journal.count(session, "artifacts_voided")
    journal.record(session, _voided(committed, lease_id, now))
    return True


def _reopen(session: Session, track_id: int) -> None:
    makeable = select(col(Track.id)).where(col(Track.id) == track_id, makers.can_be_made(_MAY_MAKE))
    values: dict[str, Any] = {"error": f"{FailureKind.OBJECT_MISMATCH.value}: {CHANGED}"}
    target = TrackState.FAILED
    if session.scalar(makeable) is not None:
        target = TrackState.PENDING
        values |= {"ended_at": None, "not_before": 0.0}
    tracks.move(session, [track_id], target, source=TrackState.DONE, **values)


def _voided(committed: Committed, lease_id: str, now: float) -> Happening:
    return Happening(
        now,
        "artifact_voided",
        track_id=committed.track_id,
        lease_id=lease_id,
        worker_id=committed.worker_id,
        data={"object": committed.object_key, "reason": CHANGED},
    )
