"""Costs of rentals so far: in total, by category and by job. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from trackfarm.protocol import fleet as fleet_api
from trackfarm_fleet.billing.ledger import (
    MICRO,
    BusySpan,
    CostBreakdown,
    CostCategory,
    Rate,
    account_of,
    as_charged,
    total,
)
from trackfarm_fleet.billing.ledger import RentalCosting as LedgerStay

VANISHED_S = 60.0  # unlisted for longer before the request to end it: it had ended by itself


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


def bill(rentals: Iterable[fleet_api.RentalInfo], now: float) -> float:
    """Return the cost of these rentals until `now`, in $."""
    return sum(account(_bare(rental), now).bill for rental in rentals)


def account(stay: fleet_api.RentalUsage, now: float) -> CostBreakdown:
    """Return the cost breakdown of one rental; the provider's invoice replaces the estimate if
    known."""
    status = stay.rental.status
    breakdown = _account(stay, now)
    if status.charged is not None:
        breakdown = as_charged(breakdown, status.charged)
    return _with_extra(breakdown, status.extra)


def _account(stay: fleet_api.RentalUsage, now: float) -> CostBreakdown:
    start, end = span(stay.rental, now)
    prices = stay.rental.status.prices
    rates = [Rate(p.at, p.price_per_hour, p.stopped) for p in prices]
    return account_of(
        LedgerStay(
            start=start,
            end=end,
            joined_at=stay.rental.status.joined_at,
            rates=rates or [Rate(start, 0.0)],
            cards=stay.rental.plan.gpus,
            busy=_cards(stay),
            tracks=sum(stay.tracks.values()),
        )
    )


def _with_extra(account: CostBreakdown, extra: float) -> CostBreakdown:
    """Add the cost of a duplicate machine, which counts as waste."""
    wasted = account.dollars[CostCategory.WASTE] + round(extra * MICRO)
    return replace(account, dollars={**account.dollars, CostCategory.WASTE: wasted})


def span(rental: fleet_api.RentalInfo, now: float) -> tuple[float, float]:
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


def by_job(stays: Sequence[fleet_api.RentalUsage], now: float) -> Mapping[str, JobCost]:
    """Return the cost of each job. Rentals that worked for no job visible to us are under the empty
    name."""
    work: dict[str, float] = defaultdict(float)
    overhead: dict[str, float] = defaultdict(float)
    tracks: dict[str, int] = defaultdict(int)
    for stay in stays:
        breakdown = account(stay, now)
        seconds = _kept_seconds(stay)
        busy = sum(seconds.values())
        for job, job_seconds in (seconds or {"": 1.0}).items():
            share = job_seconds / busy if busy else 1.0
            work[job] += share * breakdown.spent_on(CostCategory.WORK)
            overhead[job] += share * (breakdown.bill - breakdown.spent_on(CostCategory.WORK))
        for job, number in stay.tracks.items():
            tracks[job] += number
    jobs = work.keys() | {job for job, number in tracks.items() if number}
    return {job: JobCost(work[job], overhead[job], tracks[job]) for job in sorted(jobs)}


def together(stays: Iterable[fleet_api.RentalUsage], now: float) -> CostBreakdown:
    """Return the cost breakdown of all these rentals."""
    return total(account(stay, now) for stay in stays)


def _kept_seconds(stay: fleet_api.RentalUsage) -> Mapping[str, float]:
    """Return the busy seconds of kept work, by job."""
    seconds: dict[str, float] = defaultdict(float)
    for stretches in stay.busy:
        for stretch in stretches:
            if stretch.kept:
                seconds[stretch.job or ""] += stretch.end - stretch.start
    return seconds


def _cards(stay: fleet_api.RentalUsage) -> Mapping[int, Sequence[BusySpan]]:
    """Assign restarted workers to GPUs: in start order, each gets the GPU that became free first. A
    restarted worker takes over the GPU of its predecessor and never overlaps with it."""
    cards: dict[int, list[BusySpan]] = {number: [] for number in range(stay.rental.plan.gpus)}
    free_at = dict.fromkeys(cards, 0.0)
    workers = [stretches for stretches in stay.busy if stretches]
    for stretches in sorted(workers, key=lambda spans: min(s.start for s in spans)):
        card = min(cards, key=lambda number: free_at[number])
        cards[card] += [BusySpan(s.start, s.end, s.kept) for s in stretches]
        free_at[card] = max(free_at[card], *(s.end for s in stretches))
    return cards


def _bare(rental: fleet_api.RentalInfo) -> fleet_api.RentalUsage:
    return fleet_api.RentalUsage(rental=rental, busy=[], tracks={})
