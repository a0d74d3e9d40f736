"""Whatever happens in whatever order: no track is lost, doubled, or leased to nobody."""

import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from tests.scheduler import invariants
from tests.scheduler.scene import QUEUE, Scene, briefs, failure
from trackfarm.api import TrackState
from trackfarm.wire import (
    FailureKind,
    HeartbeatRequest,
    ReleaseReason,
    ShardProgress,
    Stage,
    TrackDone,
    Verdict,
)
from trackfarm_scheduler.broker import Broker
from trackfarm_scheduler.leases import ClaimFacts, ClaimVerdict, judge_claim
from trackfarm_scheduler.machines import LeaseState
from trackfarm_scheduler.rescuer import Rescuer
from trackfarm_scheduler.settler import Settler
from trackfarm_scheduler.store import jobs, leases, tracks, workers
from trackfarm_scheduler.store.database import Database
from trackfarm_scheduler.store.jobs import NotAllowed
from trackfarm_scheduler.store.leases import Offer
from trackfarm_scheduler.store.tables import Job, Worker
from trackfarm_scheduler.sweeper import Sweeper

TRACKS = 6
chance = st.integers(0, 10**6)


class FarmInAnyOrder(RuleBasedStateMachine):
    """Two catalogs that share tracks, three workers, and a broker that has always lost everything.

    A worker reports under any lease it ever held, as late and as often as it likes.
    """

    template: Path
    offers: Bundle[Offer] = Bundle("offers")
    held: Bundle[tuple[int, Offer]] = Bundle("held")
    results: Bundle[tuple[int, Offer, TrackDone]] = Bundle("results")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="trackfarm-order-"))
        shutil.copy(self.template, self.folder / "farm.db")
        self.database = Database(f"sqlite:///{self.folder / 'farm.db'}")
        self.scene = Scene(self.database)
        self.broker = Broker("redis://127.0.0.1:1/0")
        self.rescuer = Rescuer(
            database=self.database,
            broker=self.broker,
            clock=self.scene.clock,
            claim_within=5,
            lost_after=12,
            on_rescue=lambda: None,
        )
        self.settler = Settler(database=self.database, clock=self.scene.clock)
        self.sweeper = Sweeper(
            database=self.database,
            objects=self.scene.objects,
            clock=self.scene.clock,
            margin=60,
        )
        self.committed: dict[int, int] = {}

    def teardown(self) -> None:
        self.broker.close()
        self.database.close()
        shutil.rmtree(self.folder)

    @initialize()
    def open_the_farm(self) -> None:
        self.jobs = [
            self.scene.submit(briefs(TRACKS)).job_id,
            self.scene.submit(briefs(TRACKS + 2)[2:]).job_id,
        ]
        self.workers = [self.scene.join(str(number)) for number in range(3)]

    # What the scheduler does

    @rule(target=offers, job=st.integers(0, 1), number=st.integers(1, 4))
    def offer(self, job: int, number: int) -> Offer | MultipleResults[Offer]:
        with self.database.read() as session:
            moving = {j.id for j in jobs.in_state(session, list(invariants.MOVING))}
            now = self.scene.clock()
            waiting = tracks.waiting(session, self.jobs[job], now=now, limit=number)
        if self.jobs[job] not in moving or not waiting:
            return multiple()
        made = self.scene.try_offer(self.jobs[job], [t.id for t in waiting])
        assert made is not None, "nobody else takes tracks here"
        return made

    @rule(seconds=st.sampled_from([0.5, 3, 6, 13, 4000]))
    def pass_time(self, seconds: float) -> None:
        self.scene.clock.advance(seconds)
        self.rescuer.tick()
        self.settler.tick()
        self.sweeper.tick()

    @rule()
    def come_back_after_an_absence(self) -> None:
        self.scene.clock.advance(1000)
        self.rescuer.recover()

    @rule(offer=offers)
    def lose_the_message(self, offer: Offer) -> None:
        """What the rescuer does once the message of an unclaimed offer has left its queue."""
        with self.database.write() as session:
            lease = leases.get(session, offer.lease_id)
            if lease is not None and lease.worker_id is None:
                self.rescuer._end(session, offer.lease_id, "not claimed", self.scene.clock())

    # What workers do

    @rule(target=held, offer=offers, who=st.integers(0, 2))
    def claim(
        self, offer: Offer, who: int
    ) -> tuple[int, Offer] | MultipleResults[tuple[int, Offer]]:
        with self.database.read() as session:
            lease = leases.get(session, offer.lease_id)
            worker = session.get(Worker, self.workers[who].id)
            assert lease is not None
            assert worker is not None
            job = session.get(Job, lease.job_id)
            assert job is not None
            facts = ClaimFacts(LeaseState(lease.state), lease.worker_id, lease.queue, job.state)  # type: ignore[arg-type]
        verdict = judge_claim(facts, worker_id=worker.id, worker_queue=QUEUE)
        if verdict is not ClaimVerdict.GRANTED or worker.state == "gone":
            return multiple()
        self.scene.claim(worker, offer)
        return who, offer

    @rule(who=st.integers(0, 2), holding=st.lists(held, max_size=3))
    def beat(self, who: int, holding: list[tuple[int, Offer]]) -> None:
        progress = [
            ShardProgress(shard_id=o.shard_id, lease_id=o.lease_id, stage=Stage.COMPUTING)
            for _, o in holding
        ]
        with self.database.write() as session:
            worker = session.get(Worker, self.workers[who].id)
            assert worker is not None
            request = HeartbeatRequest(shards=progress)
            workers.heard(session, worker, request, self.scene.clock())
            until = self.scene.clock() + 12
            live = leases.extend(session, worker.id, progress, expires_at=until)
        assert live <= {o.lease_id for holder, o in holding if holder == who}

    @rule(target=results, hold=held, pick=chance)
    def make(self, hold: tuple[int, Offer], pick: int) -> tuple[int, Offer, TrackDone]:
        who, offer = hold
        attempts = self.scene.attempts(offer)
        attempt = attempts[pick % len(attempts)]
        return who, offer, self.scene.upload(offer, attempt.track_id)

    @rule(result=results, who=st.none() | st.integers(0, 2), spoil=st.booleans())
    def report(self, result: tuple[int, Offer, TrackDone], who: int | None, spoil: bool) -> None:
        """Late, twice, by another worker, or of an object that has been spoilt meanwhile."""
        holder, offer, done = result
        if spoil and self.scene.track(done.track_id).state != TrackState.DONE:
            self.scene.objects.content[done.object_key] = b"spoilt"
        reporter = holder if who is None else who
        (verdict,) = self.scene.report(self.workers[reporter], offer, done=[done])
        if verdict.verdict is Verdict.COMMITTED:
            assert reporter == holder
            self.committed[done.track_id] = self.committed.get(done.track_id, 0) + 1

    @rule(hold=held, pick=chance, kind=st.sampled_from(FailureKind), who=st.integers(0, 2))
    def fail(self, hold: tuple[int, Offer], pick: int, kind: FailureKind, who: int) -> None:
        _, offer = hold
        attempts = self.scene.attempts(offer)
        track_id = attempts[pick % len(attempts)].track_id
        self.scene.report(self.workers[who], offer, failed=[failure(track_id, kind)])

    @rule(hold=held, all_of_it=st.booleans())
    def release(self, hold: tuple[int, Offer], all_of_it: bool) -> None:
        _, offer = hold
        ids = [a.track_id for a in self.scene.attempts(offer)]
        with self.database.write() as session:
            lease = leases.get(session, offer.lease_id)
            assert lease is not None
            some = ids if all_of_it else ids[:1]
            leases.release(session, lease, some, ReleaseReason.STOPPED, self.scene.clock())

    @rule(who=st.integers(0, 2))
    def leave_and_join(self, who: int) -> None:
        with self.database.write() as session:
            workers.leave(session, self.workers[who].id, self.scene.clock(), reason="drained")
        self.workers[who] = self.scene.join(str(who))

    @rule(dropped=consumes(held))
    def forget(self, dropped: tuple[int, Offer]) -> None:
        """A killed worker says nothing."""

    # What the operator does

    @rule(
        job=st.integers(0, 1),
        act=st.sampled_from([jobs.pause, jobs.resume, jobs.resume, jobs.cancel, jobs.retry]),
    )
    def ask(self, job: int, act: object) -> None:
        try:
            self.scene.change(self.jobs[job], act)  # type: ignore[arg-type]
        except NotAllowed:
            """The state of the job does not permit it."""

    @rule(job=st.integers(0, 1))
    def submit_again(self, job: int) -> None:
        wanted = briefs(TRACKS) if job == 0 else briefs(TRACKS + 2)[2:]
        self.jobs[job] = self.scene.submit(wanted).job_id

    @invariant()
    def the_books_are_right(self) -> None:
        with self.database.read() as session:
            invariants.check(session)
            stored = set(self.scene.objects.content)
            for job_id in self.jobs:
                assert len(self.scene.ids(job_id)) == TRACKS
        assert all(number == 1 for number in self.committed.values())
        for artifact in self.scene.artifacts():
            assert artifact.object_key in stored, "the sweeper took a finished track"


def test_any_order(sqlite_template: Path) -> None:
    FarmInAnyOrder.template = sqlite_template
    run_state_machine_as_test(
        FarmInAnyOrder,
        settings=settings(
            max_examples=20,
            stateful_step_count=30,
            deadline=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
