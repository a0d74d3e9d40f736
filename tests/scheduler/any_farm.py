"""A farm to which anything may happen in any order, with what must hold after each step."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlmodel import col

from tests.scheduler import invariants
from tests.scheduler.any_steps import BUSY, CREW, STEPS, Hold, Result, Step, one_of
from tests.scheduler.loops_of_one import Scheduler
from tests.scheduler.scene import Scene, briefs, failure
from trackfarm.api import TrackState, WorkerState
from trackfarm.wire import FailureKind, ReleaseReason, TrackDone, Verdict
from trackfarm_scheduler import leases as rules
from trackfarm_scheduler.leases import ClaimFacts, ClaimVerdict
from trackfarm_scheduler.machines import AttemptState, LeaseState
from trackfarm_scheduler.store import jobs, leases, pending, workers
from trackfarm_scheduler.store.database import Database
from trackfarm_scheduler.store.jobs import NotAllowed
from trackfarm_scheduler.store.offers import Offer
from trackfarm_scheduler.store.tables import Attempt, Job, Lease, Worker

TRACKS = 6


class FarmInAnyOrder(RuleBasedStateMachine):
    """Two catalogs that share tracks, one of them with little money; three workers, two
    schedulers, and a broker that has always lost everything.

    A worker reports under any lease it ever held, as late and as often as it likes.
    """

    template: Path

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
        self.offers: list[Offer] = []
        self.results: list[Result] = []

    def teardown(self) -> None:
        for scheduler in (self.leader, self.other):
            scheduler.broker.close()
        self.database.close()
        shutil.rmtree(self.folder)

    @initialize()
    def open_the_farm(self) -> None:
        self.jobs = [self.submit(0), self.submit(1)]
        self.workers = [self.join(number) for number in range(CREW)]
        self.dispatch()

    @rule(what=STEPS)
    def go(self, what: Step) -> None:
        name, drawn = what
        if name in BUSY and not self._holds():
            self.dispatch()
        getattr(self, name)(**drawn)

    def submit(self, number: int) -> str:
        if number == 0:
            return self.scene.submit(briefs(TRACKS)).job_id
        return self.scene.submit(briefs(TRACKS + 2)[2:], budget=0.01).job_id

    def join(self, number: int) -> Worker:
        return self.scene.join(str(number), price_per_hour=3.6)

    # What the scheduler does

    def dispatch(self) -> None:
        """On a good day: everybody is there, there is work, and what is placed is claimed."""
        self._refresh()
        by_queue = {worker.queue: worker for worker in self.workers}
        for offer in self._placed():
            if offer.queue in by_queue:
                self.scene.claim(by_queue[offer.queue], offer)

    def _refresh(self) -> None:
        for number, worker in enumerate(self.workers):
            self.scene.beat(worker)
            if not self._is_live(number):
                self.leave_and_join(number)
        with self.database.read() as session:
            moving = {j.id for j in jobs.in_state(session, list(invariants.MOVING))}
        for number, job_id in enumerate(self.jobs):
            if job_id not in moving:
                self.submit_again(number)

    def place(self) -> None:
        self.offers += self._placed()

    def _placed(self) -> Sequence[Offer]:
        """Shards, or races when nothing waits, as the placer decides."""
        now = self.scene.clock()
        with self.database.read() as session:
            decided = self.leader.placer._decide(session, now)
        with self.database.write() as session:
            self.leader.leadership.require(session)
            return self.leader.placer._store(session, decided, now)

    def offer(self, job: int, number: int, who: int) -> None:
        with self.database.read() as session:
            moving = {j.id for j in jobs.in_state(session, list(invariants.MOVING))}
            now = self.scene.clock()
            waiting = pending.first_of(session, self.jobs[job], now=now, limit=number)
        if self.jobs[job] not in moving or not waiting:
            return
        ids = [t.id for t in waiting]
        made = self.scene.try_offer(self.workers[who], self.jobs[job], ids)
        assert made or not self._is_live(who), "nobody else takes tracks here"
        self.offers += [made] if made else []

    def _is_live(self, who: int) -> bool:
        return self.scene.worker(self.workers[who].id).state in rules.LIVE_STATES

    def race(self, job: int, who: int) -> None:
        """A second lease on what another worker has."""
        ids = self._loose(self.jobs[job], self.workers[who])
        made = self.scene.try_offer(self.workers[who], self.jobs[job], ids, race=True)
        if made is not None:
            self.scene.claim(self.workers[who], made)

    def _loose(self, job_id: str, rival: Worker) -> list[int]:
        """Tracks at work under one lease, which is not the rival's."""
        opened = self.scene.rows(Attempt, col(Attempt.state) == AttemptState.OPEN)
        queues = {lease.id: lease.queue for lease in self.scene.rows(Lease)}
        at = {
            i: [queues[a.lease_id] for a in opened if a.track_id == i]
            for i in self.scene.made_by(job_id, TrackState.LEASED)
        }
        return [i for i, lanes in at.items() if len(lanes) == 1 and rival.queue not in lanes]

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

    def change_the_leader(self) -> None:
        """The old one has slept: it still believes that it leads."""
        self.leader.leadership.resign()
        self.leader, self.other = self.other, self.leader
        self.leader.leadership.tick()
        assert self.other.leadership.leads

    def come_back_after_an_absence(self) -> None:
        self.scene.clock.advance(1000)
        self.leader.rescuer.recover()

    def lose_the_message(self, pick: int) -> None:
        """What the rescuer does once the message of an unclaimed offer has left its queue."""
        for offer in one_of(self.offers, pick):
            self._lose(offer)

    def _lose(self, offer: Offer) -> None:
        with self.database.write() as session:
            lease = leases.get(session, offer.lease_id)
            if lease is not None and lease.worker_id is None:
                now = self.scene.clock()
                self.leader.rescuer._end(session, offer.lease_id, "not claimed", now, 0.0)

    # What workers do

    def claim(self, pick: int, who: int | None) -> None:
        """By the worker it was offered to, or by any other."""
        for offer in one_of(self.offers, pick):
            self._claim(offer, who)

    def _claim(self, offer: Offer, who: int | None) -> None:
        queues = [worker.queue for worker in self.workers]
        if who is None and offer.queue not in queues:
            return
        caller = self.workers[queues.index(offer.queue) if who is None else who]
        if self._may_claim(offer, caller):
            assert caller.queue == offer.queue, "it was offered to another"
            self.scene.claim(caller, offer)

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

    def _holds(self) -> list[Hold]:
        """What is live and held by somebody who is still here, oldest first."""
        crew = {worker.id: number for number, worker in enumerate(self.workers)}
        live = self.scene.rows(Lease, col(Lease.state) == LeaseState.LIVE)
        return [
            (crew[lease.worker_id], Offer(lease.queue, lease.shard_id, lease.id))
            for lease in sorted(live, key=lambda lease: lease.claimed_at or 0)
            if lease.worker_id in crew
        ]

    def work_on(self, seconds: float) -> None:
        """Time passes, and everybody is heard; each names all leases, which extends its own."""
        holds = self._holds()
        for number, worker in enumerate(self.workers):
            live = self.scene.beat(worker, *[offer for _, offer in holds])
            assert live == {o.lease_id for who, o in holds if who == number}
        self.pass_time(seconds)

    def drain(self, who: int) -> None:
        self.scene.beat(self.workers[who], draining=True)

    def make(self, pick: int) -> None:
        """What is not reported yet, and may be late then."""
        for who, offer in one_of(self._holds(), pick):
            ids = self._open_under(offer)
            self.results += [(who, offer, self.scene.upload(offer, i)) for i in ids]

    def _open_under(self, offer: Offer) -> list[int]:
        return [a.track_id for a in self.scene.attempts(offer) if a.state == AttemptState.OPEN]

    def report(self, pick: int, who: int | None, spoil: bool) -> None:
        """Late, twice, by another worker, or of an object that has been spoilt meanwhile."""
        for holder, offer, done in one_of(self.results, pick):
            if spoil and self.scene.track(done.track_id).state != TrackState.DONE:
                self.scene.objects.content[done.object_key] = b"spoilt"
            self._deliver(holder if who is None else who, holder, offer, [done])

    def pass_off(self, pick: int, other: int) -> None:
        """Reports one track with the object of another."""
        for (holder, offer, done), (_, _, false) in zip(
            one_of(self.results, pick), one_of(self.results, other), strict=True
        ):
            lie = done.model_copy(update={"object_key": false.object_key})
            self._deliver(holder, holder, offer, [lie])

    def finish(self, pick: int) -> None:
        """All that is open under a lease."""
        for who, offer in one_of(self._holds(), pick):
            ids = self._open_under(offer)
            self._deliver(who, who, offer, [self.scene.upload(offer, i) for i in ids])

    def _deliver(self, by: int, holder: int, offer: Offer, done: Sequence[TrackDone]) -> None:
        (lease,) = self.scene.rows(Lease, col(Lease.id) == offer.lease_id)
        for verdict in self.scene.report(self.workers[by], offer, done=done):
            if verdict.verdict is Verdict.COMMITTED:
                assert by == holder
                assert lease.state == LeaseState.LIVE, "committed under a lease that had ended"
                number = self.committed.get(verdict.track_id, 0)
                self.committed[verdict.track_id] = number + 1

    def fail(self, pick: int, kind: FailureKind, all_of_it: bool) -> None:
        for who, offer in one_of(self._holds(), pick):
            ids = [a.track_id for a in self.scene.attempts(offer)]
            failed = ids if all_of_it else ids[:1]
            reporter = self.workers[who]
            self.scene.report(reporter, offer, failed=[failure(i, kind) for i in failed])

    def release(self, pick: int, all_of_it: bool) -> None:
        for _, offer in one_of(self._holds(), pick):
            ids = [a.track_id for a in self.scene.attempts(offer)]
            with self.database.write() as session:
                lease = leases.get(session, offer.lease_id)
                assert lease is not None
                some = ids if all_of_it else ids[:1]
                leases.release(session, lease, some, ReleaseReason.STOPPED, self.scene.clock())

    def leave_and_join(self, who: int) -> None:
        with self.database.write() as session:
            workers.leave(session, self.workers[who].id, self.scene.clock(), reason="drained")
        self.workers[who] = self.join(who)

    # What the operator does

    def ask(self, job: int, act: object) -> None:
        try:
            self.scene.change(self.jobs[job], act)  # type: ignore[arg-type]
        except NotAllowed:
            """The state of the job does not permit it."""

    def strand(self, job: int) -> None:
        """Work goes on for tracks that changed hands and were cancelled then."""
        self.ask(job, jobs.pause)
        self.ask(1 - job, jobs.cancel)

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
