"""Finished files: questions about them, and the ones that turn out not to be what was committed."""

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
    """An artifact as it was when it was committed; `etag` is empty where it was not noted then."""

    track_id: int
    worker_id: str
    object_key: str
    size: int
    md5: str
    etag: str


def is_made_for(session: Session, object_key: str, owner: str | None) -> bool:
    """Whether the object is the finished file of a track that a job of this owner (None: of any)
    asked for."""
    whose = () if owner is None else (col(Job.owner) == owner,)
    statement = (
        select(col(Artifact.track_id))
        .join(JobTrack, col(JobTrack.track_id) == col(Artifact.track_id))
        .join(Job, col(Job.id) == col(JobTrack.job_id))
        .where(col(Artifact.object_key) == object_key, *whose)
        .limit(1)
    )
    return session.scalar(statement) is not None


def to_look_at(session: Session, *, written_before: float, limit: int) -> list[Committed]:
    """Those whose upload URL expired before this time and that were not looked at since."""
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
    """These were found as they had been committed."""
    session.execute(
        update(Artifact).where(col(Artifact.track_id).in_(track_ids)).values(looked_at=now)
    )


def void(session: Session, committed: Committed, now: float) -> bool:
    """Takes a commit back: the track is pending again where a job makes it or was done with it,
    and has failed otherwise. False when the artifact is another one by now."""
    tracks.lock(session, [committed.track_id])
    gone = session.scalar(
        delete(Artifact)
        .where(
            col(Artifact.track_id) == committed.track_id,
            col(Artifact.object_key) == committed.object_key,
        )
        .returning(col(Artifact.lease_id))
    )
    if gone is None:
        return False
    _reopen(session, committed.track_id)
    session.execute(
        update(Attempt)
        .where(col(Attempt.lease_id) == gone, col(Attempt.track_id) == committed.track_id)
        .values(state=AttemptState.FAILED, kind=FailureKind.OBJECT_MISMATCH.value, message=CHANGED)
    )
    journal.count(session, "artifacts_voided")
    journal.record(session, _voided(committed, gone, now))
    return True


def _reopen(session: Session, track_id: int) -> None:
    wanted = select(col(Track.id)).where(col(Track.id) == track_id, makers.can_be_made(_MAY_MAKE))
    values: dict[str, Any] = {"error": f"{FailureKind.OBJECT_MISMATCH.value}: {CHANGED}"}
    target = TrackState.FAILED
    if session.scalar(wanted) is not None:
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
