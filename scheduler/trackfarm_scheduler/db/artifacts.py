"""Objects in the store: files of finished tracks, their later verification and revocation, and
leftovers of abandoned attempts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select, update
from sqlmodel import Session, col

from trackfarm.protocol.operator import JobState, TrackState
from trackfarm.protocol.worker import FailureKind
from trackfarm_scheduler.db import events, shared_tracks, tracks
from trackfarm_scheduler.db.events import JournalEvent
from trackfarm_scheduler.db.tables import ArtifactRow, AttemptRow, JobRow, JobTrackRow, TrackRow
from trackfarm_scheduler.policy.states import AttemptState

CHANGED = "its object was changed after the commit"
_ABANDONED = [
    AttemptState.FAILED,
    AttemptState.RELEASED,
    AttemptState.EXPIRED,
    AttemptState.CANCELLED,
    AttemptState.FORGIVEN,
]
_CAN_REOPEN = [state for state in JobState if state not in (JobState.CANCELLED, JobState.FAILED)]


@dataclass(frozen=True, slots=True)
class CommittedArtifact:
    """An artifact as recorded at its commit; `etag` is empty if it was not recorded."""

    track_id: int
    worker_id: str
    object_key: str
    size: int
    md5: str
    etag: str


def is_requested_by(session: Session, object_key: str, owner: str | None) -> bool:
    """Return whether the object is the file of a finished track that a job of this owner (None: of
    any owner) requested."""
    owner_filter = () if owner is None else (col(JobRow.owner) == owner,)
    statement = (
        select(col(ArtifactRow.track_id))
        .join(JobTrackRow, col(JobTrackRow.track_id) == col(ArtifactRow.track_id))
        .join(JobRow, col(JobRow.id) == col(JobTrackRow.job_id))
        .where(col(ArtifactRow.object_key) == object_key, *owner_filter)
        .limit(1)
    )
    return session.scalar(statement) is not None


def find_seconds(session: Session, object_key: str) -> float | None:
    """Return the duration of the finished track with this object; None if there is none."""
    statement = select(col(ArtifactRow.seconds)).where(col(ArtifactRow.object_key) == object_key)
    return session.scalar(statement)


def list_unverified(
    session: Session, *, written_before: float, limit: int
) -> list[CommittedArtifact]:
    """Return artifacts that were not verified since their upload URL expired, if that was before
    `written_before`."""
    rows = session.execute(
        select(
            col(ArtifactRow.track_id),
            col(ArtifactRow.worker_id),
            col(ArtifactRow.object_key),
            col(ArtifactRow.size),
            col(ArtifactRow.md5),
            col(ArtifactRow.etag),
        )
        .join(
            AttemptRow,
            (col(AttemptRow.track_id) == col(ArtifactRow.track_id))
            & (col(AttemptRow.lease_id) == col(ArtifactRow.lease_id)),
        )
        .where(
            col(ArtifactRow.verified_at).is_(None), col(AttemptRow.url_expires_at) < written_before
        )
        .limit(limit)
    )
    return [CommittedArtifact(*row) for row in rows]


def mark_verified(session: Session, track_ids: Sequence[int], now: float) -> None:
    """Mark these artifacts as verified: unchanged since their commit."""
    session.execute(
        update(ArtifactRow).where(col(ArtifactRow.track_id).in_(track_ids)).values(verified_at=now)
    )


def revoke(session: Session, committed: CommittedArtifact, now: float) -> bool:
    """Revoke a commit: the track becomes pending again if its job is neither cancelled nor failed,
    or if another active job requested it, and failed otherwise. Return False if the artifact has
    been replaced since."""
    tracks.lock(session, [committed.track_id])
    lease_id = session.scalar(
        delete(ArtifactRow)
        .where(
            col(ArtifactRow.track_id) == committed.track_id,
            col(ArtifactRow.object_key) == committed.object_key,
        )
        .returning(col(ArtifactRow.lease_id))
    )
    if lease_id is None:
        return False
    _reopen(session, committed.track_id)
    session.execute(
        update(AttemptRow)
        .where(col(AttemptRow.lease_id) == lease_id, col(AttemptRow.track_id) == committed.track_id)
        .values(state=AttemptState.FAILED, kind=FailureKind.OBJECT_MISMATCH.value, message=CHANGED)
    )
    events.count(session, "artifacts_voided")
    events.record(session, _voided(committed, lease_id, now))
    return True


def _reopen(session: Session, track_id: int) -> None:
    reopenable = select(col(TrackRow.id)).where(
        col(TrackRow.id) == track_id, shared_tracks.can_be_made(_CAN_REOPEN)
    )
    values: dict[str, Any] = {"error": f"{FailureKind.OBJECT_MISMATCH.value}: {CHANGED}"}
    state = TrackState.FAILED
    if session.scalar(reopenable) is not None:
        state = TrackState.PENDING
        values |= {"ended_at": None, "not_before": 0.0}
    tracks.move(session, [track_id], state, source=TrackState.DONE, **values)


def _voided(committed: CommittedArtifact, lease_id: str, now: float) -> JournalEvent:
    return JournalEvent(
        now,
        "artifact_voided",
        track_id=committed.track_id,
        lease_id=lease_id,
        worker_id=committed.worker_id,
        data={"object": committed.object_key, "reason": CHANGED},
    )


def list_leftovers(session: Session, *, written_before: float, limit: int) -> dict[int, str]:
    """Return objects of abandoned attempts by attempt, where the upload URL expired before
    `written_before` and the object was not removed yet."""
    rows = session.execute(
        select(col(AttemptRow.id), col(AttemptRow.object_key))
        .where(
            col(AttemptRow.state).in_(_ABANDONED),
            col(AttemptRow.object_removed_at).is_(None),
            col(AttemptRow.url_expires_at) < written_before,
        )
        .limit(limit)
    )
    return {attempt_id: key for attempt_id, key in rows if attempt_id is not None}


def mark_removed(session: Session, attempt_ids: Sequence[int], now: float) -> None:
    """Record that the objects of these attempts were removed."""
    session.execute(
        update(AttemptRow).where(col(AttemptRow.id).in_(attempt_ids)).values(object_removed_at=now)
    )
    events.count(session, "attempts_swept", len(attempt_ids))
