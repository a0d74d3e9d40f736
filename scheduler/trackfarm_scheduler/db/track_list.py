"""A job's tracks as the API shows them, and their tags, for filtering."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, delete, exists, func, insert, select
from sqlmodel import Session, col

from trackfarm.protocol import operator as operator_api
from trackfarm.protocol.operator import TrackState
from trackfarm_scheduler.db.statements import within
from trackfarm_scheduler.db.tables import (
    ArtifactRow,
    AttemptRow,
    JobRow,
    JobTrackRow,
    TrackRow,
    table_of,
)
from trackfarm_scheduler.db.tables_catalog import TrackTagRow

_INSERT = insert(table_of(TrackTagRow))
TrackListRow = tuple[JobTrackRow, TrackRow, ArtifactRow | None, int]


def list_page(
    session: Session,
    job_id: str,
    *,
    after: int,
    limit: int,
    states: Sequence[TrackState] = (),
    labels: Sequence[tuple[str, str]] = (),
    between: tuple[float | None, float | None] = (None, None),
) -> list[TrackListRow]:
    """Return tracks of a job in catalog order after the ordinal `after`, each with its number of
    attempts. `between`: end time in Unix seconds."""
    attempts = (
        select(func.count())
        .where(col(AttemptRow.track_id) == col(TrackRow.id))
        .correlate(TrackRow)
        .scalar_subquery()
    )
    statement = (
        select(JobTrackRow, TrackRow, ArtifactRow, attempts)
        .join(TrackRow, col(TrackRow.id) == col(JobTrackRow.track_id))
        .outerjoin(ArtifactRow, col(ArtifactRow.track_id) == col(TrackRow.id))
        .where(col(JobTrackRow.job_id) == job_id, col(JobTrackRow.ordinal) > after)
    )
    if states:
        statement = statement.where(col(TrackRow.state).in_(states))
    statement = statement.where(*track_has_tags(labels), *within(col(TrackRow.ended_at), *between))
    rows = session.execute(statement.order_by(col(JobTrackRow.ordinal)).limit(limit))
    return [(link, track, artifact, number) for link, track, artifact, number in rows]


def view(
    link: JobTrackRow, track: TrackRow, artifact: ArtifactRow | None, attempts: int, url: str | None
) -> operator_api.TrackInfo:
    assert track.id is not None
    brief = json.loads(track.brief)
    return operator_api.TrackInfo(
        id=track.id,
        key=track.key,
        ordinal=link.ordinal,
        name=link.name,
        title=brief.get("title") or "",
        state=TrackState(track.state),
        prompt=brief["prompt"],
        bpm=brief.get("bpm"),
        key_scale=brief.get("key_scale"),
        duration=track.duration,
        audio_format=track.audio_format,
        tags=json.loads(link.tags),
        attempts=attempts,
        error=track.error,
        artifact=_artifact_view(artifact) if artifact else None,
        url=url,
    )


def _artifact_view(row: ArtifactRow) -> operator_api.ArtifactInfo:
    return operator_api.ArtifactInfo(
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


def store_tags(
    session: Session, job_id: str, labelled: Iterable[tuple[int, Mapping[str, str]]]
) -> None:
    """Store the labels of tracks, given by ordinal."""
    rows = [
        {"tag": tag, "value": value, "job_id": job_id, "ordinal": ordinal}
        for ordinal, tags in labelled
        for tag, value in tags.items()
    ]
    if rows:
        session.execute(_INSERT, rows)


def delete_tags(session: Session, job_id: str) -> None:
    session.execute(delete(TrackTagRow).where(col(TrackTagRow.job_id) == job_id))


def job_has_tags(labels: Sequence[tuple[str, str]]) -> list[ColumnElement[bool]]:
    """Conditions on jobs: each of these labels is on one of the job's tracks."""
    return [
        exists().where(
            col(TrackTagRow.tag) == tag,
            col(TrackTagRow.value) == value,
            col(TrackTagRow.job_id) == col(JobRow.id),
        )
        for tag, value in labels
    ]


def track_has_tags(labels: Sequence[tuple[str, str]]) -> list[ColumnElement[bool]]:
    """Conditions on a job's tracks: the track has all of these labels."""
    return [
        exists().where(
            col(TrackTagRow.tag) == tag,
            col(TrackTagRow.value) == value,
            col(TrackTagRow.job_id) == col(JobTrackRow.job_id),
            col(TrackTagRow.ordinal) == col(JobTrackRow.ordinal),
        )
        for tag, value in labels
    ]
