"""Farm under test: real database and rules, with a controlled clock and in-memory object
store."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from sqlmodel import Session, col

from tests.scheduler.clock import Clock
from tests.scheduler.memory_objects import MemoryObjects
from tests.scheduler.row_queries import RowQueries
from trackfarm.catalog import Brief
from trackfarm.model_sets import model_set
from trackfarm.protocol.operator import JobHeader, TrackState
from trackfarm.protocol.worker import (
    FailureKind,
    HeartbeatRequest,
    Measurements,
    RegisterRequest,
    ReportRequest,
    ShardProgress,
    Stage,
    Timings,
    TrackDone,
    TrackFailed,
    TrackVerdict,
)
from trackfarm.tiers import tier_of
from trackfarm_scheduler.db import jobs, lease_expiry, leases, offers, registration, workers
from trackfarm_scheduler.db import submission as submission_db
from trackfarm_scheduler.db.database import Database
from trackfarm_scheduler.db.offers import ShardOffer
from trackfarm_scheduler.db.registration import WorkerCredentials
from trackfarm_scheduler.db.submission import JobSubmission, SealedJob
from trackfarm_scheduler.db.tables import JobRow, TrackRow, WorkerRow
from trackfarm_scheduler.loops.completer import JobCompleter
from trackfarm_scheduler.loops.leader import Leadership
from trackfarm_scheduler.loops.orphan_cleaner import OrphanCleaner
from trackfarm_scheduler.policy.models import NewShard
from trackfarm_scheduler.policy.validation import PlausibleBounds
from trackfarm_scheduler.results.recorder import Recorder

MUSIC = b"music" * 400  # a plausible number of bytes per second of audio
ANY_TIMES = PlausibleBounds(slack=1e9)  # the clock stands still while tracks are made
URL_SECONDS = 3600.0
SECONDS_EACH = 2.0  # expected duration of a track of the fixture
LEASE_SECONDS = 12.0
LEADER_SECONDS = 3600.0  # longer than any test: leadership uses the real clock


def briefs(number: int, *, word: str = "piano", **fields: object) -> list[Brief]:
    wanted = {"duration": 10} | fields
    return [Brief.model_validate({"prompt": f"{word} {i}"} | wanted) for i in range(number)]


class FarmFixture(RowQueries):
    """Actions of tests on a farm without a network, each call one transaction."""

    def __init__(self, database: Database, bounds: PlausibleBounds = ANY_TIMES) -> None:
        super().__init__(database)
        self.clock = Clock()
        self.objects = MemoryObjects()
        self.recorder = Recorder(
            database=database,
            objects=self.objects,
            clock=self.clock,
            jitter=lambda: 0.5,
            bounds=bounds,
        )
        self.leadership = Leadership(
            database=database, holder="fixture", lease_seconds=LEADER_SECONDS
        )
        self.leadership.tick()
        self.completer = JobCompleter(
            database=database, leadership=self.leadership, clock=self.clock
        )

    # Submissions

    def begin_submission(
        self,
        *,
        catalog: str = "spa",
        owner: str = "operator",
        kind: str = "tiny",
        **header: Any,
    ) -> JobSubmission:
        fields = {"catalog": catalog, "model_set": kind} | header
        submission = JobSubmission(
            owner=owner,
            header=JobHeader.model_validate(fields),
            model_set=model_set(kind),
            now=self.clock(),
        )
        with self.database.write() as session:
            submission.open(session)
        return submission

    def add_briefs(self, submission: JobSubmission, chunk: Sequence[Brief]) -> None:
        with self.database.write() as session:
            submission.add(session, chunk, self.clock())

    def seal_submission(self, submission: JobSubmission) -> SealedJob:
        self.clock.advance(0.001)
        with self.database.write() as session:
            return submission.seal(session)

    def abandon_submission(self, submission: JobSubmission) -> None:
        with self.database.write() as session:
            submission_db.abandon(session, submission.job_id)

    def submit(self, wanted: Sequence[Brief], *, catalog: str = "spa", **header: Any) -> SealedJob:
        submission = self.begin_submission(catalog=catalog, **header)
        self.add_briefs(submission, wanted)
        return self.seal_submission(submission)

    # Jobs

    def job(self, job_id: str) -> JobRow:
        return self.rows(JobRow, col(JobRow.id) == job_id)[0]

    def change(self, job_id: str, act: Callable[[Session, JobRow, float], object]) -> object:
        """Apply `act`, one of jobs.pause, resume, cancel, retry."""
        with self.database.write() as session:
            return act(session, jobs.find(session, job_id)[0], self.clock())

    def complete(self, job_id: str) -> str:
        """Return the state of a job after a tick of the job completer."""
        self.completer.tick()
        return self.job(job_id).state

    def orphan_cleaner(self, *, margin: float) -> OrphanCleaner:
        return OrphanCleaner(
            database=self.database,
            objects=self.objects,
            leadership=self.leadership,
            clock=self.clock,
            margin=margin,
        )

    # Workers and leases

    def join(self, name: str = "gpu", **facts: Any) -> WorkerRow:
        return self.worker(self.register(name, **facts).worker_id)

    def register(self, name: str, **facts: Any) -> WorkerCredentials:
        fields = {"gpu": "cpu", "memory_mib": 24_564, "model_set": "tiny"} | facts
        request = RegisterRequest.model_validate({"name": name} | fields)
        tier = tier_of(request.memory_mib)
        assert tier is not None
        with self.database.write() as session:
            return registration.join(session, request, tier, self.clock())

    def worker(self, worker_id: str) -> WorkerRow:
        return self.rows(WorkerRow, col(WorkerRow.id) == worker_id)[0]

    def heartbeat(self, worker: WorkerRow, *offers: ShardOffer, **fields: Any) -> set[str]:
        """Send a heartbeat about shards; returns the extended leases."""
        progress = [
            ShardProgress(shard_id=o.shard_id, lease_id=o.lease_id, stage=Stage.COMPUTING)
            for o in offers
        ]
        request = HeartbeatRequest.model_validate({"shards": progress} | fields)
        with self.database.write() as session:
            until = self.clock() + LEASE_SECONDS
            held = lease_expiry.extend(session, {worker.id: progress}, expires_at=until)
            workers.record_heartbeats(session, {worker.id: request}, self.clock())
            return {lease_id for _, lease_id in held}

    def offer(
        self,
        worker: WorkerRow,
        job_id: str,
        ids: Sequence[int] | None = None,
        *,
        race: bool = False,
    ) -> ShardOffer:
        sent = self.try_offer(worker, job_id, ids, race=race)
        assert sent is not None
        return sent

    def try_offer(
        self,
        worker: WorkerRow,
        job_id: str,
        ids: Sequence[int] | None = None,
        *,
        race: bool = False,
    ) -> ShardOffer | None:
        """Offer a shard of `ids`, or of all suitable tracks, to a worker; with `race`, tracks
        leased by another worker."""
        fitting = TrackState.LEASED if race else TrackState.PENDING
        track_ids = tuple(self.owned_tracks(job_id, fitting) if ids is None else ids)
        shard = NewShard(worker.id, worker.queue, job_id, track_ids, SECONDS_EACH * len(track_ids))
        with self.database.write() as session:
            sent = offers.create(session, [shard], now=self.clock(), is_speculative=race)
            if sent:
                jobs.start(session, job_id, self.clock())
            return sent[0] if sent else None

    def claim(self, worker: WorkerRow, offer: ShardOffer) -> None:
        with self.database.write() as session:
            lease = leases.get(session, offer.lease_id, lock=True)
            assert lease is not None
            leases.claim(
                session,
                lease,
                worker_id=worker.id,
                now=self.clock(),
                lease_seconds=LEASE_SECONDS,
            )
            leases.record_url_expiry(session, lease.id, self.clock() + URL_SECONDS)

    def lease(
        self,
        worker: WorkerRow,
        job_id: str,
        ids: Sequence[int] | None = None,
        *,
        race: bool = False,
    ) -> ShardOffer:
        offer = self.offer(worker, job_id, ids, race=race)
        self.claim(worker, offer)
        return offer

    # Results

    def upload(
        self, offer: ShardOffer, track_id: int, content: bytes = b"", *, service: float = 2.0
    ) -> TrackDone:
        """Store the object of an attempt; returns the honest report of it."""
        attempt = self.attempt(offer, track_id)
        (track,) = self.rows(TrackRow, col(TrackRow.id) == track_id)
        content = content or MUSIC * int(track.duration)
        self.objects.content[attempt.object_key] = content
        return TrackDone(
            track_id=track_id,
            object_key=attempt.object_key,
            size=len(content),
            md5=hashlib.md5(content, usedforsecurity=False).hexdigest(),
            sha256=hashlib.sha256(content).hexdigest(),
            seed=attempt.seed,
            measurements=MEASUREMENTS.model_copy(update={"seconds": track.duration}),
            timings=Timings(service=service, denoise=0.5, decode=0.25, encode=1.0),
        )

    def report(
        self,
        worker: WorkerRow,
        offer: ShardOffer,
        *,
        done: Sequence[TrackDone] = (),
        failed: Sequence[TrackFailed] = (),
    ) -> list[TrackVerdict]:
        report = ReportRequest(lease_id=offer.lease_id, done=list(done), failed=list(failed))
        return self.recorder.record(worker, offer.lease_id, report)

    def finish(self, worker: WorkerRow, offer: ShardOffer) -> list[TrackVerdict]:
        """Upload and report all open tracks of the lease."""
        open_ids = [a.track_id for a in self.attempts(offer) if a.state == "open"]
        return self.report(worker, offer, done=[self.upload(offer, i) for i in open_ids])


def failure(
    track_id: int, kind: FailureKind = FailureKind.ENGINE_ERROR, *, service: float = 0.0
) -> TrackFailed:
    timings = Timings(service=service)
    return TrackFailed(track_id=track_id, kind=kind, message="it broke", timings=timings)


MEASUREMENTS = Measurements(
    seconds=10.0,
    sample_rate=48_000,
    channels=2,
    peak_dbfs=-1.0,
    rms_dbfs=-18.0,
    clipped=0.0,
    dc=0.0,
)
