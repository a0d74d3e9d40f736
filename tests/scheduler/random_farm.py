"""Stateful test of a farm: any event in any order, with invariants checked after each step."""

from collections.abc import Sequence
from contextlib import suppress

from hypothesis.stateful import initialize, invariant, rule
from sqlmodel import col

from tests.scheduler import invariants
from tests.scheduler.farm_fixture import LEASE_SECONDS, URL_SECONDS, failure
from tests.scheduler.random_steps import NEEDS_WORK, STEPS, WORKERS, Hold, Step, pick_one
from tests.scheduler.random_two_schedulers import TRACKS, TwoSchedulerFarm
from trackfarm.protocol.operator import TrackState, WorkerState
from trackfarm.protocol.worker import FailureKind, ReleaseReason, ReportVerdict, TrackDone
from trackfarm_scheduler.db import jobs, leases
from trackfarm_scheduler.db.jobs import NotAllowed
from trackfarm_scheduler.db.offers import ShardOffer
from trackfarm_scheduler.db.tables import JobRow, LeaseRow, WorkerRow
from trackfarm_scheduler.policy import leases as rules
from trackfarm_scheduler.policy.leases import ClaimVerdict
from trackfarm_scheduler.policy.models import ClaimFacts
from trackfarm_scheduler.policy.states import AttemptState, LeaseState


class RandomFarm(TwoSchedulerFarm):
    """Farm in which a worker reports under any lease it ever held, at any time and any number of
    times."""

    @initialize()
    def start_with_work(self) -> None:
        self.jobs = [self.submit(0), self.submit(1)]
        self.workers = [self.join(number) for number in range(WORKERS)]
        self.dispatch()

    @rule(step=STEPS)
    def take_step(self, step: Step) -> None:
        name, arguments = step
        if name in NEEDS_WORK and not self._holds():
            self.dispatch()
        getattr(self, name)(**arguments)

    # Worker actions

    def claim(self, choice: int, worker_index: int | None) -> None:
        """Claim an offer as its own worker, or as any other."""
        for offer in pick_one(self.offers, choice):
            self._claim(offer, worker_index)

    def _claim(self, offer: ShardOffer, worker_index: int | None) -> None:
        queues = [worker.queue for worker in self.workers]
        if worker_index is None and offer.queue not in queues:
            return
        caller = self.workers[queues.index(offer.queue) if worker_index is None else worker_index]
        if self._may_claim(offer, caller):
            assert caller.queue == offer.queue, "it was offered to another worker"
            self.farm.claim(caller, offer)

    def _may_claim(self, offer: ShardOffer, worker: WorkerRow) -> bool:
        with self.database.read() as session:
            lease = leases.get(session, offer.lease_id)
            assert lease is not None
            job = session.get(JobRow, lease.job_id)
            assert job is not None
            facts = ClaimFacts(LeaseState(lease.state), lease.worker_id, lease.queue, job.state)  # type: ignore[arg-type]
        gone = self.farm.worker(worker.id).state == WorkerState.GONE
        verdict = rules.judge_claim(facts, worker_id=worker.id, worker_queue=worker.queue)
        return verdict is ClaimVerdict.GRANTED and not gone

    def _holds(self) -> list[Hold]:
        """Return the live leases of workers that are still here, oldest first."""
        number_of = {worker.id: number for number, worker in enumerate(self.workers)}
        live = self.farm.rows(LeaseRow, col(LeaseRow.state) == LeaseState.LIVE)
        return [
            (number_of[lease.worker_id], ShardOffer(lease.queue, lease.shard_id, lease.id))
            for lease in sorted(live, key=lambda lease: lease.claimed_at or 0)
            if lease.worker_id in number_of
        ]

    def work_on(self, seconds: float) -> None:
        """Send heartbeats of all workers, then let time pass; each names all leases and extends
        only its own."""
        holds = self._holds()
        for number, worker in enumerate(self.workers):
            live = self.farm.heartbeat(worker, *[offer for _, offer in holds])
            assert live == {o.lease_id for worker_index, o in holds if worker_index == number}
        self.pass_time(seconds)

    def drain(self, worker_index: int) -> None:
        self.farm.heartbeat(self.workers[worker_index], draining=True)

    def make(self, choice: int) -> None:
        """Upload results that are not reported yet, and may be late then."""
        for worker_index, offer in pick_one(self._holds(), choice):
            ids = self._open_under(offer)
            self.results += [(worker_index, offer, self.farm.upload(offer, i)) for i in ids]

    def _open_under(self, offer: ShardOffer) -> list[int]:
        return [a.track_id for a in self.farm.attempts(offer) if a.state == AttemptState.OPEN]

    def report(self, choice: int, worker_index: int | None, spoil: bool) -> None:
        """Report late, twice, as another worker, or with an object corrupted since its upload."""
        for holder, offer, done in pick_one(self.results, choice):
            if spoil and self.farm.track(done.track_id).state != TrackState.DONE:
                self.farm.objects.content[done.object_key] = b"spoilt"
            self._deliver(holder if worker_index is None else worker_index, holder, offer, [done])

    def report_late(self, choice: int) -> None:
        """Let a lease expire and its tracks go to others, then report its results."""
        for worker_index, offer in pick_one(self._holds(), choice):
            done = [self.farm.upload(offer, i) for i in self._open_under(offer)]
            while offer in [held for _, held in self._holds()]:
                for worker in self.workers:
                    self.farm.heartbeat(worker)
                self.pass_time(LEASE_SECONDS / 2)
            self.dispatch()
            self._deliver(worker_index, worker_index, offer, done)

    def pass_off(self, choice: int, other: int) -> None:
        """Report one track with the object of another."""
        for (holder, offer, done), (_, _, false) in zip(
            pick_one(self.results, choice), pick_one(self.results, other), strict=True
        ):
            false_result = done.model_copy(update={"object_key": false.object_key})
            self._deliver(holder, holder, offer, [false_result])

    def finish(self, choice: int) -> None:
        """Report all open tracks of a lease as done."""
        for worker_index, offer in pick_one(self._holds(), choice):
            ids = self._open_under(offer)
            self._deliver(
                worker_index, worker_index, offer, [self.farm.upload(offer, i) for i in ids]
            )

    def _deliver(self, by: int, holder: int, offer: ShardOffer, done: Sequence[TrackDone]) -> None:
        (lease,) = self.farm.rows(LeaseRow, col(LeaseRow.id) == offer.lease_id)
        for verdict in self.farm.report(self.workers[by], offer, done=done):
            if verdict.verdict is ReportVerdict.COMMITTED:
                assert by == holder
                assert lease.state == LeaseState.LIVE, "committed under a lease that had ended"
                number = self.committed.get(verdict.track_id, 0)
                self.committed[verdict.track_id] = number + 1

    def fail(self, choice: int, kind: FailureKind, all_of_it: bool) -> None:
        for worker_index, offer in pick_one(self._holds(), choice):
            ids = [a.track_id for a in self.farm.attempts(offer)]
            failed = ids if all_of_it else ids[:1]
            reporter = self.workers[worker_index]
            self.farm.report(reporter, offer, failed=[failure(i, kind) for i in failed])

    def release(self, choice: int, all_of_it: bool) -> None:
        for _, offer in pick_one(self._holds(), choice):
            ids = [a.track_id for a in self.farm.attempts(offer)]
            with self.database.write() as session:
                lease = leases.get(session, offer.lease_id)
                assert lease is not None
                returned_ids = ids if all_of_it else ids[:1]
                leases.release(
                    session, lease, returned_ids, ReleaseReason.STOPPED, self.farm.clock()
                )

    def swap(self, choice: int) -> None:
        """Replace the object of a committed artifact, which the artifact verifier detects."""
        loose = [a for a in self.farm.artifacts() if a.verified_at is None]
        for artifact in pick_one(loose, choice):
            self.farm.objects.content[artifact.object_key] = b"another"
            self.farm.clock.advance(URL_SECONDS + 1)
            self.leader.artifact_verifier.tick()
            assert artifact.object_key not in self.farm.objects.content
            del self.committed[artifact.track_id]

    # Operator actions

    def ask(self, job: int, act: object) -> None:
        with suppress(NotAllowed):  # in some job states
            self.farm.change(self.jobs[job], act)  # type: ignore[arg-type]

    def remove(self, job: int) -> None:
        self.ask(job, jobs.remove)
        if self.farm.job(self.jobs[job]).removed_at is not None:
            self.submit_again(job)

    def strand(self, job: int) -> None:
        """Cancel tracks that passed to another job while they are still being made."""
        self.ask(job, jobs.pause)
        self.ask(1 - job, jobs.cancel)

    @invariant()
    def invariants_hold(self) -> None:
        with self.database.read() as session:
            invariants.check(session)
        stored = set(self.farm.objects.content)
        for job_id in self.jobs:
            assert len(self.farm.track_ids(job_id)) == TRACKS
        assert all(number == 1 for number in self.committed.values())
        for artifact in self.farm.artifacts():
            assert artifact.object_key in stored, "a finished track was deleted"
