"""Pages of a job's tracks, as the API shows them."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import func, select
from sqlmodel import Session, col

from trackfarm import api
from trackfarm.api import TrackState
from trackfarm_scheduler.store.labels import of_a_track as labelled
from trackfarm_scheduler.store.tables import Artifact, Attempt, JobTrack, Track
from trackfarm_scheduler.store.times import within

Row = tuple[JobTrack, Track, Artifact | None, int]


def page(
    session: Session,
    job_id: str,
    *,
    after: int,
    limit: int,
    states: Sequence[TrackState] = (),
    labels: Sequence[tuple[str, str]] = (),
    between: tuple[float | None, float | None] = (None, None),
) -> list[Row]:
    """Return tracks of a job in catalog order after the ordinal `after`, each with its number of
    attempts. `between`: end time in Unix seconds."""
    attempts = (
        select(func.count())
        .where(col(Attempt.track_id) == col(Track.id))
        .correlate(Track)
        .scalar_subquery()
    )
    statement = (
        select(JobTrack, Track, Artifact, attempts)
        .join(Track, col(Track.id) == col(JobTrack.track_id))
        .outerjoin(Artifact, col(Artifact.track_id) == col(Track.id))
        .where(col(JobTrack.job_id) == job_id, col(JobTrack.ordinal) > after)
    )
    if states:
        statement = statement.where(col(Track.state).in_(states))
    statement = statement.where(*labelled(labels), *within(col(Track.ended_at), *between))
    rows = session.execute(statement.order_by(col(JobTrack.ordinal)).limit(limit))
    return [(link, track, artifact, number) for link, track, artifact, number in rows]


def view(
    link: JobTrack, track: Track, artifact: Artifact | None, attempts: int, url: str | None
) -> api.Track:
    assert track.id is not None
    return api.Track(
        id=track.id,
        key=track.key,
        ordinal=link.ordinal,
        name=link.name,
        state=TrackState(track.state),
        prompt=json.loads(track.brief)["prompt"],
        duration=track.duration,
        audio_format=track.audio_format,
        tags=json.loads(link.tags),
        attempts=attempts,
        error=track.error,
        artifact=_artifact_view(artifact) if artifact else None,
        url=url,
    )


def _artifact_view(row: Artifact) -> api.Artifact:
    return api.Artifact(
        object_key=row.object_key,
        size=row.size,
        md5=row.md5,
        sha256=row.sha256,
        seconds=row.seconds,
        seed=row.seed,
        worker_id=row.worker_id,
        committed_at=datetime.fromtimestamp(row.committed_at, UTC),
        measurements=json.loads(row.measurements),
    )
