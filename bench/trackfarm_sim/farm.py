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
from trackfarm_scheduler.policy.leases import heartbeat_interval
from trackfarm_scheduler.policy.models import NewShard
from trackfarm_scheduler.policy.retry import GiveUp, job_ending
from trackfarm_sim.event_queue import Agenda
from trackfarm_sim.ledger import LossLedger
from trackfarm_sim.loss_accounting import Accounts
from trackfarm_sim.loss_causes import Blame
from trackfarm_sim.machines import SimMachine
from trackfarm_sim.meters import SimMeters
from trackfarm_sim.policies.ours import HEARTBEAT
from trackfarm_sim.policies.rules import Policy
from trackfarm_sim.races import Contests
from trackfarm_sim.sampled_inputs import World
from trackfarm_sim.sim_worker import Desk, SimLease


class Stuck(RuntimeError):
    """Raised if no event is left and the work is not done."""


class SimFarm:
    """One run. `desks` are the workers known to the scheduler; `machines` are all machines so
    far."""

    def __init__(self, world: World, policy: Policy, *, keeps_stretches: bool = False) -> None:
        self.world, self.policy, self.rules = world, policy, policy.rules
        self.scenario, self.works = world.scenario, world.works
        if self.rules.longest_first:
            self.works.sort_longest_first()
        self.ledger = LossLedger(self.works)
        self.meters = SimMeters(keeps_stretches)
        self.desks: dict[str, Desk] = {}
        self.machines: list[SimMachine] = []
        rng = np.random.default_rng([world.seed, 3 << 32])
        self._blame = Blame(rng.random)
        self.agenda = Agenda()
        self._contests = Contests()
        self._accounts = Accounts(self.meters, self._fails)
        self._tick_at = math.inf
        self.meters.queued(self.rules.messages(self.ledger.total), 0.0)

    def run(self) -> JobState:
        """Run to the end of the job. Raises Stuck."""
        for slot in self.world.slots:
            self.join(next(slot), 0.0)
        if (ending := self.play()) is None:
            raise Stuck(f"{self.ledger.counts}, and no worker can make the rest")
        return ending

    def play(self) -> JobState | None:
        """Run until the job has ended; return None if the events run out first."""
        while self.agenda and not self.is_over:
            self.agenda.step()
        self._close(self.agenda.now)
        ending = job_ending(self.ledger.counts)
        return ending[0] if ending else None

    @property
    def is_over(self) -> bool:
        """True once every track is done or failed, or the job has failed."""
        ending = job_ending(self.ledger.counts) if self.ledger.failed else None
        return self.ledger.is_settled or (ending is not None and ending[0] is JobState.FAILED)

    def live_leases(self, track: int) -> int:
        leases: int = self._contests.live_leases(track)
        return max(1, leases)

    def settle_all(self, now: float) -> None:
        for desk in list(self.desks.values()):
            for lease in desk.leases:
                self._settle(lease, now)

    # machines

    def join(self, machine: SimMachine, now: float) -> Desk:
        desk = Desk(machine, self.scenario.model_set)
        self.machines.append(machine)
        self.desks[desk.id] = desk
        if machine.up_until < math.inf:
            self.agenda.at(machine.up_until, partial(self.preempt, desk))
        self._wake(now)
        return desk

    def preempt(self, desk: Desk, now: float) -> None:
        self.meters.preemptions += 1
        for lease in desk.leases:
            self._settle(lease, now)
        desk.died_at = now
        if desk.running is not None:
            desk.running.stopped_at = now
        for lease in desk.computed_or_running:
            self._accounts.close(lease)
        for lease in desk.leases:
            self._lose_lease(lease, now)
        self.agenda.at(now + self.scenario.lost_after, partial(self.leave, desk))
        for successor in self.world.successors(desk.machine):
            self.agenda.at(successor.up_from, partial(self.join, successor))

    def _lose_lease(self, lease: SimLease, died_at: float) -> None:
        at = self.rules.lost_at(lease.offered_at, died_at, self.scenario.lost_after)
        self.agenda.at(at, partial(self._hand_back, lease))

    def leave(self, desk: Desk, now: float) -> None:
        self.desks.pop(desk.id, None)
        self._wake(now)

    # shards

    def _wake(self, now: float, after: float = 0.0) -> None:
        """Schedule the policy's next tick."""
        tick = self.rules.tick
        at = now + after if tick == 0 else (math.floor((now + after) / tick) + 1) * tick
        if at < self._tick_at:
            self._tick_at = at
            self.agenda.at(at, self._tick)

    def _tick(self, now: float) -> None:
        if now < self._tick_at:
            return
        self._tick_at = math.inf
        decision = self.policy.decide(self, now)
        if decision.is_race and decision.shards:
            raced = {track for shard in decision.shards for track in shard.track_ids}
            for lease in self._contests.open(raced, self.desks.values()):
                self._watch(lease, now)
        for shard in decision.shards:
            self._offer(shard, now, is_race=decision.is_race)
        if decision.again_after is not None and not self.ledger.is_settled:
            self._wake(now, decision.again_after)

    def _offer(self, shard: NewShard, now: float, *, is_race: bool) -> None:
        desk, tracks = self.desks[shard.worker_id], list(shard.track_ids)
        ready_at = now + self.scenario.handover_seconds
        lease = SimLease(desk, tracks, shard.expected_seconds, now, ready_at, is_contested=is_race)
        if is_race:
            self._contests.join(lease)
        else:
            self.ledger.lease(tracks)
        self.meters.shards += 1
        self.meters.races += is_race
        self.meters.queued(1 - self.rules.messages(len(tracks)), now)
        desk.queue.append(lease)
        if desk.died_at is not None:
            self._lose_lease(lease, desk.died_at)
        elif desk.running is None:
            self.agenda.at(ready_at, partial(self._begin, desk))

    def _begin(self, desk: Desk, now: float) -> None:
        if desk.running is not None or desk.died_at is not None or not desk.queue:
            return
        lease = desk.queue[0]
        if lease.ready_at > now:
            self.agenda.at(lease.ready_at, partial(self._begin, desk))
            return
        desk.queue.popleft()
        desk.running = lease
        self.meters.queued(-1, now)
        lease.started_at = now + self.rules.overhead
        machine = desk.machine
        lease.costs, lease.ends = self.world.times(machine, lease.tracks, lease.started_at)
        self.agenda.at(lease.ends[-1], partial(self._computed, lease))
        self._watch(lease, now)

    def _watch(self, lease: SimLease, now: float) -> None:
        """Schedule a look at a shard for each report with a time that matters to other workers."""
        for track, end in zip(lease.tracks, lease.ends, strict=False):
            matters = lease.is_contested or self._fails(track, lease)
            at = end + self.scenario.finish_seconds
            if matters and at > now and track in lease.open:
                self.agenda.at(at, partial(self._settle, lease))

    def _computed(self, lease: SimLease, now: float) -> None:
        if lease.desk.running is not lease or lease.desk.died_at is not None:
            return
        lease.desk.finishing.append(lease)
        self.agenda.at(now + self.scenario.finish_seconds, partial(self._reported, lease))
        self._free_engine(lease, now)

    def _free_engine(self, lease: SimLease, now: float) -> None:
        lease.stopped_at = now
        lease.desk.running = None
        self._begin(lease.desk, now)

    def _reported(self, lease: SimLease, now: float) -> None:
        self._settle(lease, now)
        self._accounts.close(lease)
        if lease.desk.died_at is None:
            lease.desk.finishing.remove(lease)
        self._wake(now)

    # results

    def _fails(self, track: int, lease: SimLease) -> bool:
        return lease.desk.machine.is_bad or track in self.works.poisoned

    def _settle(self, lease: SimLease, now: float) -> None:
        """Process the results that a shard has reported by now."""
        first, desk = lease.settled, lease.desk
        if not lease.is_live or first == len(lease.tracks):
            return
        lease.settled += lease.reported(now, self.scenario.finish_seconds)
        if first == lease.settled:
            return
        answered = [t for t in lease.tracks[first : lease.settled] if t in lease.open]
        lease.open.difference_update(answered)
        bad = [t for t in answered if self._fails(t, lease)]
        good = [t for t in answered if t not in bad] if bad else answered
        at = lease.ends[lease.settled - 1] + self.scenario.finish_seconds
        begun = lease.ends[first - 1] if first else lease.started_at
        took = lease.ends[lease.settled - 1] - begun
        desk.learn(sum(lease.costs[first : lease.settled]), took, lease.settled - first)
        self._commit(lease, good, at, now)
        self._rule(lease, bad, now)
        self._end_if_empty(lease, now)

    def _commit(self, lease: SimLease, good: list[int], at: float, now: float) -> None:
        if not good:
            return
        self.ledger.commit(good, at)
        lease.won.update(good)
        for loser in self._contests.won(good, lease):
            self._end_if_empty(loser, now)
        for bad in self._blame.disproved(good, lease.desk) if self.rules.blames else ():
            self._quarantine(bad, now)

    def _end_if_empty(self, lease: SimLease, now: float) -> None:
        if lease.is_live and not lease.open:
            self._end(lease, now)

    def _end(self, lease: SimLease, now: float) -> None:
        """End a lease; its worker learns of it with its next heartbeat."""
        desk, lease.is_live = lease.desk, False
        if lease in desk.queue:
            desk.queue.remove(lease)
            self.meters.queued(-1, now)
        elif desk.running is lease and desk.died_at is None:
            beat = heartbeat_interval(len(self.desks), slowest=HEARTBEAT)
            self.agenda.at(now + beat, partial(self._stop, lease))
        self._wake(now)

    def _stop(self, lease: SimLease, now: float) -> None:
        if lease.desk.running is lease and lease.desk.died_at is None:
            self._free_engine(lease, now)
            self._accounts.close(lease)

    def _hand_back(self, lease: SimLease, now: float) -> None:
        if not lease.is_live:
            return
        self._end(lease, now)
        free = [t for t in sorted(lease.open) if not self._contests.live_leases(t)]
        self._give_back(free, now)

    def _give_back(self, tracks: Sequence[int], now: float) -> None:
        self.ledger.give_back(tracks, {t: self._blame.avoid(t) for t in tracks})
        self.meters.queued(self.rules.messages(len(tracks)), now)
        self._wake(now)

    # failures

    def _rule(self, lease: SimLease, bad: Sequence[int], now: float) -> None:
        for track in bad:
            ruling = self._blame.rule(track, lease.desk, len(self.desks))
            if self._contests.live_leases(track):
                continue
            if isinstance(ruling, GiveUp):
                self.ledger.give_up(track, now)
            else:
                self.agenda.at(now + ruling.delay, partial(self._give_back, [track]))

    def _quarantine(self, desk: Desk, now: float) -> None:
        if self.desks.pop(desk.id, None) is None:
            return
        self.meters.quarantines += 1
        for lease in desk.leases:
            self._hand_back(lease, now)
        given_up = [t for t in self._blame.forgive(desk) if self.ledger.is_given_up(t)]
        for track in given_up:
            self.ledger.reopen(track)
        self._give_back(given_up, now)

    def _close(self, now: float) -> None:
        """Account for the engines that still compute when the job is over."""
        for desk in self.desks.values():
            if desk.running is not None and desk.died_at is None:
                desk.running.stopped_at = now
            for lease in desk.computed_or_running:
                self._accounts.close(lease)
