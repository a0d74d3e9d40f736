"""The simulated farm: machines join, compute, report and leave; a policy assigns the tracks.

All delays of the real farm are modelled: message and claim (`handover_seconds`), upload and report
(`finish_seconds`), detection of a lost worker (`lost_after`), and the heartbeat that stops a
superseded shard.
"""

import math
from collections.abc import Sequence
from functools import partial

import numpy as np

from trackfarm.protocol.operator import JobState
from trackfarm_scheduler.policy.leases import SLOWEST_HEARTBEAT_SECONDS, heartbeat_interval
from trackfarm_scheduler.policy.models import NewShard
from trackfarm_scheduler.policy.retry import GiveUp, job_ending
from trackfarm_sim.event_queue import EventQueue
from trackfarm_sim.failures import FailureLog
from trackfarm_sim.ledger import TrackLedger
from trackfarm_sim.loss_accounting import LossAccounting
from trackfarm_sim.machines import SimMachine
from trackfarm_sim.meters import SimMeters
from trackfarm_sim.policies.rules import Policy
from trackfarm_sim.races import Races
from trackfarm_sim.sampled_inputs import SampledInputs
from trackfarm_sim.sim_worker import SimLease, SimWorker


class Stuck(RuntimeError):
    """Raised if no event is left and the work is not done."""


class SimFarm:
    """One run. `workers` are the workers known to the scheduler; `machines` are all machines so
    far."""

    def __init__(
        self, inputs: SampledInputs, policy: Policy, *, keeps_intervals: bool = False
    ) -> None:
        self.inputs, self.policy, self.rules = inputs, policy, policy.rules
        self.scenario, self.workload = inputs.scenario, inputs.workload
        if self.rules.longest_first:
            self.workload.sort_longest_first()
        self.ledger = TrackLedger(self.workload)
        self.meters = SimMeters(keeps_intervals)
        self.workers: dict[str, SimWorker] = {}
        self.machines: list[SimMachine] = []
        rng = np.random.default_rng([inputs.seed, 3 << 32])
        self._failures = FailureLog(rng.random)
        self.events = EventQueue()
        self._races = Races()
        self._accounting = LossAccounting(self.meters, self._fails)
        self._tick_at = math.inf
        self.meters.queued(self.rules.messages(self.ledger.total), 0.0)

    def run(self) -> JobState:
        """Run to the end of the job. Raises Stuck."""
        for slot in self.inputs.slots:
            self.join(next(slot), 0.0)
        if (ending := self.play()) is None:
            raise Stuck(f"{self.ledger.counts}, and no worker can make the rest")
        return ending

    def play(self) -> JobState | None:
        """Run until the job has ended; return None if the events run out first."""
        while self.events and not self.is_over:
            self.events.step()
        self._close(self.events.now)
        ending = job_ending(self.ledger.counts)
        return ending[0] if ending else None

    @property
    def is_over(self) -> bool:
        """True once every track is done or failed, or the job has failed."""
        ending = job_ending(self.ledger.counts) if self.ledger.failed else None
        return self.ledger.is_finished or (ending is not None and ending[0] is JobState.FAILED)

    def live_leases(self, track: int) -> int:
        return max(1, self._races.live_leases(track))

    def process_reports(self, now: float) -> None:
        for worker in list(self.workers.values()):
            for lease in worker.leases:
                self._process_reports(lease, now)

    # machines

    def join(self, machine: SimMachine, now: float) -> SimWorker:
        worker = SimWorker(machine, self.scenario.model_set)
        self.machines.append(machine)
        self.workers[worker.id] = worker
        if machine.up_until < math.inf:
            self.events.schedule(machine.up_until, partial(self.preempt, worker))
        self._schedule_tick(now)
        return worker

    def preempt(self, worker: SimWorker, now: float) -> None:
        self.meters.preemptions += 1
        for lease in worker.leases:
            self._process_reports(lease, now)
        worker.died_at = now
        if worker.running is not None:
            worker.running.stopped_at = now
        for lease in worker.computed_or_running:
            self._accounting.close(lease)
        for lease in worker.leases:
            self._lose_lease(lease, now)
        self.events.schedule(now + self.scenario.lost_after, partial(self.leave, worker))
        for successor in self.inputs.successors(worker.machine):
            self.events.schedule(successor.up_from, partial(self.join, successor))

    def _lose_lease(self, lease: SimLease, died_at: float) -> None:
        at = self.rules.lost_at(lease.offered_at, died_at, self.scenario.lost_after)
        self.events.schedule(at, partial(self._return_lease, lease))

    def leave(self, worker: SimWorker, now: float) -> None:
        self.workers.pop(worker.id, None)
        self._schedule_tick(now)

    # shards

    def _schedule_tick(self, now: float, after: float = 0.0) -> None:
        """Schedule the policy's next tick."""
        tick = self.rules.tick
        at = now + after if tick == 0 else (math.floor((now + after) / tick) + 1) * tick
        if at < self._tick_at:
            self._tick_at = at
            self.events.schedule(at, self._tick)

    def _tick(self, now: float) -> None:
        if now < self._tick_at:
            return
        self._tick_at = math.inf
        decision = self.policy.decide(self, now)
        if decision.is_race and decision.shards:
            raced = {track for shard in decision.shards for track in shard.track_ids}
            for lease in self._races.start(raced, self.workers.values()):
                self._schedule_reports(lease, now)
        for shard in decision.shards:
            self._offer(shard, now, is_race=decision.is_race)
        if decision.next_in_seconds is not None and not self.ledger.is_finished:
            self._schedule_tick(now, decision.next_in_seconds)

    def _offer(self, shard: NewShard, now: float, *, is_race: bool) -> None:
        worker, tracks = self.workers[shard.worker_id], list(shard.track_ids)
        ready_at = now + self.scenario.handover_seconds
        lease = SimLease(worker, tracks, shard.expected_seconds, now, ready_at, is_raced=is_race)
        if is_race:
            self._races.add(lease)
        else:
            self.ledger.lease(tracks)
        self.meters.shards += 1
        self.meters.races += is_race
        self.meters.queued(1 - self.rules.messages(len(tracks)), now)
        worker.queue.append(lease)
        if worker.died_at is not None:
            self._lose_lease(lease, worker.died_at)
        elif worker.running is None:
            self.events.schedule(ready_at, partial(self._start_next, worker))

    def _start_next(self, worker: SimWorker, now: float) -> None:
        if worker.running is not None or worker.died_at is not None or not worker.queue:
            return
        lease = worker.queue[0]
        if lease.ready_at > now:
            self.events.schedule(lease.ready_at, partial(self._start_next, worker))
            return
        worker.queue.popleft()
        worker.running = lease
        self.meters.queued(-1, now)
        lease.started_at = now + self.rules.overhead
        machine = worker.machine
        lease.costs, lease.ends = self.inputs.times(machine, lease.tracks, lease.started_at)
        self.events.schedule(lease.ends[-1], partial(self._computed, lease))
        self._schedule_reports(lease, now)

    def _schedule_reports(self, lease: SimLease, now: float) -> None:
        """Schedule the processing of each report with a time that matters to other workers."""
        for track, end in zip(lease.tracks, lease.ends, strict=False):
            matters = lease.is_raced or self._fails(track, lease)
            at = end + self.scenario.finish_seconds
            if matters and at > now and track in lease.open_tracks:
                self.events.schedule(at, partial(self._process_reports, lease))

    def _computed(self, lease: SimLease, now: float) -> None:
        if lease.worker.running is not lease or lease.worker.died_at is not None:
            return
        lease.worker.finishing.append(lease)
        self.events.schedule(now + self.scenario.finish_seconds, partial(self._reported, lease))
        self._free_engine(lease, now)

    def _free_engine(self, lease: SimLease, now: float) -> None:
        lease.stopped_at = now
        lease.worker.running = None
        self._start_next(lease.worker, now)

    def _reported(self, lease: SimLease, now: float) -> None:
        self._process_reports(lease, now)
        self._accounting.close(lease)
        if lease.worker.died_at is None:
            lease.worker.finishing.remove(lease)
        self._schedule_tick(now)

    # results

    def _fails(self, track: int, lease: SimLease) -> bool:
        return lease.worker.machine.is_bad or track in self.workload.poisoned

    def _process_reports(self, lease: SimLease, now: float) -> None:
        """Process the results that a shard has reported by now."""
        report = lease.take_report(now, self.scenario.finish_seconds)
        if report is None:
            return
        failed = [t for t in report.tracks if self._fails(t, lease)]
        done = [t for t in report.tracks if t not in failed] if failed else report.tracks
        self._commit(lease, done, report.at, now)
        self._handle_failures(lease, failed, now)
        self._end_if_empty(lease, now)

    def _commit(self, lease: SimLease, tracks: list[int], at: float, now: float) -> None:
        if not tracks:
            return
        self.ledger.commit(tracks, at)
        lease.committed.update(tracks)
        for loser in self._races.finish(tracks, lease):
            self._end_if_empty(loser, now)
        if self.rules.finds_bad_workers:
            for worker in self._failures.disprove(tracks, lease.worker):
                self._quarantine(worker, now)

    def _end_if_empty(self, lease: SimLease, now: float) -> None:
        if lease.is_live and not lease.open_tracks:
            self._end(lease, now)

    def _end(self, lease: SimLease, now: float) -> None:
        """End a lease; its worker learns of it with its next heartbeat."""
        worker, lease.is_live = lease.worker, False
        if lease in worker.queue:
            worker.queue.remove(lease)
            self.meters.queued(-1, now)
        elif worker.running is lease and worker.died_at is None:
            interval = heartbeat_interval(len(self.workers), slowest=SLOWEST_HEARTBEAT_SECONDS)
            self.events.schedule(now + interval, partial(self._stop, lease))
        self._schedule_tick(now)

    def _stop(self, lease: SimLease, now: float) -> None:
        if lease.worker.running is lease and lease.worker.died_at is None:
            self._free_engine(lease, now)
            self._accounting.close(lease)

    def _return_lease(self, lease: SimLease, now: float) -> None:
        if not lease.is_live:
            return
        self._end(lease, now)
        unheld = [t for t in sorted(lease.open_tracks) if not self._races.live_leases(t)]
        self._return_tracks(unheld, now)

    def _return_tracks(self, tracks: Sequence[int], now: float) -> None:
        self.ledger.return_tracks(tracks, {t: self._failures.failed_by(t) for t in tracks})
        self.meters.queued(self.rules.messages(len(tracks)), now)
        self._schedule_tick(now)

    # failures

    def _handle_failures(self, lease: SimLease, tracks: Sequence[int], now: float) -> None:
        for track in tracks:
            ruling = self._failures.judge(track, lease.worker, len(self.workers))
            if self._races.live_leases(track):
                continue
            if isinstance(ruling, GiveUp):
                self.ledger.mark_failed(track, now)
            else:
                self.events.schedule(now + ruling.delay, partial(self._return_tracks, [track]))

    def _quarantine(self, worker: SimWorker, now: float) -> None:
        if self.workers.pop(worker.id, None) is None:
            return
        self.meters.quarantines += 1
        for lease in worker.leases:
            self._return_lease(lease, now)
        failed = [t for t in self._failures.forget(worker) if self.ledger.has_failed(t)]
        for track in failed:
            self.ledger.reopen(track)
        self._return_tracks(failed, now)

    def _close(self, now: float) -> None:
        """Account for the engines that still compute when the job is over."""
        for worker in self.workers.values():
            if worker.running is not None and worker.died_at is None:
                worker.running.stopped_at = now
            for lease in worker.computed_or_running:
                self._accounting.close(lease)
