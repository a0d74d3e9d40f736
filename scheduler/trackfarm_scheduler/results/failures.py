"""Failure handler: applies the retry policy to failed tracks, and quarantines a worker after other
workers made several of its failed tracks, which forgives its failures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlmodel import Session

from trackfarm.protocol.operator import TrackState
from trackfarm.protocol.worker import FailureKind
from trackfarm_scheduler.db import events, failure_records, leases, totals, tracks, workers
from trackfarm_scheduler.db.events import JournalEvent
from trackfarm_scheduler.db.tables import LeaseRow, TrackRow, WorkerRow
from trackfarm_scheduler.policy.retry import FailureHistory, GiveUp, Retry, judge_failure
from trackfarm_scheduler.policy.states import (
    CRASHES,
    INFRASTRUCTURE,
    AttemptState,
    is_bad_worker,
)


@dataclass(frozen=True, slots=True)
class TrackFailure:
    track: TrackRow
    kind: FailureKind
    message: str


class FailureHandler:
    """Failure handler. `jitter()` is uniform in [0, 1)."""

    def __init__(self, jitter: Callable[[], float]) -> None:
        self._jitter = jitter

    def apply(
        self,
        session: Session,
        worker: WorkerRow,
        lease: LeaseRow,
        failures: Sequence[TrackFailure],
        now: float,
    ) -> None:
        """Retry or give up the track of each failure in a report."""
        for failure in failures:
            self._handle(session, worker, lease, failure, now)

    def _handle(
        self,
        session: Session,
        worker: WorkerRow,
        lease: LeaseRow,
        failure: TrackFailure,
        now: float,
    ) -> None:
        track, kind, message = failure.track, failure.kind, failure.message
        assert track.id is not None
        leases.close_attempts(
            session,
            lease.id,
            [track.id],
            AttemptState.FAILED,
            now,
            kind=kind.value,
            message=message,
        )
        larger_vram = (
            self._larger_vram(session, worker) if kind is FailureKind.OUT_OF_MEMORY else None
        )
        decision = self._decide(session, worker, track, kind, has_larger=larger_vram is not None)
        error = f"{kind.value}: {message}"
        is_given_up = isinstance(decision, GiveUp)
        if isinstance(decision, GiveUp):
            reason = f"{error} ({decision.reason})"
            is_given_up = self._give_up(session, worker, track, reason, now)
        else:
            new_values = (
                {} if larger_vram is None else {"min_vram": max(larger_vram, track.min_vram)}
            )
            leases.return_to_pending(
                session,
                [track.id],
                not_before=now + decision.delay,
                error=error[:4000],
                **new_values,
            )
        if not is_given_up:
            events.count(session, "track_retries", 1, reason=kind.value)
        totals.count_failed_attempt(session, worker, kind.value)
        workers.count_failure(session, worker)
        events.record(
            session,
            JournalEvent(
                now,
                "track_failed" if is_given_up else "track_retried",
                track.job_id,
                track_id=track.id,
                shard_id=lease.shard_id,
                lease_id=lease.id,
                worker_id=worker.id,
                data={"kind": kind.value, "message": message[:500]},
            ),
        )

    def _give_up(
        self, session: Session, worker: WorkerRow, track: TrackRow, error: str, now: float
    ) -> bool:
        """Fail the track; False when another lease may still make it, or its job was cancelled."""
        assert track.id is not None
        if failure_records.has_open_attempt(session, track.id) or not tracks.move(
            session, [track.id], TrackState.FAILED, error=error[:4000], ended_at=now
        ):
            return False
        totals.count_failed_track(session, worker)
        return True

    @staticmethod
    def _larger_vram(session: Session, worker: WorkerRow) -> int | None:
        """Return the VRAM of the smallest live worker with more memory, in nominal GB."""
        same_model_set = [w for w in workers.list_live(session) if w.model_set == worker.model_set]
        return min((w.vram for w in same_model_set if w.vram > worker.vram), default=None)

    def _decide(
        self,
        session: Session,
        worker: WorkerRow,
        track: TrackRow,
        kind: FailureKind,
        *,
        has_larger: bool,
    ) -> Retry | GiveUp:
        assert track.id is not None
        note = tracks.FailureNote(crashed=kind in CRASHES, counted=kind not in INFRASTRUCTURE)
        failures, crashes = tracks.record_failure(session, track.id, note)
        history = FailureHistory(
            failures=failures,
            crashes=crashes,
            distinct_workers=failure_records.count_failing_workers(session, track.id),
            eligible=workers.count_eligible(
                workers.list_live(session), track.model_set, track.min_vram
            ),
            exhaustions=failure_records.count_out_of_memory(session, track.id, vram=worker.vram),
            has_larger=has_larger,
        )
        return judge_failure(kind, history, self._jitter)

    def strike_disproved(
        self, session: Session, maker: WorkerRow, track_ids: Sequence[int], now: float
    ) -> None:
        """Add a strike to each worker that failed a track which another worker has just made."""
        for worker_id, disproved in failure_records.find_disproved(
            session, maker.id, track_ids
        ).items():
            self.strike(session, worker_id, disproved, now)

    @staticmethod
    def strike(session: Session, worker_id: str, number: int, now: float) -> None:
        """Add strikes to a worker, and quarantine it at the limit."""
        strikes = workers.strike(session, worker_id, number)
        if not is_bad_worker(strikes):
            return
        forgiven = failure_records.forgive(session, worker_id)  # also for a worker that has left
        if workers.quarantine(session, worker_id):
            workers.end_leases(session, worker_id, now, reason="worker quarantined")
            events.count(session, "workers_quarantined")
            data = {"strikes": strikes, "forgiven_tracks": forgiven}
            events.record(
                session, JournalEvent(now, "worker_quarantined", worker_id=worker_id, data=data)
            )
