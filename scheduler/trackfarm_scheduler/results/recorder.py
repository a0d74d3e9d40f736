"""Recorder of worker reports: each object is checked, then committed once or refused."""

import random
from collections.abc import Callable, Mapping, Sequence

import structlog
from sqlmodel import Session

from trackfarm.protocol.operator import TrackState
from trackfarm.protocol.worker import ReportRequest, ReportVerdict, Timings, TrackDone, TrackVerdict
from trackfarm_scheduler.db import (
    events,
    leases,
    reports,
    speeds,
    spending,
    totals,
    tracks,
    workers,
)
from trackfarm_scheduler.db.database import Database
from trackfarm_scheduler.db.events import JournalEvent
from trackfarm_scheduler.db.tables import LeaseRow, TrackRow, WorkerRow
from trackfarm_scheduler.objects.base import ObjectStore
from trackfarm_scheduler.policy.leases import CommitRefusal, judge_commit
from trackfarm_scheduler.policy.states import LeaseState
from trackfarm_scheduler.policy.validation import (
    PlausibleBounds,
    accepted_share,
    clip_timings,
    engine_seconds,
)
from trackfarm_scheduler.results.classifier import (
    AcceptedTrack,
    ReportClassification,
    ReportedTrack,
)
from trackfarm_scheduler.results.failures import FailureHandler, log_foreign_lease
from trackfarm_scheduler.results.object_check import NOT_SEEN, Inspector, Seen

log = structlog.get_logger(__name__)
NO_BOUNDS_BUT_OURS = PlausibleBounds()


class Recorder:
    """Implementation of the commit rule: lease live, object verified, track not done."""

    def __init__(
        self,
        *,
        database: Database,
        objects: ObjectStore,
        clock: Callable[[], float],
        jitter: Callable[[], float] = random.random,
        bounds: PlausibleBounds = NO_BOUNDS_BUT_OURS,
    ) -> None:
        self._database = database
        self._inspector = Inspector(objects, bounds, jitter)
        self._clock = clock
        self._bounds = bounds
        self._rulings = FailureHandler(jitter)

    def record(self, worker: WorkerRow, lease_id: str, report: ReportRequest) -> list[TrackVerdict]:
        """Return a verdict for each reported track. Objects are checked between two transactions,
        and only if this lease may write them; refused ones are deleted at once."""
        with self._database.read() as session:
            first_look = self._judge(session, worker, lease_id, report)
        checks = self._looked_at(worker, report.done, first_look)
        with self._database.write() as session:
            verdicts, refused = self._settle(session, worker, lease_id, report, checks)
        self._inspector.discard(refused)
        return verdicts

    def _looked_at(
        self,
        worker: WorkerRow,
        reported: Sequence[TrackDone],
        looks: Sequence[TrackState | CommitRefusal],
    ) -> list[Seen]:
        """Check each track's object once, however often a report names it: a check may read the
        whole object."""
        checks: dict[int, Seen] = {}
        for done, look in zip(reported, looks, strict=True):
            if look is TrackState.LEASED and done.track_id not in checks:
                checks[done.track_id] = self._inspector.look(worker.id, done)
        return [checks.get(done.track_id, NOT_SEEN) for done in reported]

    def _judge(
        self, session: Session, worker: WorkerRow, lease_id: str, report: ReportRequest
    ) -> list[TrackState | CommitRefusal]:
        ids = [done.track_id for done in report.done]
        facts = reports.find_commit_facts(session, lease_id, worker.id, ids)
        return [
            judge_commit(facts[done.track_id], object_key=done.object_key)
            if done.track_id in facts
            else CommitRefusal.NOT_IN_SHARD
            for done in report.done
        ]

    def _settle(
        self,
        session: Session,
        worker: WorkerRow,
        lease_id: str,
        report: ReportRequest,
        seen: Sequence[Seen],
    ) -> tuple[list[TrackVerdict], set[str]]:
        """Return the verdicts, and the keys of refused objects to delete."""
        now = self._clock()
        leases.lock_race(session, lease_id, _ids(report))
        lease = leases.get(session, lease_id, lock=True)
        if lease is None or lease.worker_id != worker.id:
            log_foreign_lease(worker, lease, "report")
            return [_lease_ended(track_id) for track_id in _ids(report)], set()
        state = LeaseState(lease.state)
        classified = ReportClassification(state, _rows(session, lease_id, _ids(report)))
        for done, check in zip(report.done, seen, strict=True):
            classified.take_done(done, check)
        for failed in report.failed:
            classified.take_failed(failed)
        believed = self._believed(session, lease, classified.settled, now)
        good = [g.taking(believed[track_id]) for track_id, g in classified.good.items()]
        self._commit(session, worker, lease, good, classified.rows, now)
        self._rulings.apply(session, worker, lease, list(classified.failures.values()), now)
        charged_tracks = {i: classified.rows[i].track for i in believed}
        spending.charge(
            session, worker, believed, charged_tracks, done=classified.good.keys(), now=now
        )
        if state is LeaseState.LIVE:
            leases.finish_if_empty(session, lease, now)
        if classified.lies:
            self._rulings.strike(session, worker.id, classified.lies, now)
        return classified.verdicts, classified.refused

    def _believed(
        self, session: Session, lease: LeaseRow, settled: Mapping[int, Timings], now: float
    ) -> dict[int, Timings]:
        """Return the reported timings, capped by the age of this lease."""
        if not settled:
            return {}
        wall = now - (lease.claimed_at or now)
        claimed = sum(engine_seconds(timings) for timings in settled.values())
        share = accepted_share(claimed, wall=wall, before=lease.engine_seconds, bounds=self._bounds)
        if share < 1:
            log.warning("timings_clipped", worker=lease.worker_id, lease=lease.id, share=share)
        spending.add_engine_seconds(session, lease.id, share * claimed)
        return {
            track_id: clip_timings(timings, share=share, wall=wall, bounds=self._bounds)
            for track_id, timings in settled.items()
        }

    def _commit(
        self,
        session: Session,
        worker: WorkerRow,
        lease: LeaseRow,
        committed: Sequence[AcceptedTrack],
        rows: Mapping[int, ReportedTrack],
        now: float,
    ) -> None:
        if not committed:
            return
        results = [result.done for result in committed]
        ids = [done.track_id for done in results]
        moved = tracks.move(session, ids, TrackState.DONE, ended_at=now, error="")
        assert len(moved) == len(ids), "the tracks were leased when this transaction looked"
        etags = {item.done.track_id: item.etag for item in committed}
        reports.insert_artifacts(session, worker.id, lease.id, results, etags, now)
        reports.close_done(session, lease.id, results, now)
        leases.overtake(session, ids, now)
        self._rulings.strike_disproved(session, worker, ids, now)
        totals.count_done(session, worker, results, {i: rows[i].attempt.seed for i in ids})
        events.record(
            session, *[_done(worker, lease, d, rows[d.track_id].track, now) for d in results]
        )
        track_rows = {track_id: row.track for track_id, row in rows.items()}
        expected, took = speeds.learn(session, worker, results, track_rows)
        workers.credit(session, worker, done=len(results), expected=expected, took=took)


def _done(
    worker: WorkerRow, lease: LeaseRow, done: TrackDone, track: TrackRow, now: float
) -> JournalEvent:
    return JournalEvent(
        now,
        "track_done",
        track.job_id,
        track_id=done.track_id,
        shard_id=lease.shard_id,
        lease_id=lease.id,
        worker_id=worker.id,
        data={
            "object": done.object_key,
            "size": done.size,
            "sha256": done.sha256,
            "seconds": done.measurements.seconds,
            "seed": done.seed,
        },
    )


def _ids(report: ReportRequest) -> list[int]:
    return [t.track_id for t in report.done] + [t.track_id for t in report.failed]


def _rows(session: Session, lease_id: str, track_ids: Sequence[int]) -> dict[int, ReportedTrack]:
    pairs = reports.list_attempts(session, lease_id, track_ids)
    return {attempt.track_id: ReportedTrack(attempt, track) for attempt, track in pairs}


def _lease_ended(track_id: int) -> TrackVerdict:
    return TrackVerdict(
        track_id=track_id, verdict=ReportVerdict.REFUSED, reason=str(CommitRefusal.LEASE_ENDED)
    )
