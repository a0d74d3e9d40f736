"""Labels (tags) of a job's tracks, for filtering."""

from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import ColumnElement, delete, exists, insert
from sqlmodel import Session, col

from trackfarm_scheduler.store.tables import Job, JobTrack, table_of
from trackfarm_scheduler.store.usage_tables import TrackTag

_INSERT = insert(table_of(TrackTag))


def keep(session: Session, job_id: str, labelled: Iterable[tuple[int, Mapping[str, str]]]) -> None:
    """Store the labels of tracks, given by ordinal."""
    rows = [
        {"tag": tag, "value": value, "job_id": job_id, "ordinal": ordinal}
        for ordinal, tags in labelled
        for tag, value in tags.items()
    ]
    if rows:
        session.execute(_INSERT, rows)


def forget(session: Session, job_id: str) -> None:
    session.execute(delete(TrackTag).where(col(TrackTag.job_id) == job_id))


def of_a_job(labels: Sequence[tuple[str, str]]) -> list[ColumnElement[bool]]:
    """Conditions on jobs: each of these labels is on one of the job's tracks."""
    return [
        exists().where(
            col(TrackTag.tag) == tag,
            col(TrackTag.value) == value,
            col(TrackTag.job_id) == col(Job.id),
        )
        for tag, value in labels
    ]


def of_a_track(labels: Sequence[tuple[str, str]]) -> list[ColumnElement[bool]]:
    """Conditions on a job's tracks: the track has all of these labels."""
    return [
        exists().where(
            col(TrackTag.tag) == tag,
            col(TrackTag.value) == value,
            col(TrackTag.job_id) == col(JobTrack.job_id),
            col(TrackTag.ordinal) == col(JobTrack.ordinal),
        )
        for tag, value in labels
    ]
