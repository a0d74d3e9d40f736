"""Records what workers report: each object is looked at, then committed once or refused."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import insert, select
from sqlmodel import Session, col

from trackfarm import cost
from trackfarm.api import TrackState
from trackfarm.cost import TrackShape
from trackfarm.model_sets import model_set
from trackfarm.wire import (
    FailureKind,
    ReportRequest,
    TrackDone,
    TrackFailed,
    TrackVerdict,
    Verdict,
)
from trackfarm_scheduler import recovery
from trackfarm_scheduler.leases import CommitFacts, Refusal, judge_commit
from trackfarm_scheduler.machines import AttemptState, LeaseState
from trackfarm_scheduler.objects.keys import UnsafeKey
from trackfarm_scheduler.objects.port import ObjectStore
from trackfarm_scheduler.recovery import FailureHistory, GiveUp, Retry, judge_failure
from trackfarm_scheduler.store import journal, leases, tracks, workers
from trackfarm_scheduler.store.database import Database
from trackfarm_scheduler.store.journal import Happening
from trackfarm_scheduler.store.tables import Artifact, Attempt, Lease, Track, Worker


@dataclass(frozen=True, slots=True)
class _Row:
    attempt: Attempt
    track: Track


class Recorder:
    """The commit rule, applied: lease live, object verified, track not done."""

    def __init__(
        self,
        *,
        database: Database,
        objects: ObjectStore,
        clock: Callable[[], float],
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._database = database
        self._objects = objects
        self._clock = clock
        self._jitter = jitter

    def record(self, worker: Worker, lease_id: str, report: ReportRequest) -> list[TrackVerdict]:
        """Answers each reported track. Objects are looked at before the transaction begins."""
        flaws = [self._flaw(done) for done in report.done]
        with self._database.write() as session:
            lease = leases.get(session, lease_id, lock=True)
            if lease is None or lease.worker_id != worker.id:
                return [_refused(t, Refusal.LEASE_ENDED) for t in _ids(report)]
            rows = _rows(session, lease_id, _ids(report))
            verdicts = [
                self._commit(session, worker, lease, rows.get(done.track_id), done, flaw)
                for done, flaw in zip(report.done, flaws, strict=True)
            ]
            verdicts += [
                self._fail(session, worker, lease, rows.get(failed.track_id), failed)
                for failed in report.failed
            ]
            self._credit(session, worker, report, verdicts, rows)
            if lease.state == LeaseState.LIVE:
                leases.finish_if_empty(session, lease, self._clock())
        return verdicts

    def _flaw(self, done: TrackDone) -> str | None:
        """What is wrong with the stored object, if anything."""
        try:
            found = self._objects.stat(done.object_key)
        except UnsafeKey:  # it comes from somebody else's computer
            found = None
        if found is None:
            return "no such object"
        if found.size != done.size:
            return f"the object has {found.size} bytes, the report says {done.size}"
        if found.md5_hex is not None and found.md5_hex != done.md5:
            return "the object's MD5 is not the reported one"
        return None

    def _commit(
        self,
        session: Session,
        worker: Worker,
        lease: Lease,
        row: _Row | None,
        done: TrackDone,
        flaw: str | None,
    ) -> TrackVerdict:
        verdict = judge_commit(_facts(lease, row), object_key=done.object_key)
        if verdict is TrackState.DONE:
            return TrackVerdict(track_id=done.track_id, verdict=Verdict.ALREADY_DONE)
        if isinstance(verdict, Refusal) or row is None:
            return _refused(done.track_id, verdict)
        if flaw is not None:
            self._apply_failure(session, worker, lease, row, FailureKind.OBJECT_MISMATCH, flaw)
            return _refused(done.track_id, flaw)
        self._store(session, worker, lease, row, done)
        return TrackVerdict(track_id=done.track_id, verdict=Verdict.COMMITTED)

    def _store(
        self, session: Session, worker: Worker, lease: Lease, row: _Row, done: TrackDone
    ) -> None:
        now = self._clock()
        if not tracks.move(session, [done.track_id], TrackState.DONE, ended_at=now, error=""):
            raise AssertionError("the track was leased when this transaction looked")
        session.execute(
            insert(Artifact).values(
                track_id=done.track_id,
                lease_id=lease.id,
                worker_id=worker.id,
                object_key=done.object_key,
                size=done.size,
                md5=done.md5,
                sha256=done.sha256,
                seed=done.seed,
                seconds=done.measurements.seconds,
                measurements=done.measurements.model_dump_json(),
                committed_at=now,
            )
        )
        leases.close_attempts(
            session,
            lease.id,
            [done.track_id],
            AttemptState.DONE,
            now,
            timings=done.timings.model_dump_json(),
        )
        self._tally_done(session, worker, done)
        journal.record(
            session,
            Happening(
                now,
                "track_done",
                row.track.job_id,
                track_id=done.track_id,
                shard_id=lease.shard_id,
                lease_id=lease.id,
                worker_id=worker.id,
                data={"object": done.object_key, "size": done.size, "seed": done.seed},
            ),
        )

    def _tally_done(self, session: Session, worker: Worker, done: TrackDone) -> None:
        where = {"model_set": worker.model_set, "tier": worker.tier}
        journal.count(session, "tracks", 1, outcome="done", **where)
        journal.count(session, "audio_seconds", done.measurements.seconds, **where)
        journal.count(session, "object_bytes", done.size)
        journal.count(session, "engine_seconds", done.timings.service, **where)
        for stage, spent in done.timings.model_dump(exclude={"service"}).items():
            journal.count(session, "stage_seconds", spent, stage=stage, **where)

    def _fail(
        self, session: Session, worker: Worker, lease: Lease, row: _Row | None, failed: TrackFailed
    ) -> TrackVerdict:
        if lease.state != LeaseState.LIVE:
            return _refused(failed.track_id, Refusal.LEASE_ENDED)
        if row is None or row.attempt.state != AttemptState.OPEN:
            return _refused(failed.track_id, Refusal.NOT_IN_SHARD)
        self._apply_failure(session, worker, lease, row, failed.kind, failed.message)
        return TrackVerdict(track_id=failed.track_id, verdict=Verdict.NOTED)

    def _apply_failure(
        self,
        session: Session,
        worker: Worker,
        lease: Lease,
        row: _Row,
        kind: FailureKind,
        message: str,
    ) -> None:
        now, track = self._clock(), row.track
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
        ruling = self._judge(session, track, kind)
        if isinstance(ruling, GiveUp):
            error = f"{kind.value}: {message} ({ruling.reason})"
            tracks.move(session, [track.id], TrackState.FAILED, error=error, ended_at=now)
            journal.count(
                session,
                "tracks",
                outcome="failed",
                model_set=worker.model_set,
                tier=worker.tier,
            )
        else:
            later = now + ruling.delay
            tracks.move(
                session,
                [track.id],
                TrackState.PENDING,
                source=TrackState.LEASED,
                not_before=later,
                error=f"{kind.value}: {message}",
            )
            journal.count(session, "track_retries", reason=kind.value)
        journal.record(
            session,
            Happening(
                now,
                "track_failed" if isinstance(ruling, GiveUp) else "track_retried",
                track.job_id,
                track_id=track.id,
                shard_id=lease.shard_id,
                lease_id=lease.id,
                worker_id=worker.id,
                data={"kind": kind.value, "message": message[:500]},
            ),
        )

    def _judge(self, session: Session, track: Track, kind: FailureKind) -> Retry | GiveUp:
        assert track.id is not None
        note = tracks.FailureNote(
            crashed=kind in recovery.CRASHES, counted=kind not in recovery.INFRASTRUCTURE
        )
        failures, crashes = tracks.note_failure(session, track.id, note)
        history = FailureHistory(
            failures=failures,
            crashes=crashes,
            distinct_workers=workers.who_failed(session, track.id, failures),
            eligible=workers.count_eligible(workers.live(session), track.model_set, track.min_vram),
        )
        return judge_failure(kind, history, self._jitter)

    def _credit(
        self,
        session: Session,
        worker: Worker,
        report: ReportRequest,
        verdicts: Sequence[TrackVerdict],
        rows: dict[int, _Row],
    ) -> None:
        answered = zip(report.done, verdicts, strict=False)  # those of the failed come after
        committed = [done for done, v in answered if v.verdict is Verdict.COMMITTED]
        failed = sum(v.verdict is Verdict.NOTED for v in verdicts)
        expected = sum(_expected(worker, rows[done.track_id].track) for done in committed)
        took = sum(done.timings.device for done in committed)
        workers.credit(
            session, worker, done=len(committed), failed=failed, expected=expected, took=took
        )


def _expected(worker: Worker, track: Track) -> float:
    shape = TrackShape(track.duration, track.steps, track.guided)
    return cost.seconds(
        shape, gpu=worker.gpu, model_set=model_set(track.model_set), speed=worker.speed
    )


def _ids(report: ReportRequest) -> list[int]:
    return [t.track_id for t in report.done] + [t.track_id for t in report.failed]


def _rows(session: Session, lease_id: str, track_ids: Sequence[int]) -> dict[int, _Row]:
    found = session.execute(
        select(Attempt, Track)
        .join(Track, col(Track.id) == col(Attempt.track_id))
        .where(col(Attempt.lease_id) == lease_id, col(Attempt.track_id).in_(track_ids))
    )
    return {attempt.track_id: _Row(attempt, track) for attempt, track in found}


def _facts(lease: Lease, row: _Row | None) -> CommitFacts:
    return CommitFacts(
        lease=LeaseState(lease.state),
        attempt=AttemptState(row.attempt.state) if row else None,
        object_key=row.attempt.object_key if row else "",
        track=TrackState(row.track.state) if row else TrackState.CANCELLED,
    )


def _refused(track_id: int, reason: object) -> TrackVerdict:
    return TrackVerdict(track_id=track_id, verdict=Verdict.REFUSED, reason=str(reason))
