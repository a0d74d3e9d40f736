"""Stateful test of a farm, base class: jobs, workers, and the actions of two schedulers."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from hypothesis.stateful import RuleBasedStateMachine
from sqlmodel import col

from tests.scheduler import invariants
from tests.scheduler.farm_fixture import FarmFixture, briefs
from tests.scheduler.random_steps import Result, pick_one
from tests.scheduler.scheduler_loops import Scheduler
from trackfarm.protocol.operator import TrackState
from trackfarm_scheduler.db import jobs, leases, pending, workers
from trackfarm_scheduler.db.database import Database
from trackfarm_scheduler.db.offers import ShardOffer
from trackfarm_scheduler.db.tables import AttemptRow, JobRow, LeaseRow, WorkerRow
from trackfarm_scheduler.policy.states import LIVE_STATES, AttemptState, LeaseState

TRACKS = 6


class TwoSchedulerFarm(RuleBasedStateMachine):
    """Farm with two catalogs that share tracks, one with a small budget; three workers, two
    schedulers, and a broker that has always lost everything."""

    template: Path

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="trackfarm-order-"))
        shutil.copy(self.template, self.folder / "farm.db")
        self.database = Database(f"sqlite:///{self.folder / 'farm.db'}")
        self.farm = FarmFixture(self.database)
        self.farm.objects.writes_once = False
        self.farm.leadership.release()
        self.leader, self.other = (Scheduler(self.farm, name) for name in ("one", "other"))
        self.leader.leadership.tick()
        self.jobs: list[str] = []
        self.workers: list[WorkerRow] = []
        self.committed: dict[int, int] = {}
        self.offers: list[ShardOffer] = []
        self.results: list[Result] = []

    def teardown(self) -> None:
        for scheduler in (self.leader, self.other):
            scheduler.broker.close()
        self.database.close()
        shutil.rmtree(self.folder)

    def submit(self, number: int) -> str:
        if number == 0:
            return self.farm.submit(briefs(TRACKS)).job_id
        return self.farm.submit(briefs(TRACKS + 2)[2:], budget=0.01).job_id

    def join(self, number: int) -> WorkerRow:
        return self.farm.join(str(number), price_per_hour=3.6)

    def leave_and_join(self, worker_index: int) -> None:
        with self.database.write() as session:
            workers.leave(
                session, self.workers[worker_index].id, self.farm.clock(), reason="drained"
            )
        self.workers[worker_index] = self.join(worker_index)

    def submit_again(self, job: int) -> None:
        self.jobs[job] = self.submit(job)

    # Scheduler actions

    def dispatch(self) -> None:
        """Take the normal path: all workers are live, there is work, and every placed shard is
        claimed."""
        self._refresh()
        by_queue = {worker.queue: worker for worker in self.workers}
        for offer in self._placed():
            if offer.queue in by_queue:
                self.farm.claim(by_queue[offer.queue], offer)

    def _refresh(self) -> None:
        for number, worker in enumerate(self.workers):
            self.farm.heartbeat(worker)
            if not self._is_live(number):
                self.leave_and_join(number)
        with self.database.read() as session:
            moving = {j.id for j in jobs.list_in_state(session, list(invariants.IN_PROGRESS))}
        for number, job_id in enumerate(self.jobs):
            if job_id not in moving:
                self.submit_again(number)

    def place(self) -> None:
        self.offers += self._placed()

    def _placed(self) -> Sequence[ShardOffer]:
        """Return shards, or speculative copies when no track waits, as the placer decides."""
        now = self.farm.clock()
        with self.database.read() as session:
            decided = self.leader.placer._decide(session, now)
        with self.database.write() as session:
            self.leader.leadership.require(session)
            return self.leader.placer._store(session, decided, now)

    def offer(self, job: int, number: int, worker_index: int) -> None:
        with self.database.read() as session:
            moving = {j.id for j in jobs.list_in_state(session, list(invariants.IN_PROGRESS))}
            now = self.farm.clock()
            waiting = pending.list_first(session, self.jobs[job], now=now, limit=number)
        if self.jobs[job] not in moving or not waiting:
            return
        ids = [t.id for t in waiting]
        offer = self.farm.try_offer(self.workers[worker_index], self.jobs[job], ids)
        assert offer or not self._is_live(worker_index), "no other action takes tracks here"
        self.offers += [offer] if offer else []

    def _is_live(self, worker_index: int) -> bool:
        return self.farm.worker(self.workers[worker_index].id).state in LIVE_STATES

    def race(self, job: int, worker_index: int) -> None:
        """Lease tracks of another worker a second time."""
        ids = self._loose(self.jobs[job], self.workers[worker_index])
        offer = self.farm.try_offer(self.workers[worker_index], self.jobs[job], ids, race=True)
        if offer is not None:
            self.farm.claim(self.workers[worker_index], offer)

    def _loose(self, job_id: str, rival: WorkerRow) -> list[int]:
        """Return tracks in progress under exactly one lease, other than the rival's."""
        opened = self.farm.rows(AttemptRow, col(AttemptRow.state) == AttemptState.OPEN)
        queues = {lease.id: lease.queue for lease in self.farm.rows(LeaseRow)}
        at = {
            i: [queues[a.lease_id] for a in opened if a.track_id == i]
            for i in self.farm.owned_tracks(job_id, TrackState.LEASED)
        }
        return [
            i
            for i, queues_of_track in at.items()
            if len(queues_of_track) == 1 and rival.queue not in queues_of_track
        ]

    def pass_time(self, seconds: float) -> None:
        self.farm.clock.advance(seconds)
        before = self._actions()
        self.other.tick()
        assert self._actions() == before, "the scheduler that does not lead acted"
        self.leader.tick()
        self.leader.orphan_cleaner.tick()

    def _actions(self) -> tuple[int, list[str]]:
        ended = self.farm.count(LeaseRow, col(LeaseRow.state) == LeaseState.ENDED)
        return ended, [job.state for job in self.farm.rows(JobRow)]

    def change_the_leader(self) -> None:
        """Switch leaders; the old one was suspended and still believes that it leads."""
        self.leader.leadership.release()
        self.leader, self.other = self.other, self.leader
        self.leader.leadership.tick()
        assert self.other.leadership.leads

    def come_back_after_an_absence(self) -> None:
        self.farm.clock.advance(1000)
        self.leader.rescuer.recover()

    def lose_the_message(self, choice: int) -> None:
        """End an unclaimed offer, as the rescuer does when its message has left the queue."""
        for offer in pick_one(self.offers, choice):
            self._lose(offer)

    def _lose(self, offer: ShardOffer) -> None:
        with self.database.write() as session:
            lease = leases.get(session, offer.lease_id)
            if lease is not None and lease.worker_id is None:
                now = self.farm.clock()
                self.leader.rescuer._end(session, offer.lease_id, "not claimed", now, 0.0)
