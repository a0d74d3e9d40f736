"""The scheduler's own policy: `placement.place` each tick, `racing.race` if no track waits."""

from collections.abc import Sequence

from trackfarm_scheduler.policy.leases import heartbeat_interval
from trackfarm_scheduler.policy.models import (
    JobPriority,
    JobView,
    Lane,
    NewShard,
    OpenTrack,
    Straggler,
    WorkerView,
)
from trackfarm_scheduler.policy.placement import SHARDS_AHEAD, place
from trackfarm_scheduler.policy.speculation import plan_copies
from trackfarm_sim.policies.rules import PolicyRules, SimDecision, SimView
from trackfarm_sim.sim_worker import MAX_SHARD_TRACKS, Desk, SimLease
from trackfarm_sim.workload import prior

WINDOW_PER_PLACE = 64  # as in trackfarm_scheduler.loops.placer, like the next two
MAX_WINDOW = 5_000
MISSED_BEATS = 2.5
HEARTBEAT = 5.0  # seconds, the slowest
POLL = 1.0  # seconds between checks for stragglers; the scheduler checks four times as often


class OurPolicy:
    rules = PolicyRules()

    def decide(self, farm: SimView, now: float) -> SimDecision:
        staying = [desk for desk in farm.desks.values() if not desk.is_draining]
        free = [desk for desk in staying if desk.load < SHARDS_AHEAD]
        # Returned tracks also go to workers that already have enough shards.
        takers = staying if farm.ledger.came_back else free
        shards = self._place(farm, takers, now) if takers and farm.ledger.pending else []
        if shards:
            return SimDecision(shards)
        idle = [_view(desk) for desk in free if not desk.load]
        if not idle:
            return SimDecision()
        raced = plan_copies(stragglers(farm, now), idle)
        return SimDecision(raced, is_race=True, again_after=POLL)

    def _place(self, farm: SimView, takers: Sequence[Desk], now: float) -> list[NewShard]:
        places = sum(max(0, SHARDS_AHEAD - desk.load) for desk in takers) or len(takers)
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
            [_view(desk) for desk in takers],
            shard_seconds=farm.scenario.shard_seconds,
            now=now,
            workers_per_model_set={name: len(farm.desks)},
        )


def _view(desk: Desk) -> WorkerView:
    kind = desk.machine.kind
    return WorkerView(
        id=desk.id,
        queue=desk.id,
        tier=f"vram{kind.vram}",
        vram=kind.vram,
        model_set=desk.model_set,
        shards=desk.load,
        seconds_ahead=desk.seconds_ahead,
        max_tracks=MAX_SHARD_TRACKS,
        seconds=desk.seconds,
        price=kind.price,
    )


def _seconds_left(farm: SimView) -> float:
    """Return the waiting work over the speed of all workers."""
    name, mean = farm.scenario.model_set, farm.works.mean_shape
    pace = {kind.gpu: 1 / prior(mean, kind.gpu, name) for kind in farm.scenario.fleet}
    speeds = (desk.speed * pace[desk.machine.kind.gpu] for desk in farm.desks.values())
    return farm.ledger.pending / sum(speeds)


def stragglers(farm: SimView, now: float) -> list[Straggler]:
    """Return the stragglers as `trackfarm_scheduler.db.placement_view` does: claimed leases with open
    tracks."""
    farm.settle_all(now)
    silent_after = MISSED_BEATS * heartbeat_interval(len(farm.desks), slowest=HEARTBEAT)
    late: list[Straggler] = []
    for desk in farm.desks.values():
        silent = desk.died_at is not None and now - desk.died_at > silent_after
        claimed = [lease for lease in desk.leases if lease.ready_at <= now]
        late += [_straggler(farm, lease, now, is_silent=silent) for lease in claimed if lease.open]
    return late


def _straggler(farm: SimView, lease: SimLease, now: float, *, is_silent: bool) -> Straggler:
    desk, works = lease.desk, farm.works
    codes = {t: works.shape_of[t] for t in lease.tracks if t in lease.open}
    tracks = [
        OpenTrack(t, works.shapes[code], works.min_vram[code], farm.live_leases(t))
        for t, code in codes.items()
    ]
    remaining = sum(desk.seconds(track.shape) for track in tracks)
    expected = max(lease.expected, desk.seconds_ahead)
    return Straggler(
        lease_id=f"{desk.id}/{lease.tracks[0]}",
        worker_id=desk.id,
        job_id="job",
        model_set=desk.model_set,
        tracks=tracks,
        seconds_left=remaining,
        seconds_late=max(0.0, now - lease.ready_at + remaining - expected),
        is_silent=is_silent,
    )
