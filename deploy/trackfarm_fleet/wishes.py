"""What the farm's jobs ask of the fleet, in the scaler's terms: pure."""

from collections.abc import Callable, Mapping, Sequence

from trackfarm.model_sets import ModelSet
from trackfarm.planning import Prices, demand_of
from trackfarm.planning.demand import Bag
from trackfarm.planning.forecast import SpeedOf
from trackfarm.rentals import Demand, JobLimits, LearntSpeed
from trackfarm.speed import SpeedModel
from trackfarm_fleet.appraisal import backlog_of
from trackfarm_fleet.situation import Backlog


def bags_of(demand: Demand | None) -> tuple[Bag, ...]:
    return demand_of(demand.shapes).bags if demand is not None else ()


def backlog(demand: Demand | None, *, kind: ModelSet, speed_of: SpeedOf) -> list[Backlog]:
    waiting = demand.waiting if demand is not None else {}
    return backlog_of(bags_of(demand), waiting, kind=kind, speed_of=speed_of)


def deadline_of(jobs: Sequence[JobLimits]) -> float | None:
    """Seconds until all of the backlog should be done, so that each job keeps its own deadline.

    Work with an earlier deadline goes first, so a deadline binds what is due until then alone: the
    pace that it takes is kept up for the rest. None where no job has one.
    """
    due = sorted((job.deadline, job.tracks) for job in jobs if job.deadline is not None)
    everything = sum(job.tracks for job in jobs)
    ends: list[float] = []
    before = 0
    for deadline, tracks in due:
        before += tracks
        if before:
            ends.append(deadline * everything / before)
    return min(ends, default=None)


def budget_of(jobs: Sequence[JobLimits], left: float | None) -> float | None:
    """$ for the machines: what is left of the fleet's own budget, and of the jobs' where each of
    them has one."""
    budgets = [job.budget for job in jobs]
    of_jobs = sum(b for b in budgets if b is not None) if budgets and None not in budgets else None
    given = [amount for amount in (left, of_jobs) if amount is not None]
    return min(given, default=None)


def learnt(speeds: Sequence[LearntSpeed], prices: Prices) -> SpeedOf:
    """What the farm has learnt of each kind of card, asked for by the name that a provider or a
    worker gives it; the prior for all others."""
    name = _names(prices)
    known: Mapping[tuple[str, str], LearntSpeed] = {
        (name(speed.gpu), speed.model_set): speed for speed in speeds
    }

    def speed_of(gpu: str, kind: ModelSet) -> SpeedModel:
        found = known.get((name(gpu), kind.name))
        try:
            return SpeedModel.from_json(found.stats) if found else SpeedModel(gpu, kind)
        except ValueError:  # written by another version
            return SpeedModel(gpu, kind)

    return speed_of


def _names(prices: Prices) -> Callable[[str], str]:
    def name(gpu: str) -> str:
        card = prices.card(gpu)
        return card.name if card is not None else gpu

    return name
