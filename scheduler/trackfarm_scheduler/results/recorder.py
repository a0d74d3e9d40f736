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
from trackfarm_scheduler.db.reports import ReportedTrack
from trackfarm_scheduler.db.tables import LeaseRow, TrackRow, WorkerRow
from trackfarm_scheduler.objects.base import ObjectStore
from trackfarm_scheduler.policy.leases import CommitRefusal
from trackfarm_scheduler.policy.models import CommitFacts
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
    commit_verdict,
)
from trackfarm_scheduler.results.failures import FailureHandler
from trackfarm_scheduler.results.foreign_lease import log_foreign_lease
from trackfarm_scheduler.results.object_check import UNCHECKED, ObjectCheck, ObjectChecker

log = structlog.get_logger(__name__)
DEFAULT_BOUNDS = PlausibleBounds()


class Recorder:
    """Implementation of the commit rule: lease live, object verified, track not done."""

    def __init__(
        self,
        *,
        database: Database,
        objects: ObjectStore,
        clock: Callable[[], float],
        jitter: Callable[[], float] = random.random,
        bounds: PlausibleBounds = DEFAULT_BOUNDS,
    ) -> None:
        self._database = database
        self._checker = ObjectChecker(objects, bounds, jitter)
        self._clock = clock
        self._bounds = bounds
        self._failures = FailureHandler(jitter)

    def record(self, worker: WorkerRow, lease_id: str, report: ReportRequest) -> list[TrackVerdict]:
        """Return a verdict for each reported track. Objects are checked between two transactions,
        and only if this lease may write them; refused ones are deleted at once."""
        ids = [done.track_id for done in report.done]
        with self._database.read() as session:
            facts = reports.find_commit_facts(session, lease_id, worker.id, ids)
        checks = self._check_objects(worker, report.done, facts)
        with self._database.write() as session:
            verdicts, refused_keys = self._store(session, worker, lease_id, report, checks)
        self._checker.delete_refused(refused_keys)
        return verdicts

    def _check_objects(
        self, worker: WorkerRow, results: Sequence[TrackDone], facts: Mapping[int, CommitFacts]
    ) -> list[ObjectCheck]:
        """Check each track's object once, however often a report names it: a check may read the
        whole object."""
        checks: dict[int, ObjectCheck] = {}
        for done in results:
            verdict = commit_verdict(facts.get(done.track_id), done)
            if verdict is TrackState.LEASED and done.track_id not in checks:
                checks[done.track_id] = self._checker.check(worker.id, done)
        return [checks.get(done.track_id, UNCHECKED) for done in results]

    def _store(
        self,
        session: Session,
        worker: WorkerRow,
        lease_id: str,
        report: ReportRequest,
        checks: Sequence[ObjectCheck],
    ) -> tuple[list[TrackVerdict], set[str]]:
        """Return the verdicts, and the keys of refused objects to delete."""
        now = self._clock()
        track_ids = [done.track_id for done in report.done]
        track_ids += [failed.track_id for failed in report.failed]
        leases.lock_competing(session, lease_id, track_ids)
        lease = leases.get(session, lease_id, lock=True)
        if lease is None or lease.worker_id != worker.id:
            log_foreign_lease(worker, lease, "report")
            return [_lease_ended(track_id) for track_id in track_ids], set()
        state = LeaseState(lease.state)
        classified = ReportClassification(state, reports.list_attempts(session, lease, track_ids))
        for done, check in zip(report.done, checks, strict=True):
            classified.add_done(done, check)
        for failed in report.failed:
            classified.add_failed(failed)
        timings = self._clip_timings(session, lease, classified.timings, now)
        accepted = [item.with_timings(timings[i]) for i, item in classified.accepted.items()]
        self._commit(session, worker, lease, accepted, classified.rows, now)
        self._failures.apply(session, worker, lease, list(classified.failures.values()), now)
        charged_tracks = {i: classified.rows[i].track for i in timings}
        spending.charge(
            session, worker, timings, charged_tracks, done=classified.accepted.keys(), now=now
        )
        if state is LeaseState.LIVE:
            leases.finish_if_empty(session, lease, now)
        if classified.false_claims:
            self._failures.strike(session, worker.id, classified.false_claims, now)
        return classified.verdicts, classified.refused_keys

    def _clip_timings(
        self, session: Session, lease: LeaseRow, reported: Mapping[int, Timings], now: float
    ) -> dict[int, Timings]:
        """Return the reported timings, capped by the age of this lease."""
        if not reported:
            return {}
        wall = now - (lease.claimed_at or now)
        claimed = sum(engine_seconds(timings) for timings in reported.values())
        share = accepted_share(claimed, wall=wall, before=lease.engine_seconds, bounds=self._bounds)
        if share < 1:
            log.warning("timings_clipped", worker=lease.worker_id, lease=lease.id, share=share)
        spending.add_engine_seconds(session, lease.id, share * claimed)
        return {
            track_id: clip_timings(timings, share=share, wall=wall, bounds=self._bounds)
            for track_id, timings in reported.items()
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
        leases.cancel_duplicates(session, ids, now)
        self._failures.strike_disproved(session, worker, ids, now)
        totals.count_done(session, worker, results, {i: rows[i].attempt.seed for i in ids})
        events.record(
            session, *[_done_event(worker, lease, d, rows[d.track_id].track, now) for d in results]
        )
        track_rows = {track_id: row.track for track_id, row in rows.items()}
        expected, took = speeds.learn(session, worker, results, track_rows)
        workers.record_done(session, worker, done=len(results), expected=expected, took=took)


def _done_event(
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


def _lease_ended(track_id: int) -> TrackVerdict:
    return TrackVerdict(
        track_id=track_id, verdict=ReportVerdict.REFUSED, reason=str(CommitRefusal.LEASE_ENDED)
    )
