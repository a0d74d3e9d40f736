"""Result of a run, from the scheduler's database and the meters."""

from dataclasses import dataclass
from statistics import quantiles

from sqlalchemy import create_engine, text

from trackfarm_bench.meters import Meters

STEADY = (0.1, 0.9)  # the middle of the tracks, between warm-up and tail


@dataclass(frozen=True, slots=True)
class SteadyPart:
    """The steady part: the Unix times between which its tracks were committed, and their number."""

    since: float
    until: float
    tracks: int

    @property
    def rate(self) -> float:
        """Tracks a second."""
        return self.tracks / max(self.until - self.since, 1e-9)


@dataclass(frozen=True, slots=True)
class LoadOutcome:
    """The result. `waits`: seconds from offer to claim. `cpu`: milliseconds per track, `load`:
    cores, by part; both for the steady part."""

    steady: SteadyPart
    shards: int
    waits: list[float]
    cpu: dict[str, float]
    load: dict[str, float]
    peak_mib: dict[str, float]

    def wait(self, percent: int) -> float:
        return quantiles(self.waits, n=100)[percent - 1] if len(self.waits) > 1 else 0.0


def read_outcome(database: str, meters: Meters) -> LoadOutcome:
    engine = create_engine(database)
    with engine.connect() as connection:
        ends = sorted(connection.scalars(text("SELECT committed_at FROM artifact")))
        leases = connection.execute(
            text("SELECT offered_at, claimed_at FROM lease WHERE claimed_at IS NOT NULL")
        ).all()
    engine.dispose()
    steady = steady_part(ends)
    seconds = max(steady.until - steady.since, 1e-9)
    spent = {name: u.spent(steady.since, steady.until) for name, u in meters.parts.items()}
    return LoadOutcome(
        steady=steady,
        shards=len(leases),
        waits=[claimed - offered for offered, claimed in leases],
        cpu={name: 1000 * cpu / max(steady.tracks, 1) for name, cpu in spent.items()},
        load={name: cpu / seconds for name, cpu in spent.items()},
        peak_mib={name: usage.peak_mib for name, usage in meters.parts.items()},
    )


def steady_part(ends: list[float]) -> SteadyPart:
    """Return the middle part of the commits; `ends` is sorted."""
    first, last = (round(share * (len(ends) - 1)) for share in STEADY)
    return SteadyPart(ends[first], ends[last], last - first)
