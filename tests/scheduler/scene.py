"""A scheduler's insides on a stage: real database and rules, a clock and a store of our own."""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeVar

from sqlalchemy import func, select
from sqlmodel import Session, SQLModel, col

from tests.scheduler.memory_objects import MemoryObjects
from trackfarm.api import JobHeader, TrackState
from trackfarm.catalog import Brief
from trackfarm.model_sets import model_set
from trackfarm.tiers import tier_of
from trackfarm.wire import (
    FailureKind,
    Measurements,
    RegisterRequest,
    ReportRequest,
    Timings,
    TrackDone,
    TrackFailed,
    TrackVerdict,
)
from trackfarm_scheduler.placement import NewShard
from trackfarm_scheduler.recorder import Recorder
from trackfarm_scheduler.store import intake, jobs, leases, workers
from trackfarm_scheduler.store.database import Database
from trackfarm_scheduler.store.intake import Intake, Sealed
from trackfarm_scheduler.store.leases import Offer
from trackfarm_scheduler.store.tables import (
    Artifact,
    Attempt,
    Event,
    Job,
    JobTrack,
    Track,
    Worker,
)
from trackfarm_scheduler.store.workers import Joined

R = TypeVar("R", bound=SQLModel)
QUEUE = "gpu.vram24.tiny"
URL_SECONDS = 3600.0
LEASE_SECONDS = 12.0


class Clock:
    """Stands still until it is told to go on; seconds since 1970."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


def briefs(number: int, *, word: str = "piano", **fields: object) -> list[Brief]:
    wanted = {"duration": 10} | fields
    return [Brief.model_validate({"prompt": f"{word} {i}"} | wanted) for i in range(number)]


class Scene:
    """What tests do to a farm without a network, each call one transaction."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock = Clock()
        self.objects = MemoryObjects()
        self.recorder = Recorder(
            database=database, objects=self.objects, clock=self.clock, jitter=lambda: 0.5
        )

    # Submissions

    def begin(
        self,
        *,
        catalog: str = "spa",
        owner: str = "operator",
        kind: str = "tiny",
        priority: int = 0,
    ) -> Intake:
        header = JobHeader(catalog=catalog, model_set=kind, priority=priority)
        made = Intake(owner=owner, header=header, model_set=model_set(kind), now=self.clock())
        with self.database.write() as session:
            made.open(session)
        return made

    def add(self, submission: Intake, chunk: Sequence[Brief]) -> None:
        with self.database.write() as session:
            submission.add(session, chunk)

    def seal(self, submission: Intake) -> Sealed:
        self.clock.advance(0.001)
        with self.database.write() as session:
            return submission.seal(session)

    def abandon(self, submission: Intake) -> None:
        with self.database.write() as session:
            intake.abandon(session, submission.job_id)

    def submit(self, wanted: Sequence[Brief], *, catalog: str = "spa") -> Sealed:
        submission = self.begin(catalog=catalog)
        self.add(submission, wanted)
        return self.seal(submission)

    # Jobs

    def job(self, job_id: str) -> Job:
        return self.rows(Job, col(Job.id) == job_id)[0]

    def change(self, job_id: str, act: Callable[[Session, Job, float], object]) -> object:
        """`act` is one of jobs.pause, resume, cancel, retry, settle."""
        with self.database.write() as session:
            return act(session, jobs.find(session, job_id)[0], self.clock())

    # Workers and leases

    def join(
        self,
        name: str = "gpu",
        *,
        memory_mib: int = 24_564,
        provider: str = "own",
        gpu: str = "cpu",
    ) -> Worker:
        joined = self.joined(name, memory_mib=memory_mib, provider=provider, gpu=gpu)
        return self.rows(Worker, col(Worker.id) == joined.worker_id)[0]

    def joined(self, name: str, *, memory_mib: int, provider: str, gpu: str) -> Joined:
        request = RegisterRequest(
            name=name, gpu=gpu, memory_mib=memory_mib, provider=provider, model_set="tiny"
        )
        tier = tier_of(memory_mib)
        assert tier is not None
        with self.database.write() as session:
            return workers.join(session, request, tier, self.clock())

    def offer(self, job_id: str, ids: Sequence[int] | None = None, *, queue: str = QUEUE) -> Offer:
        made = self.try_offer(job_id, ids, queue=queue)
        assert made is not None
        return made

    def try_offer(
        self, job_id: str, ids: Sequence[int] | None = None, *, queue: str = QUEUE
    ) -> Offer | None:
        wanted = tuple(self.made_by(job_id, TrackState.PENDING) if ids is None else ids)
        with self.database.write() as session:
            shard = NewShard(queue, job_id, wanted, 1.0)
            made = leases.offer(session, shard, model_set="tiny", now=self.clock())
            if made:
                jobs.start(session, job_id, self.clock())
            return made

    def claim(self, worker: Worker, offer: Offer) -> None:
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
            leases.note_urls(session, lease.id, self.clock() + URL_SECONDS)

    def claimed(self, worker: Worker, job_id: str, ids: Sequence[int] | None = None) -> Offer:
        offer = self.offer(job_id, ids)
        self.claim(worker, offer)
        return offer

    # Results

    def upload(self, offer: Offer, track_id: int, content: bytes = b"music") -> TrackDone:
        """Puts the object of an attempt in place; returns the honest report of it."""
        attempt = self.attempt(offer, track_id)
        self.objects.content[attempt.object_key] = content
        return TrackDone(
            track_id=track_id,
            object_key=attempt.object_key,
            size=len(content),
            md5=hashlib.md5(content, usedforsecurity=False).hexdigest(),
            sha256=hashlib.sha256(content).hexdigest(),
            seed=attempt.seed,
            measurements=MEASUREMENTS,
            timings=Timings(denoise=0.5, decode=0.25, encode=1.0),
        )

    def report(
        self,
        worker: Worker,
        offer: Offer,
        *,
        done: Sequence[TrackDone] = (),
        failed: Sequence[TrackFailed] = (),
    ) -> list[TrackVerdict]:
        report = ReportRequest(lease_id=offer.lease_id, done=list(done), failed=list(failed))
        return self.recorder.record(worker, offer.lease_id, report)

    def finish(self, worker: Worker, offer: Offer) -> list[TrackVerdict]:
        """Makes all that is open under the lease."""
        open_ids = [a.track_id for a in self.attempts(offer) if a.state == "open"]
        return self.report(worker, offer, done=[self.upload(offer, i) for i in open_ids])

    # Looking

    def rows(self, table: type[R], *where: object) -> list[R]:
        with self.database.read() as session:
            found = list(session.scalars(select(table).where(*where)))  # type: ignore[arg-type]
            session.expunge_all()
            return found

    def number(self, table: type[SQLModel], *where: object) -> int:
        with self.database.read() as session:
            statement = select(func.count()).select_from(table).where(*where)  # type: ignore[arg-type]
            return session.scalar(statement) or 0

    def ids(self, job_id: str) -> list[int]:
        """The tracks of a job in the catalog's order, whoever makes them."""
        links = self.rows(JobTrack, col(JobTrack.job_id) == job_id)
        return [link.track_id for link in sorted(links, key=lambda link: link.ordinal)]

    def made_by(self, job_id: str, state: TrackState) -> list[int]:
        found = self.rows(Track, col(Track.job_id) == job_id, col(Track.state) == state)
        return sorted(t.id for t in found if t.id is not None)

    def track(self, track_id: int) -> Track:
        return self.rows(Track, col(Track.id) == track_id)[0]

    def states(self, job_id: str) -> dict[str, int]:
        wanted = self.ids(job_id)
        return dict(Counter(t.state for t in self.rows(Track) if t.id in wanted))

    def artifacts(self) -> list[Artifact]:
        return self.rows(Artifact)

    def attempts(self, offer: Offer) -> list[Attempt]:
        found = self.rows(Attempt, col(Attempt.lease_id) == offer.lease_id)
        return sorted(found, key=lambda a: a.track_id)

    def attempt(self, offer: Offer, track_id: int) -> Attempt:
        return next(a for a in self.attempts(offer) if a.track_id == track_id)

    def events(self, kind: str) -> list[Event]:
        """Those whose kind begins so, oldest first."""
        found = self.rows(Event, col(Event.kind).startswith(kind))
        return sorted(found, key=lambda e: e.id or 0)


def failure(track_id: int, kind: FailureKind = FailureKind.ENGINE_ERROR) -> TrackFailed:
    return TrackFailed(track_id=track_id, kind=kind, message="it broke")


MEASUREMENTS = Measurements(
    seconds=10.0,
    sample_rate=48_000,
    channels=2,
    peak_dbfs=-1.0,
    rms_dbfs=-18.0,
    clipped=0.0,
    dc=0.0,
)
