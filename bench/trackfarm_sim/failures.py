"""Failure records of a simulated farm. The decisions are the scheduler's own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from trackfarm.protocol.worker import FailureKind
from trackfarm_scheduler.policy.retry import FailureHistory, GiveUp, Retry, judge_failure
from trackfarm_scheduler.policy.states import is_bad_worker
from trackfarm_sim.sim_worker import SimWorker

KIND = FailureKind.NOT_FINITE


@dataclass(slots=True)
class FailureLog:
    """The failures. `by_track`: the workers that failed each track, once per failure."""

    jitter: Callable[[], float]
    by_track: dict[int, list[SimWorker]] = field(default_factory=dict)

    def judge(self, track: int, worker: SimWorker, eligible: int) -> Retry | GiveUp:
        """Record that `worker` failed a track, and decide whether it is retried."""
        failures = self.by_track.setdefault(track, [])
        failures.append(worker)
        history = FailureHistory(len(failures), 0, len(set(failures)), eligible)
        return judge_failure(KIND, history, self.jitter)

    def failed_by(self, track: int) -> frozenset[str]:
        return frozenset(worker.id for worker in self.by_track.get(track, ()))

    def disprove(self, tracks: Sequence[int], maker: SimWorker) -> list[SimWorker]:
        """Count a strike for each worker that failed tracks which `maker` has made; return the
        workers with too many."""
        if not self.by_track:
            return []
        bad: list[SimWorker] = []
        for track in tracks:
            for worker in set(self.by_track.get(track, ())) - {maker}:
                worker.strikes += 1
                if is_bad_worker(worker.strikes) and worker not in bad:
                    bad.append(worker)
        return sorted(bad, key=lambda worker: worker.id)

    def forget(self, worker: SimWorker) -> list[int]:
        """Remove a worker's failures from all records; return the affected tracks."""
        tracks = [t for t, failures in self.by_track.items() if worker in failures]
        for track in tracks:
            self.by_track[track] = [w for w in self.by_track[track] if w is not worker]
        return tracks
