"""Demand of the farm's jobs, in the autoscaler's terms. Pure."""

from collections.abc import Mapping, Sequence

from trackfarm.model_sets import ModelSet
from trackfarm.planning import Prices, demand_of
from trackfarm.planning.demand import TierDemand
from trackfarm.planning.forecast import SpeedOf
from trackfarm.protocol.fleet import FleetDemand, JobLimits, LearntSpeed
from trackfarm.speed_model import SpeedModel


def tier_demands(demand: FleetDemand | None) -> tuple[TierDemand, ...]:
    return demand_of(demand.shapes).tiers if demand is not None else ()


def deadline_seconds_of(jobs: Sequence[JobLimits]) -> float | None:
    """Return the seconds until the whole backlog should be done, so that each job meets its
    deadline.

    Work with an earlier deadline goes first, so a deadline only binds the work due until then; the
    same pace is assumed for the rest. None if no job has a deadline.
    """
    due = sorted((job.deadline, job.tracks) for job in jobs if job.deadline is not None)
    total = sum(job.tracks for job in jobs)
    ends: list[float] = []
    due_tracks = 0
    for deadline, tracks in due:
        due_tracks += tracks
        if due_tracks:
            ends.append(deadline * total / due_tracks)
    return min(ends, default=None)


def budget_of(jobs: Sequence[JobLimits], fleet_budget: float | None) -> float | None:
    """Return the $ for the machines: the lesser of the fleet's remaining budget and, if all jobs
    have budgets, their sum."""
    budgets = [job.budget for job in jobs]
    of_jobs = sum(b for b in budgets if b is not None) if budgets and None not in budgets else None
    limits = [amount for amount in (fleet_budget, of_jobs) if amount is not None]
    return min(limits, default=None)


def speed_lookup(speeds: Sequence[LearntSpeed], prices: Prices) -> SpeedOf:
    """Return a lookup of the speeds measured by the farm, by the GPU name that a provider or worker
    uses; unmeasured GPUs get the prior."""

    def canonical(gpu: str) -> str:
        card = prices.card(gpu)
        return card.name if card is not None else gpu

    measured: Mapping[tuple[str, str], LearntSpeed] = {
        (canonical(speed.gpu), speed.model_set): speed for speed in speeds
    }

    def speed_of(gpu: str, kind: ModelSet) -> SpeedModel:
        speed = measured.get((canonical(gpu), kind.name))
        try:
            return SpeedModel.from_json(speed.stats) if speed else SpeedModel(gpu, kind)
        except ValueError:  # written by another version
            return SpeedModel(gpu, kind)

    return speed_of
