"""Statements of a worker's report: the facts it is judged by, and the commit of its results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, insert, select, update
from sqlmodel import Session, col

from trackfarm.protocol.operator import TrackState
from trackfarm.protocol.worker import TrackDone
from trackfarm_scheduler.db.tables import ArtifactRow, AttemptRow, LeaseRow, TrackRow, table_of
from trackfarm_scheduler.policy.models import CommitFacts
from trackfarm_scheduler.policy.states import AttemptState, LeaseState

_ATTEMPT, _LEASE, _TRACK = table_of(AttemptRow), table_of(LeaseRow), table_of(TrackRow)
_FACTS = (
    select(
        _ATTEMPT.c.track_id,
        _LEASE.c.state,
        _ATTEMPT.c.state,
        _ATTEMPT.c.object_key,
        _TRACK.c.state,
    )
    .join(_LEASE, _LEASE.c.id == _ATTEMPT.c.lease_id)
    .join(_TRACK, _TRACK.c.id == _ATTEMPT.c.track_id)
    .where(
        _ATTEMPT.c.lease_id == bindparam("lease"),
        _LEASE.c.worker_id == bindparam("holder"),
        _ATTEMPT.c.track_id.in_(bindparam("tracks", expanding=True)),
    )
)
_ATTEMPTS = (
    select(AttemptRow, TrackRow)
    .join(TrackRow, col(TrackRow.id) == col(AttemptRow.track_id))
    .where(
        col(AttemptRow.lease_id) == bindparam("lease"),
        col(AttemptRow.track_id).in_(bindparam("tracks", expanding=True)),
    )
)
_INSERT_ARTIFACTS = insert(table_of(ArtifactRow))
_CLOSE_DONE = (
    update(_ATTEMPT)
    .where(_ATTEMPT.c.lease_id == bindparam("lease"), _ATTEMPT.c.track_id == bindparam("track"))
    .values(state=AttemptState.DONE.value, ended_at=bindparam("now"), timings=bindparam("took"))
)


@dataclass(frozen=True, slots=True)
class ReportedTrack:
    """Track of a report and the attempt at it under the report's lease; `facts` decide whether a
    result may be committed."""

    attempt: AttemptRow
    track: TrackRow
    facts: CommitFacts


def find_commit_facts(
    session: Session, lease_id: str, worker_id: str, track_ids: Sequence[int]
) -> dict[int, CommitFacts]:
    """Return by track the facts that decide its commit, for tracks of a lease that the worker
    holds or held."""
    rows = session.execute(_FACTS, {"lease": lease_id, "holder": worker_id, "tracks": track_ids})
    return {track_id: _facts(*states) for track_id, *states in rows}


def list_attempts(
    session: Session, lease: LeaseRow, track_ids: Sequence[int]
) -> dict[int, ReportedTrack]:
    """Return the attempts of a lease at these tracks, by track."""
    rows = session.execute(_ATTEMPTS, {"lease": lease.id, "tracks": track_ids})
    return {
        attempt.track_id: ReportedTrack(
            attempt, track, _facts(lease.state, attempt.state, attempt.object_key, track.state)
        )
        for attempt, track in rows
    }


def _facts(lease: str, attempt: str, object_key: str, track: str) -> CommitFacts:
    return CommitFacts(LeaseState(lease), AttemptState(attempt), object_key, TrackState(track))


def insert_artifacts(
    session: Session,
    worker_id: str,
    lease_id: str,
    results: Sequence[TrackDone],
    etags: Mapping[int, str],
    now: float,
) -> None:
    """Insert the artifacts of committed tracks. `etags`: of their objects, by track."""
    rows = [
        {
            "track_id": done.track_id,
            "lease_id": lease_id,
            "worker_id": worker_id,
            "object_key": done.object_key,
            "size": done.size,
            "md5": done.md5,
            "sha256": done.sha256,
            "seed": done.seed,
            "seconds": done.measurements.seconds,
            "measurements": done.measurements.model_dump_json(),
            "committed_at": now,
            "etag": etags[done.track_id],
        }
        for done in results
    ]
    session.execute(_INSERT_ARTIFACTS, rows)


def close_done(session: Session, lease_id: str, results: Sequence[TrackDone], now: float) -> None:
    """Close each attempt of a committed track with its own timings, in one statement."""
    rows = [
        {"lease": lease_id, "track": d.track_id, "now": now, "took": d.timings.model_dump_json()}
        for d in results
    ]
    session.execute(_CLOSE_DONE, rows)
