"""Invariants of the database after any transaction."""

from collections import Counter

from sqlalchemy import ColumnElement, func, select
from sqlmodel import Session, SQLModel, col

from trackfarm.protocol.operator import JobState, TrackState
from trackfarm_scheduler.db import events
from trackfarm_scheduler.db.tables import (
    ArtifactRow,
    AttemptRow,
    JobRow,
    JobTrackRow,
    LeaseRow,
    ShardRow,
    TrackRow,
    WorkerRow,
)
from trackfarm_scheduler.db.tables_history import EventRow
from trackfarm_scheduler.policy.states import AttemptState, LeaseState

IN_PROGRESS = {JobState.ACCEPTED, JobState.RUNNING}
OPEN = {TrackState.PENDING, TrackState.LEASED}


def check(session: Session) -> None:
    """Raise AssertionError when a track is lost, duplicated or stuck, or a total is wrong."""
    _tracks_and_leases(session)
    _artifacts(session)
    _jobs_and_owners(session)
    _totals(session)


def _all(session: Session, table: type[SQLModel]) -> list[SQLModel]:
    return list(session.scalars(select(table)))


def _tracks_and_leases(session: Session) -> None:
    live = {r for r in session.scalars(select(col(LeaseRow.id)).where(_live()))}
    opened = Counter[int]()
    for lease_id, track_id in session.execute(
        select(col(AttemptRow.lease_id), col(AttemptRow.track_id)).where(
            col(AttemptRow.state) == AttemptState.OPEN
        )
    ):
        assert lease_id in live, f"attempt at {track_id} is open under an ended lease"
        opened[track_id] += 1
    leased = set(
        session.scalars(select(col(TrackRow.id)).where(col(TrackRow.state) == TrackState.LEASED))
    )
    assert leased <= set(opened), "a track is leased without a live lease"
    assert max(opened.values(), default=0) <= 2, "a track is open under more than two leases"
    _open_tracks(session, opened)
    _holders(session)
    shards = {
        shard_id: state
        for shard_id, state in session.execute(select(col(ShardRow.id), col(ShardRow.state)))
    }
    for shard_id, state in session.execute(select(col(LeaseRow.shard_id), col(LeaseRow.state))):
        assert (shards[shard_id] == "finished") == (state == LeaseState.ENDED)


def _holders(session: Session) -> None:
    """Check that a claimed lease is held by the worker it was offered to."""
    queues = {worker.id: worker.queue for worker in session.scalars(select(WorkerRow))}
    for lease in session.scalars(select(LeaseRow).where(col(LeaseRow.worker_id).is_not(None))):
        assert queues[lease.worker_id or ""] == lease.queue, "a lease is another worker's"


def _open_tracks(session: Session, opened: Counter[int]) -> None:
    """Check that a track in progress is leased, under two leases only with a speculative copy."""
    races = set(
        session.scalars(
            select(col(AttemptRow.track_id))
            .join(LeaseRow, col(LeaseRow.id) == col(AttemptRow.lease_id))
            .join(ShardRow, col(ShardRow.id) == col(LeaseRow.shard_id))
            .where(
                col(AttemptRow.state) == AttemptState.OPEN, col(ShardRow.is_speculative).is_(True)
            )
        )
    )
    states = {
        i: state for i, state in session.execute(select(col(TrackRow.id), col(TrackRow.state)))
    }
    for track_id, number in opened.items():
        state = states[track_id]
        assert state == TrackState.LEASED, f"a {state} track is in progress"
        assert number == 1 or track_id in races, "a track is open under two leases without a race"


def _live() -> ColumnElement[bool]:
    return col(LeaseRow.state) == LeaseState.LIVE


def _artifacts(session: Session) -> None:
    done = set(
        session.scalars(select(col(TrackRow.id)).where(col(TrackRow.state) == TrackState.DONE))
    )
    stored = {
        artifact.track_id: (artifact.lease_id, artifact.object_key)
        for artifact in session.scalars(select(ArtifactRow))
    }
    assert set(stored) == done, "artifacts and done tracks differ"
    winners = Counter[int]()
    for attempt in session.scalars(
        select(AttemptRow).where(col(AttemptRow.state) == AttemptState.DONE)
    ):
        winners[attempt.track_id] += 1
        written = attempt.lease_id, attempt.object_key
        assert stored[attempt.track_id] == written, "the object is another attempt's"
    assert winners == Counter(done), "a track was committed twice"


def _jobs_and_owners(session: Session) -> None:
    jobs = {job.id: job for job in session.scalars(select(JobRow))}
    tracks = {track.id: track for track in session.scalars(select(TrackRow))}
    linked: set[int] = set()
    for link in session.scalars(select(JobTrackRow)):
        assert link.track_id in tracks, "a track is lost"
        linked.add(link.track_id)
        track = tracks[link.track_id]
        assert link.shared == (track.job_id != link.job_id)
        job = jobs[link.job_id]
        if job.sealed_at is not None and job.state in IN_PROGRESS and track.state in OPEN:
            owner_job = jobs[track.job_id]
            assert owner_job.state in IN_PROGRESS, (
                f"{job.id} waits for a track that no job will make"
            )
    for track in tracks.values():
        assert track.id in linked, "a track belongs to no job"
        if jobs[track.job_id].state in (JobState.CANCELLED, JobState.FAILED):
            assert track.state not in OPEN, "an ended job still makes a track"


def _totals(session: Session) -> None:
    totals = Counter[str]()
    for name, labels, value in events.list_counters(session):
        totals[f"{name}:{labels['outcome']}" if "outcome" in labels else name] += value  # type: ignore[assignment]

    if totals["jobs_removed"]:
        return  # totals keep counting the rows of removed jobs

    def rows(table: type[SQLModel], *where: object) -> int:
        return session.scalar(select(func.count()).select_from(table).where(*where)) or 0  # type: ignore[arg-type]

    def total(column: object) -> float:
        return float(session.scalar(select(func.coalesce(func.sum(column), 0))) or 0)

    assert totals["tracks:done"] == rows(ArtifactRow) + totals["artifacts_voided"]
    assert totals["tracks:failed"] == rows(EventRow, col(EventRow.kind) == "track_failed")
    assert totals["track_retries"] == rows(EventRow, col(EventRow.kind) == "track_retried")
    assert totals["leases_ended"] == rows(LeaseRow, col(LeaseRow.state) == LeaseState.ENDED)
    assert totals["attempts_swept"] == rows(
        AttemptRow, col(AttemptRow.object_removed_at).is_not(None)
    )
    if totals["artifacts_voided"]:
        return  # bytes of voided artifacts stay counted
    assert totals["object_bytes"] == total(col(ArtifactRow.size))
    assert abs(totals["audio_seconds"] - total(col(ArtifactRow.seconds))) < 1e-6
