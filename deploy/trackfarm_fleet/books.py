"""What rentals have cost so far, as a whole and by what it bought: pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from trackfarm import rentals as wire
from trackfarm_fleet.ledger import (
    MICRO,
    Account,
    Rate,
    Stretch,
    Use,
    account_of,
    as_charged,
    total,
)
from trackfarm_fleet.ledger import Stay as LedgerStay

VANISHED_S = 60.0  # what was not listed for longer before its end was asked for had gone by itself


@dataclass(frozen=True, slots=True)
class JobCost:
    """A job's share of the rentals that worked for it, in $: its own `work`, and of boot, idle and
    waste as much as of their work. `tracks` of it were kept."""

    work: float
    overhead: float
    tracks: int

    @property
    def total(self) -> float:
        return self.work + self.overhead

    @property
    def per_track(self) -> float | None:
        return self.total / self.tracks if self.tracks else None


def bill(rentals: Iterable[wire.Rental], now: float) -> float:
    """$ that these have cost until `now`."""
    return sum(account(_bare(rental), now).bill for rental in rentals)


def account(stay: wire.Stay, now: float) -> Account:
    """Where the money of one rental went."""
    its = stay.rental.standing
    reckoned = _account(stay, now)
    return _with_extra(
        reckoned if its.charged is None else as_charged(reckoned, its.charged), its.extra
    )


def _account(stay: wire.Stay, now: float) -> Account:
    start, end = span(stay.rental, now)
    prices = stay.rental.standing.prices
    rates = [Rate(p.at, p.price_per_hour, p.stopped) for p in prices]
    return account_of(
        LedgerStay(
            start=start,
            end=end,
            joined_at=stay.rental.standing.joined_at,
            rates=rates or [Rate(start, 0.0)],
            cards=stay.rental.plan.gpus,
            busy=_cards(stay),
            tracks=sum(stay.tracks.values()),
        )
    )


def _with_extra(account: Account, extra: float) -> Account:
    """What a machine cost that was made twice was wasted."""
    wasted = account.dollars[Use.WASTE] + round(extra * MICRO)
    return replace(account, dollars={**account.dollars, Use.WASTE: wasted})


def span(rental: wire.Rental, now: float) -> tuple[float, float]:
    """From when until when it cost money, as well as we know: a provider says when a machine began
    and not when it ended, so that is when its end was asked for, or when it was seen last."""
    its = rental.standing
    start = its.created_at
    if start is None:
        return 0.0, 0.0
    if rental.is_open:
        return start, max(start, now)
    ends = [moment for moment in (its.asked_to_end_at, its.ended_at) if moment is not None]
    end = min(ends, default=now)
    if its.seen_at is not None and end - its.seen_at > VANISHED_S:
        end = its.seen_at
    return start, max(start, end)


def by_job(stays: Sequence[wire.Stay], now: float) -> Mapping[str, JobCost]:
    """What each job cost; under the empty name what no job that we may see had any work of."""
    work: dict[str, float] = defaultdict(float)
    overhead: dict[str, float] = defaultdict(float)
    tracks: dict[str, int] = defaultdict(int)
    for stay in stays:
        whole = account(stay, now)
        seconds = _kept_seconds(stay)
        busy = sum(seconds.values())
        for job, taken in (seconds or {"": 1.0}).items():
            share = taken / busy if busy else 1.0
            work[job] += share * whole.spent_on(Use.WORK)
            overhead[job] += share * (whole.bill - whole.spent_on(Use.WORK))
        for job, number in stay.tracks.items():
            tracks[job] += number
    jobs = work.keys() | {job for job, number in tracks.items() if number}
    return {job: JobCost(work[job], overhead[job], tracks[job]) for job in sorted(jobs)}


def together(stays: Iterable[wire.Stay], now: float) -> Account:
    return total(account(stay, now) for stay in stays)


def _kept_seconds(stay: wire.Stay) -> Mapping[str, float]:
    seconds: dict[str, float] = defaultdict(float)
    for stretches in stay.busy:
        for stretch in stretches:
            if stretch.kept:
                seconds[stretch.job or ""] += stretch.end - stretch.start
    return seconds


def _cards(stay: wire.Stay) -> Mapping[int, Sequence[Stretch]]:
    """A worker that was started anew goes on with the card of a predecessor, and does not work at
    the same time: in the order in which they began, each gets the card that was left first."""
    cards: dict[int, list[Stretch]] = {number: [] for number in range(stay.rental.plan.gpus)}
    left = dict.fromkeys(cards, 0.0)
    workers = [stretches for stretches in stay.busy if stretches]
    for stretches in sorted(workers, key=lambda its: min(s.start for s in its)):
        card = min(cards, key=lambda number: left[number])
        cards[card] += [Stretch(s.start, s.end, s.kept) for s in stretches]
        left[card] = max(left[card], *(s.end for s in stretches))
    return cards


def _bare(rental: wire.Rental) -> wire.Stay:
    return wire.Stay(rental=rental, busy=[], tracks={})
