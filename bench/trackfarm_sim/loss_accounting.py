"""Accounting of the engine time of each shard, once its outcome is known."""

from collections.abc import Callable

from trackfarm_sim.meters import ComputeInterval, Loss, SimMeters
from trackfarm_sim.sim_worker import SimLease


class LossAccounting:
    """Records computed and lost seconds. `fails(track, lease)` is True if a track fails under this
    lease."""

    def __init__(self, meters: SimMeters, fails: Callable[[int, SimLease], bool]) -> None:
        self._meters = meters
        self._fails = fails

    def close(self, lease: SimLease) -> None:
        """Account for a lease; only the first call has an effect."""
        if lease.is_accounted:
            return
        lease.is_accounted = True
        lost = self._record_losses(lease) if len(lease.committed) < len(lease.tracks) else 0.0
        start = min(lease.started_at, lease.stopped_at)
        slot = lease.worker.machine.slot
        self._meters.computed(ComputeInterval(slot, start, lease.stopped_at, lost, lease.is_raced))

    def _record_losses(self, lease: SimLease) -> float:
        start, total = lease.started_at, 0.0
        for track, end in zip(lease.tracks, lease.ends, strict=True):
            seconds = min(end, lease.stopped_at) - start
            if seconds <= 0:
                break
            if track not in lease.committed:
                self._meters.wasted(self._reason(track, lease), seconds)
                total += seconds
            start = end
        return total

    def _reason(self, track: int, lease: SimLease) -> Loss:
        if self._fails(track, lease):
            return Loss.FAILURE
        return Loss.PREEMPTION if lease.worker.died_at is not None else Loss.RACE
