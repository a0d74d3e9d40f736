"""The scheduler's own policy: `placement.place` each tick, `speculation.race` if no track waits."""

from collections.abc import Sequence

from trackfarm_scheduler.policy.leases import (
    MISSED_BEATS,
    SLOWEST_HEARTBEAT_SECONDS,
    heartbeat_interval,
)
from trackfarm_scheduler.policy.models import (
    MAX_SHARD_TRACKS,
    JobPriority,
    JobView,
    Lane,
    NewShard,
    OpenTrack,
    Straggler,
    WorkerView,
)
from trackfarm_scheduler.policy.placement import (
    SHARDS_AHEAD,
    WINDOW_PER_PLACE,
    place,
)
from trackfarm_scheduler.policy.speculation import plan_copies
from trackfarm_sim.policies.rules import PolicyRules, SimDecision, SimView
from trackfarm_sim.sim_worker import SimLease, SimWorker
from trackfarm_sim.workload import prior

MAX_WINDOW = 5_000  # tracks; bounds the memory of a large farm
STRAGGLER_CHECK_S = 1.0  # the scheduler checks four times as often


class OurPolicy:
    rules = PolicyRules()

    def decide(self, farm: SimView, now: float) -> SimDecision:
        staying = [worker for worker in farm.workers.values() if not worker.is_draining]
        free = [worker for worker in staying if worker.load < SHARDS_AHEAD]
        # Returned tracks also go to workers that already have enough shards.
        eligible = staying if farm.ledger.has_returned_tracks else free
        shards = self._place(farm, eligible, now) if eligible and farm.ledger.pending else []
        if shards:
            return SimDecision(shards)
        idle = [_view(worker) for worker in free if not worker.load]
        if not idle:
            return SimDecision()
        copies = plan_copies(stragglers(farm, now), idle)
        return SimDecision(copies, is_race=True, next_in_seconds=STRAGGLER_CHECK_S)

    def _place(self, farm: SimView, eligible: Sequence[SimWorker], now: float) -> list[NewShard]:
        places = sum(max(0, SHARDS_AHEAD - worker.load) for worker in eligible) or len(eligible)
        waiting = farm.ledger.window(min(MAX_WINDOW, WINDOW_PER_PLACE * places))
        priority = JobPriority(
            lane=Lane.BATCH,
            level=0,
            created_at=0.0,
            last_shard_at=now,
            in_flight_seconds=0.0,
            seconds_left=_seconds_left(farm),
        )
        name = farm.scenario.model_set
        job = JobView("job", name, priority, waiting, farm.ledger.pending)
        return place(
            [job],
            [_view(worker) for worker in eligible],
            shard_seconds=farm.scenario.shard_seconds,
            now=now,
            workers_per_model_set={name: len(farm.workers)},
        )


def _view(worker: SimWorker) -> WorkerView:
    kind = worker.machine.kind
    return WorkerView(
        id=worker.id,
        queue=worker.id,
        tier=f"vram{kind.vram}",
        vram=kind.vram,
        model_set=worker.model_set,
        shards=worker.load,
        seconds_ahead=worker.seconds_ahead,
        max_tracks=MAX_SHARD_TRACKS,
        seconds=worker.seconds,
        price=kind.price,
    )


def _seconds_left(farm: SimView) -> float:
    """Return the waiting work over the speed of all workers."""
    name, mean = farm.scenario.model_set, farm.workload.mean_shape
    speeds = {kind.gpu: 1 / prior(mean, kind.gpu, name) for kind in farm.scenario.fleet}
    workers = farm.workers.values()
    total = sum(worker.speed * speeds[worker.machine.kind.gpu] for worker in workers)
    return farm.ledger.pending / total


def stragglers(farm: SimView, now: float) -> list[Straggler]:
    """Return the stragglers as `trackfarm_scheduler.db.placement_view` does: claimed leases with open
    tracks."""
    farm.process_reports(now)
    interval = heartbeat_interval(len(farm.workers), slowest=SLOWEST_HEARTBEAT_SECONDS)
    silent_after = MISSED_BEATS * interval
    late: list[Straggler] = []
    for worker in farm.workers.values():
        is_silent = worker.died_at is not None and now - worker.died_at > silent_after
        leases = (lease for lease in worker.leases if lease.open_tracks)
        claimed = [lease for lease in leases if lease.ready_at <= now]
        late += [_straggler(farm, lease, now, is_silent=is_silent) for lease in claimed]
    return late


def _straggler(farm: SimView, lease: SimLease, now: float, *, is_silent: bool) -> Straggler:
    worker, workload = lease.worker, farm.workload
    codes = {t: workload.shape_of[t] for t in lease.tracks if t in lease.open_tracks}
    tracks = [
        OpenTrack(t, workload.shapes[code], workload.min_vram[code], farm.live_leases(t))
        for t, code in codes.items()
    ]
    remaining = sum(worker.seconds(track.shape) for track in tracks)
    expected = max(lease.expected_seconds, worker.seconds_ahead)
    return Straggler(
        lease_id=f"{worker.id}/{lease.tracks[0]}",
        worker_id=worker.id,
        job_id="job",
        model_set=worker.model_set,
        tracks=tracks,
        seconds_left=remaining,
        seconds_late=max(0.0, now - lease.ready_at + remaining - expected),
        is_silent=is_silent,
    )
