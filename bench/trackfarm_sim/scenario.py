"""Parameters of a simulation: a fleet, a catalog, and failures."""

from dataclasses import dataclass

from trackfarm.planning import CardGroup

DURATIONS = (30.0, 60.0, 90.0, 120.0, 150.0, 180.0, 210.0, 240.0)


@dataclass(frozen=True, slots=True)
class SimScenario:
    """The parameters, times in seconds.

    - `durations`: drawn with equal probability.
    - `preemptions`: machines lost per machine and hour.
    - `machine_spread`, `wobble`: sigma of the lognormal speed of a machine relative to its GPU
      type, and of the same machine from one interval of `wobble_seconds` to the next.
    - `boot_seconds`: as `trackfarm.planning` expects of a rental; the times after it are the
      scheduler's defaults.
    - `poisoned`, `bad_machines`: fractions of tracks that fail everywhere, and of machines that
      fail everything.
    """

    fleet: tuple[CardGroup, ...]
    tracks: int = 15_000
    model_set: str = "acestep-v15-turbo"
    durations: tuple[float, ...] = DURATIONS
    preemptions: float = 0.05
    boot_seconds: float = 240.0
    machine_spread: float = 0.10
    wobble: float = 0.05
    wobble_seconds: float = 20.0
    poisoned: float = 0.0
    bad_machines: float = 0.0
    lost_after: float = 10.0
    handover_seconds: float = 0.3
    finish_seconds: float = 1.5
    shard_seconds: float = 60.0

    @property
    def machines(self) -> int:
        return sum(kind.count for kind in self.fleet)

    @property
    def slots(self) -> list[CardGroup]:
        """The GPU type of each slot for a machine."""
        return [kind for kind in self.fleet for _ in range(kind.count)]
