"""Costs of rentals so far: in total, by category and by job. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from trackfarm.protocol.fleet import BusyInterval, PriceChange, RentalInfo, RentalUsage
from trackfarm_fleet.billing.ledger import (
    MICRO,
    CostBreakdown,
    CostCategory,
    RentalCosting,
    adjusted_to_invoice,
    breakdown_of,
    total,
)

# Unlisted for longer than this before the request to end it: it had ended by itself.
VANISHED_S = 60.0


@dataclass(frozen=True, slots=True)
class JobCost:
    """A job's share of the rentals that worked for it, in $: its own `work`, and `overhead` (boot,
    idle, waste) in proportion to its work. `tracks` counts its kept tracks."""

    work: float
    overhead: float
    tracks: int

    @property
    def total(self) -> float:
        return self.work + self.overhead

    @property
    def per_track(self) -> float | None:
        return self.total / self.tracks if self.tracks else None


def total_cost(rentals: Iterable[RentalInfo], now: float) -> float:
    """Return the cost of these rentals until `now`, in $."""
    usages = (RentalUsage(rental=rental, busy=[], tracks={}) for rental in rentals)
    return sum(rental_breakdown(usage, now).bill for usage in usages)


def total_breakdown(usages: Iterable[RentalUsage], now: float) -> CostBreakdown:
    return total(rental_breakdown(usage, now) for usage in usages)


def costs_by_job(usages: Sequence[RentalUsage], now: float) -> Mapping[str, JobCost]:
    """Return the cost of each job. Rentals that worked for no job visible to us are under the empty
    name."""
    work: dict[str, float] = defaultdict(float)
    overhead: dict[str, float] = defaultdict(float)
    tracks: dict[str, int] = defaultdict(int)
    for usage in usages:
        breakdown = rental_breakdown(usage, now)
        work_cost = breakdown.dollars(CostCategory.WORK)
        seconds = _kept_seconds(usage)
        total_seconds = sum(seconds.values())
        for job, job_seconds in (seconds or {"": 1.0}).items():
            share = job_seconds / total_seconds if total_seconds else 1.0
            work[job] += share * work_cost
            overhead[job] += share * (breakdown.bill - work_cost)
        for job, number in usage.tracks.items():
            tracks[job] += number
    jobs = work.keys() | {job for job, number in tracks.items() if number}
    return {job: JobCost(work[job], overhead[job], tracks[job]) for job in sorted(jobs)}


def rental_breakdown(usage: RentalUsage, now: float) -> CostBreakdown:
    """Return the cost breakdown of one rental; the provider's invoice replaces the estimate if
    known."""
    plan, status = usage.rental.plan, usage.rental.status
    start, end = billed_interval(usage.rental, now)
    breakdown = breakdown_of(
        RentalCosting(
            start=start,
            end=end,
            joined_at=status.joined_at,
            prices=status.prices or [PriceChange(at=start, price_per_hour=0.0)],
            cards=plan.gpus,
            busy=_busy_by_card(usage),
            tracks=sum(usage.tracks.values()),
        )
    )
    if status.charged is not None:
        breakdown = adjusted_to_invoice(breakdown, status.charged)
    return _with_extra(breakdown, status.extra)


def billed_interval(rental: RentalInfo, now: float) -> tuple[float, float]:
    """Return when billing of a rental began and ended, as well as we know. Providers report the
    start but not the end, so the end is when it was requested, or when the machine was last
    listed."""
    status = rental.status
    start = status.created_at
    if start is None:
        return 0.0, 0.0
    if rental.is_open:
        return start, max(start, now)
    ends = [moment for moment in (status.asked_to_end_at, status.ended_at) if moment is not None]
    end = min(ends, default=now)
    if status.seen_at is not None and end - status.seen_at > VANISHED_S:
        end = status.seen_at
    return start, max(start, end)


def _with_extra(breakdown: CostBreakdown, extra: float) -> CostBreakdown:
    """Add the cost of a duplicate machine, which counts as waste."""
    waste = breakdown.microdollars[CostCategory.WASTE] + round(extra * MICRO)
    costs = {**breakdown.microdollars, CostCategory.WASTE: waste}
    return replace(breakdown, microdollars=costs)


def _kept_seconds(usage: RentalUsage) -> Mapping[str, float]:
    """Return the busy seconds of kept work, by job."""
    seconds: dict[str, float] = defaultdict(float)
    for intervals in usage.busy:
        for interval in intervals:
            if interval.kept:
                seconds[interval.job or ""] += interval.end - interval.start
    return seconds


def _busy_by_card(usage: RentalUsage) -> Mapping[int, Sequence[BusyInterval]]:
    """Assign restarted workers to GPUs: in start order, each gets the GPU that became free first. A
    restarted worker takes over the GPU of its predecessor and never overlaps with it."""
    cards: dict[int, list[BusyInterval]] = {number: [] for number in range(usage.rental.plan.gpus)}
    free_at = dict.fromkeys(cards, 0.0)
    workers = [intervals for intervals in usage.busy if intervals]
    for intervals in sorted(workers, key=lambda spans: min(s.start for s in spans)):
        card = min(cards, key=lambda number: free_at[number])
        cards[card] += intervals
        free_at[card] = max(free_at[card], *(interval.end for interval in intervals))
    return cards
