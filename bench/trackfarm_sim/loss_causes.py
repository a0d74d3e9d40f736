"""Failure records of a simulated farm. The rulings are the scheduler's own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from trackfarm.protocol.worker import FailureKind
from trackfarm_scheduler.policy.retry import FailureHistory, GiveUp, Retry, judge_failure
from trackfarm_scheduler.policy.states import is_bad_worker
from trackfarm_sim.sim_worker import Desk

KIND = FailureKind.NOT_FINITE


@dataclass(slots=True)
class Blame:
    """The failures. `by_track`: the workers that failed each track, once per failure."""

    jitter: Callable[[], float]
    by_track: dict[int, list[Desk]] = field(default_factory=dict)

    def rule(self, track: int, desk: Desk, eligible: int) -> Retry | GiveUp:
        """Record that `desk` failed a track, and return the ruling."""
        failures = self.by_track.setdefault(track, [])
        failures.append(desk)
        history = FailureHistory(len(failures), 0, len(set(failures)), eligible)
        return judge_failure(KIND, history, self.jitter)

    def avoid(self, track: int) -> frozenset[str]:
        return frozenset(desk.id for desk in self.by_track.get(track, ()))

    def disproved(self, tracks: Sequence[int], maker: Desk) -> list[Desk]:
        """Return the workers that turn out bad because `maker` has made tracks which they
        failed."""
        if not self.by_track:
            return []
        bad: list[Desk] = []
        for track in tracks:
            for desk in set(self.by_track.get(track, ())) - {maker}:
                desk.strikes += 1
                if is_bad_worker(desk.strikes) and desk not in bad:
                    bad.append(desk)
        return sorted(bad, key=lambda desk: desk.id)

    def forgive(self, desk: Desk) -> list[int]:
        """Remove a worker's failures from all records; return the affected tracks."""
        tracks = [t for t, failures in self.by_track.items() if desk in failures]
        for track in tracks:
            self.by_track[track] = [d for d in self.by_track[track] if d is not desk]
        return tracks
