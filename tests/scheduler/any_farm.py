"""A farm to which anything may happen in any order, with what must hold after each step."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

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
)
from sqlmodel import col

from tests.scheduler import invariants
from tests.scheduler.loops_of_one import Scheduler
from tests.scheduler.scene import Scene, briefs, failure
from trackfarm.api import TrackState, WorkerState
from trackfarm.wire import FailureKind, ReleaseReason, TrackDone, Verdict
from trackfarm_scheduler import leases as rules
from trackfarm_scheduler.leases import ClaimFacts, ClaimVerdict
from trackfarm_scheduler.machines import AttemptState, LeaseState
from trackfarm_scheduler.store import jobs, leases, tracks, workers
from trackfarm_scheduler.store.database import Database
from trackfarm_scheduler.store.jobs import NotAllowed
from trackfarm_scheduler.store.offers import Offer
from trackfarm_scheduler.store.tables import Attempt, Job, Lease, Worker

TRACKS = 6
CREW = 3
ASKED = [jobs.pause, jobs.resume, jobs.resume, jobs.cancel, jobs.retry]
chance = st.integers(0, 10**6)
anyone = st.integers(0, CREW - 1)
Hold = tuple[int, Offer]


class FarmInAnyOrder(RuleBasedStateMachine):
    """Two catalogs that share tracks, one of them with little money; three workers, two
    schedulers, and a broker that has always lost everything.

    A worker reports under any lease it ever held, as late and as often as it likes.
    """

    template: Path
    offers: Bundle[Offer] = Bundle("offers")
    held: Bundle[Hold] = Bundle("held")
    results: Bundle[tuple[int, Offer, TrackDone]] = Bundle("results")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="trackfarm-order-"))
        shutil.copy(self.template, self.folder / "farm.db")
        self.database = Database(f"sqlite:///{self.folder / 'farm.db'}")
        self.scene = Scene(self.database)
        self.scene.leadership.resign()
        self.leader, self.other = (Scheduler(self.scene, name) for name in ("one", "other"))
        self.leader.leadership.tick()
        self.committed: dict[int, int] = {}

    def teardown(self) -> None:
        for scheduler in (self.leader, self.other):
            scheduler.broker.close()
        self.database.close()
        shutil.rmtree(self.folder)

    @initialize()
    def open_the_farm(self) -> None:
        self.jobs = [self.submit(0), self.submit(1)]
        self.workers = [self.join(number) for number in range(CREW)]

    def submit(self, number: int) -> str:
        if number == 0:
            return self.scene.submit(briefs(TRACKS)).job_id
        return self.scene.submit(briefs(TRACKS + 2)[2:], budget=0.01).job_id

    def join(self, number: int) -> Worker:
        return self.scene.join(str(number), price_per_hour=3.6)

    # What the scheduler does

    @rule(target=offers)
    def place(self) -> MultipleResults[Offer]:
        """Shards, or races when nothing waits, as the placer decides."""
        now = self.scene.clock()
        with self.database.read() as session:
            decided = self.leader.placer._decide(session, now)
        with self.database.write() as session:
            self.leader.leadership.require(session)
            return multiple(*self.leader.placer._store(session, decided, now))

    @rule(target=offers, job=st.integers(0, 1), number=st.integers(1, 4), who=anyone)
    def offer(self, job: int, number: int, who: int) -> Offer | MultipleResults[Offer]:
        with self.database.read() as session:
            moving = {j.id for j in jobs.in_state(session, list(invariants.MOVING))}
            now = self.scene.clock()
            waiting = tracks.waiting(session, self.jobs[job], now=now, limit=number)
        if self.jobs[job] not in moving or not waiting:
            return multiple()
        ids = [t.id for t in waiting]
        made = self.scene.try_offer(self.workers[who], self.jobs[job], ids)
        assert made or not self._is_live(who), "nobody else takes tracks here"
        return made or multiple()

    def _is_live(self, who: int) -> bool:
        return self.scene.worker(self.workers[who].id).state in rules.LIVE_STATES

    @rule(target=offers, job=st.integers(0, 1), who=anyone)
    def race(self, job: int, who: int) -> Offer | MultipleResults[Offer]:
        """A second lease on what another worker has."""
        ids = self._loose(self.jobs[job], self.workers[who])
        made = self.scene.try_offer(self.workers[who], self.jobs[job], ids, race=True)
        return made or multiple()

    def _loose(self, job_id: str, rival: Worker) -> list[int]:
        """Tracks at work under one lease, which is not the rival's."""
        opened = self.scene.rows(Attempt, col(Attempt.state) == AttemptState.OPEN)
        queues = {lease.id: lease.queue for lease in self.scene.rows(Lease)}
        at = {
            i: [queues[a.lease_id] for a in opened if a.track_id == i]
            for i in self.scene.made_by(job_id, TrackState.LEASED)
        }
        return [i for i, lanes in at.items() if len(lanes) == 1 and rival.queue not in lanes]

    @rule(seconds=st.sampled_from([0.5, 3, 6, 13, 4000]))
    def pass_time(self, seconds: float) -> None:
        self.scene.clock.advance(seconds)
        before = self._deeds()
        self.other.tick()
        assert self._deeds() == before, "who does not lead has done something"
        self.leader.tick()
        self.leader.sweeper.tick()

    def _deeds(self) -> tuple[int, list[str]]:
        ended = self.scene.number(Lease, col(Lease.state) == LeaseState.ENDED)
        return ended, [job.state for job in self.scene.rows(Job)]

    @rule()
    def change_the_leader(self) -> None:
        """The old one has slept: it still believes that it leads."""
        self.leader.leadership.resign()
        self.leader, self.other = self.other, self.leader
        self.leader.leadership.tick()
        assert self.other.leadership.leads

    @rule()
    def come_back_after_an_absence(self) -> None:
        self.scene.clock.advance(1000)
        self.leader.rescuer.recover()

    @rule(offer=offers)
    def lose_the_message(self, offer: Offer) -> None:
        """What the rescuer does once the message of an unclaimed offer has left its queue."""
        with self.database.write() as session:
            lease = leases.get(session, offer.lease_id)
            if lease is not None and lease.worker_id is None:
                now = self.scene.clock()
                self.leader.rescuer._end(session, offer.lease_id, "not claimed", now)

    # What workers do

    @rule(target=held, offer=offers, who=st.none() | anyone)
    def claim(self, offer: Offer, who: int | None) -> Hold | MultipleResults[Hold]:
        """By the worker it was offered to, or by any other."""
        queues = [worker.queue for worker in self.workers]
        if who is None and offer.queue not in queues:
            return multiple()
        caller = queues.index(offer.queue) if who is None else who
        if not self._may_claim(offer, self.workers[caller]):
            return multiple()
        assert self.workers[caller].queue == offer.queue, "it was offered to another"
        self.scene.claim(self.workers[caller], offer)
        return caller, offer

    def _may_claim(self, offer: Offer, worker: Worker) -> bool:
        with self.database.read() as session:
            lease = leases.get(session, offer.lease_id)
            assert lease is not None
            job = session.get(Job, lease.job_id)
            assert job is not None
            facts = ClaimFacts(LeaseState(lease.state), lease.worker_id, lease.queue, job.state)  # type: ignore[arg-type]
        gone = self.scene.worker(worker.id).state == WorkerState.GONE
        verdict = rules.judge_claim(facts, worker_id=worker.id, worker_queue=worker.queue)
        return verdict is ClaimVerdict.GRANTED and not gone

    @rule(
        who=anyone,
        holding=st.lists(held, max_size=3),
        draining=st.sampled_from([False] * 9 + [True]),
    )
    def beat(self, who: int, holding: list[Hold], draining: bool) -> None:
        offers = [offer for _, offer in holding]
        live = self.scene.beat(self.workers[who], *offers, draining=draining)
        assert live <= {o.lease_id for holder, o in holding if holder == who}

    @rule(target=results, hold=held, pick=chance)
    def make(self, hold: Hold, pick: int) -> tuple[int, Offer, TrackDone]:
        who, offer = hold
        attempts = self.scene.attempts(offer)
        attempt = attempts[pick % len(attempts)]
        return who, offer, self.scene.upload(offer, attempt.track_id)

    @rule(result=results, who=st.none() | anyone, spoil=st.booleans())
    def report(self, result: tuple[int, Offer, TrackDone], who: int | None, spoil: bool) -> None:
        """Late, twice, by another worker, or of an object that has been spoilt meanwhile."""
        holder, offer, done = result
        if spoil and self.scene.track(done.track_id).state != TrackState.DONE:
            self.scene.objects.content[done.object_key] = b"spoilt"
        self._deliver(holder if who is None else who, holder, offer, [done])

    @rule(one=results, other=results)
    def pass_off(
        self, one: tuple[int, Offer, TrackDone], other: tuple[int, Offer, TrackDone]
    ) -> None:
        """Reports one track with the object of another."""
        holder, offer, done = one
        false = done.model_copy(update={"object_key": other[2].object_key})
        self._deliver(holder, holder, offer, [false])

    @rule(hold=held)
    def finish(self, hold: Hold) -> None:
        """All that is open under a lease."""
        who, offer = hold
        ids = [a.track_id for a in self.scene.attempts(offer) if a.state == AttemptState.OPEN]
        self._deliver(who, who, offer, [self.scene.upload(offer, i) for i in ids])

    def _deliver(self, by: int, holder: int, offer: Offer, done: Sequence[TrackDone]) -> None:
        (lease,) = self.scene.rows(Lease, col(Lease.id) == offer.lease_id)
        for verdict in self.scene.report(self.workers[by], offer, done=done):
            if verdict.verdict is Verdict.COMMITTED:
                assert by == holder
                assert lease.state == LeaseState.LIVE, "committed under a lease that had ended"
                number = self.committed.get(verdict.track_id, 0)
                self.committed[verdict.track_id] = number + 1

    @rule(
        hold=held, pick=chance, kind=st.sampled_from(FailureKind), who=anyone, all_of=st.booleans()
    )
    def fail(self, hold: Hold, pick: int, kind: FailureKind, who: int, all_of: bool) -> None:
        """One track, reported by anybody, or the holder's whole shard."""
        holder, offer = hold
        ids = [a.track_id for a in self.scene.attempts(offer)]
        failed = ids if all_of else [ids[pick % len(ids)]]
        reporter = self.workers[holder if all_of else who]
        self.scene.report(reporter, offer, failed=[failure(i, kind) for i in failed])

    @rule(hold=held, all_of_it=st.booleans())
    def release(self, hold: Hold, all_of_it: bool) -> None:
        _, offer = hold
        ids = [a.track_id for a in self.scene.attempts(offer)]
        with self.database.write() as session:
            lease = leases.get(session, offer.lease_id)
            assert lease is not None
            some = ids if all_of_it else ids[:1]
            leases.release(session, lease, some, ReleaseReason.STOPPED, self.scene.clock())

    @rule(who=anyone)
    def leave_and_join(self, who: int) -> None:
        with self.database.write() as session:
            workers.leave(session, self.workers[who].id, self.scene.clock(), reason="drained")
        self.workers[who] = self.join(who)

    @rule(dropped=consumes(held))
    def forget(self, dropped: Hold) -> None:
        """A killed worker says nothing."""

    # What the operator does

    @rule(job=st.integers(0, 1), act=st.sampled_from(ASKED))
    def ask(self, job: int, act: object) -> None:
        try:
            self.scene.change(self.jobs[job], act)  # type: ignore[arg-type]
        except NotAllowed:
            """The state of the job does not permit it."""

    @rule(job=st.integers(0, 1))
    def strand(self, job: int) -> None:
        """Work goes on for tracks that changed hands and were cancelled then."""
        self.ask(job, jobs.pause)
        self.ask(1 - job, jobs.cancel)

    @rule(job=st.integers(0, 1))
    def submit_again(self, job: int) -> None:
        self.jobs[job] = self.submit(job)

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
