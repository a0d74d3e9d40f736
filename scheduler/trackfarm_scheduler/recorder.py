"""Records what workers report: each object is looked at, then committed once or refused."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, insert, select, update
from sqlmodel import Session, col

from trackfarm.api import TrackState
from trackfarm.identity import next_seeds
from trackfarm.wire import FailureKind, ReportRequest, TrackDone, TrackVerdict, Verdict
from trackfarm_scheduler.leases import CommitFacts, Refusal, judge_commit
from trackfarm_scheduler.machines import AttemptState, LeaseState
from trackfarm_scheduler.objects.port import ObjectStore
from trackfarm_scheduler.rulings import Failure, Rulings
from trackfarm_scheduler.store import journal, leases, ledger, output, speeds, tracks, workers
from trackfarm_scheduler.store.database import Database
from trackfarm_scheduler.store.journal import Happening
from trackfarm_scheduler.store.tables import Artifact, Attempt, Lease, Track, Worker, table_of

_ATTEMPT, _LEASE, _TRACK = table_of(Attempt), table_of(Lease), table_of(Track)
_LOOK = (
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
_INSERT_ARTIFACTS = insert(table_of(Artifact))
_CLOSE = (
    update(_ATTEMPT)
    .where(_ATTEMPT.c.lease_id == bindparam("lease"), _ATTEMPT.c.track_id == bindparam("track"))
    .values(state=AttemptState.DONE.value, ended_at=bindparam("now"), timings=bindparam("took"))
)
_ROWS = (
    select(Attempt, Track)
    .join(Track, col(Track.id) == col(Attempt.track_id))
    .where(
        col(Attempt.lease_id) == bindparam("lease"),
        col(Attempt.track_id).in_(bindparam("tracks", expanding=True)),
    )
)


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
        self._rulings = Rulings(jitter)

    def record(self, worker: Worker, lease_id: str, report: ReportRequest) -> list[TrackVerdict]:
        """Answers each reported track. Objects are looked at between two transactions, and only
        those that this lease may write."""
        with self._database.read() as session:
            first_look = self._judge(session, worker, lease_id, report)
        flaws = [
            self._flaw(done) if look is TrackState.LEASED else "the object was not looked at"
            for done, look in zip(report.done, first_look, strict=True)
        ]
        with self._database.write() as session:
            return self._settle(session, worker, lease_id, report, flaws)

    def _judge(
        self, session: Session, worker: Worker, lease_id: str, report: ReportRequest
    ) -> list[TrackState | Refusal]:
        ids = [done.track_id for done in report.done]
        rows = session.execute(_LOOK, {"lease": lease_id, "holder": worker.id, "tracks": ids})
        facts = {
            track_id: CommitFacts(
                LeaseState(lease), AttemptState(attempt), object_key, TrackState(track)
            )
            for track_id, lease, attempt, object_key, track in rows
        }
        return [
            judge_commit(facts[done.track_id], object_key=done.object_key)
            if done.track_id in facts
            else Refusal.NOT_IN_SHARD
            for done in report.done
        ]

    def _flaw(self, done: TrackDone) -> str | None:
        """What is wrong with the stored object, if anything."""
        found = self._objects.stat(done.object_key)
        if found is None:
            return "no such object"
        if found.size != done.size:
            return f"the object has {found.size} bytes, the report says {done.size}"
        if found.md5_hex is not None and found.md5_hex != done.md5:
            return "the object's MD5 is not the reported one"
        return None

    def _settle(
        self,
        session: Session,
        worker: Worker,
        lease_id: str,
        report: ReportRequest,
        flaws: Sequence[str | None],
    ) -> list[TrackVerdict]:
        now = self._clock()
        leases.lock_race(session, lease_id, _ids(report))
        lease = leases.get(session, lease_id, lock=True)
        if lease is None or lease.worker_id != worker.id:
            return [_refused(track_id, Refusal.LEASE_ENDED) for track_id in _ids(report)]
        rows = _rows(session, lease_id, _ids(report))
        verdicts: list[TrackVerdict] = []
        good: dict[int, TrackDone] = {}
        failures: dict[int, Failure] = {}
        for done, flaw_seen in zip(report.done, flaws, strict=True):
            row = rows.get(done.track_id)
            flaw = flaw_seen or _seed_flaw(done, row)
            verdict = judge_commit(_facts(lease, row), object_key=done.object_key)
            if verdict is TrackState.DONE or done.track_id in good:
                verdicts.append(_verdict(done.track_id, Verdict.ALREADY_DONE))
            elif isinstance(verdict, Refusal) or row is None:
                verdicts.append(_refused(done.track_id, verdict))
            elif done.track_id in failures:
                verdicts.append(_refused(done.track_id, Refusal.NOT_IN_SHARD))
            elif flaw is not None:
                verdicts.append(_refused(done.track_id, flaw))
                failures[done.track_id] = Failure(row.track, FailureKind.OBJECT_MISMATCH, flaw)
            else:
                verdicts.append(_verdict(done.track_id, Verdict.COMMITTED))
                good[done.track_id] = done
        for failed in report.failed:
            row = rows.get(failed.track_id)
            if lease.state != LeaseState.LIVE:
                verdicts.append(_refused(failed.track_id, Refusal.LEASE_ENDED))
            elif (
                row is None
                or row.attempt.state != AttemptState.OPEN
                or failed.track_id in good
                or failed.track_id in failures
            ):
                verdicts.append(_refused(failed.track_id, Refusal.NOT_IN_SHARD))
            else:
                verdicts.append(_verdict(failed.track_id, Verdict.NOTED))
                failures[failed.track_id] = Failure(row.track, failed.kind, failed.message)
        self._commit(session, worker, lease, list(good.values()), rows, now)
        self._rulings.apply(session, worker, lease, list(failures.values()), now)
        settled = {i: rows[i].track for i in (*good, *failures)}
        ledger.charge(session, worker, report, settled, done=good.keys())
        if lease.state == LeaseState.LIVE:
            leases.finish_if_empty(session, lease, now)
        return verdicts

    def _commit(
        self,
        session: Session,
        worker: Worker,
        lease: Lease,
        good: Sequence[TrackDone],
        rows: Mapping[int, _Row],
        now: float,
    ) -> None:
        if not good:
            return
        ids = [done.track_id for done in good]
        moved = tracks.move(session, ids, TrackState.DONE, ended_at=now, error="")
        assert len(moved) == len(ids), "the tracks were leased when this transaction looked"
        session.execute(_INSERT_ARTIFACTS, [_artifact(worker, lease, d, now) for d in good])
        _close(session, lease, good, now)
        leases.overtake(session, ids, now)
        self._rulings.exonerate(session, worker, ids, now)
        output.count_done(session, worker, good, {i: rows[i].attempt.seed for i in ids})
        journal.record(
            session, *[_done(worker, lease, d, rows[d.track_id].track, now) for d in good]
        )
        made = {track_id: row.track for track_id, row in rows.items()}
        expected, took = speeds.learn(session, worker, good, made)
        workers.credit(session, worker, done=len(good), expected=expected, took=took)


def _close(session: Session, lease: Lease, good: Sequence[TrackDone], now: float) -> None:
    """Closes each attempt with its own timings, in one statement."""
    closed = [
        {"lease": lease.id, "track": d.track_id, "now": now, "took": d.timings.model_dump_json()}
        for d in good
    ]
    session.execute(_CLOSE, closed)


def _artifact(worker: Worker, lease: Lease, done: TrackDone, now: float) -> dict[str, object]:
    return {
        "track_id": done.track_id,
        "lease_id": lease.id,
        "worker_id": worker.id,
        "object_key": done.object_key,
        "size": done.size,
        "md5": done.md5,
        "sha256": done.sha256,
        "seed": done.seed,
        "seconds": done.measurements.seconds,
        "measurements": done.measurements.model_dump_json(),
        "committed_at": now,
    }


def _done(worker: Worker, lease: Lease, done: TrackDone, track: Track, now: float) -> Happening:
    return Happening(
        now,
        "track_done",
        track.job_id,
        track_id=done.track_id,
        shard_id=lease.shard_id,
        lease_id=lease.id,
        worker_id=worker.id,
        data={"object": done.object_key, "size": done.size, "seed": done.seed},
    )


def _seed_flaw(done: TrackDone, row: _Row | None) -> str | None:
    """A track must be what its key says, so that it can be made again."""
    if row is None or done.seed == row.attempt.seed:
        return None
    given = tracks.given_seed(row.track.brief)
    tries = row.attempt.try_number
    if done.seed in next_seeds(row.track.key, row.attempt.seed, tries=tries, given=given):
        return None
    return f"the seed {done.seed} was not offered"


def _ids(report: ReportRequest) -> list[int]:
    return [t.track_id for t in report.done] + [t.track_id for t in report.failed]


def _rows(session: Session, lease_id: str, track_ids: Sequence[int]) -> dict[int, _Row]:
    found = session.execute(_ROWS, {"lease": lease_id, "tracks": track_ids})
    return {attempt.track_id: _Row(attempt, track) for attempt, track in found}


def _facts(lease: Lease, row: _Row | None) -> CommitFacts:
    return CommitFacts(
        lease=LeaseState(lease.state),
        attempt=AttemptState(row.attempt.state) if row else None,
        object_key=row.attempt.object_key if row else "",
        track=TrackState(row.track.state) if row else TrackState.CANCELLED,
    )


def _verdict(track_id: int, verdict: Verdict) -> TrackVerdict:
    return TrackVerdict(track_id=track_id, verdict=verdict)


def _refused(track_id: int, reason: object) -> TrackVerdict:
    return TrackVerdict(track_id=track_id, verdict=Verdict.REFUSED, reason=str(reason))
