"""Tables and JSON documents of rentals, offers and costs. Pure."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.table import Table

from trackfarm.protocol import fleet as fleet_api
from trackfarm.text import clean, counted, time_words
from trackfarm_fleet.autoscaler.models import RentOffer, ScalingDecision
from trackfarm_fleet.billing.job_costs import JobCost, total_cost
from trackfarm_fleet.billing.ledger import CostBreakdown, CostCategory
from trackfarm_fleet.providers.base import MachineOffer

HOUR = 3600.0
MAX_REASON_LENGTH = 60


def offers_table(offers: Iterable[MachineOffer]) -> Table:
    table = _table("provider", "gpu", "region", numbers=("cards", "GB", "$/h", "bid from"))
    for offer in offers:
        table.add_row(
            offer.provider,
            clean(offer.gpu),
            clean(offer.region),
            str(offer.gpus),
            f"{offer.memory_mib / 1024:.0f}",
            f"{offer.price_per_hour:.3f}",
            "" if offer.min_bid is None else f"{offer.min_bid:.3f}",
        )
    return table


def rentals_table(rentals: Iterable[fleet_api.RentalInfo], now: float) -> Table:
    table = _table("rental", "provider", "gpu", "state", "for", "why", numbers=("$/h", "age", "$"))
    for rental in rentals:
        status = rental.status
        why = rental.release_reason or status.reason
        table.add_row(
            rental.tag,
            rental.plan.provider,
            clean(rental.plan.gpu) + (f" x{rental.plan.gpus}" if rental.plan.gpus > 1 else ""),
            status.state.value,
            rental.plan.purpose,
            clean(why)[:MAX_REASON_LENGTH],
            f"{status.price_per_hour:.3f}",
            time_words(max(now - (status.created_at or rental.plan.intended_at), 0.0)),
            _dollars(total_cost([rental], now)),
        )
    return table


def rents_table(rents: Iterable[RentOffer]) -> Table:
    """Return the machines to be rented, grouped by equal ones."""
    kinds = Counter(
        (r.candidate.offer.provider, r.candidate.offer.gpu, r.candidate.price_per_hour)
        for r in rents
    )
    table = _table("provider", "gpu", numbers=("machines", "$/h each"))
    for (provider, gpu, price), number in sorted(kinds.items()):
        table.add_row(provider, clean(gpu), str(number), f"{price:.3f}")
    return table


def decision_words(decision: ScalingDecision) -> str:
    machines = counted(len(decision.rent), "machine")
    if not math.isfinite(decision.finish_seconds):
        return f"{machines}; cannot finish, about {_dollars(decision.cost)}"
    return f"{machines}; done in {time_words(decision.finish_seconds)}, about {_dollars(decision.cost)}"


def unserved_words(demands: Iterable[fleet_api.FleetDemand], *, is_led: bool) -> str:
    """Describe the tracks that wait while nothing is rented, and the remedy; empty if none waits.
    `is_led`: a fleet process runs."""
    waiting = {d.model_set: sum(d.waiting.values()) for d in demands}
    if not any(waiting.values()):
        return ""
    shares = ", ".join(f"{number:,} of {clean(name)}" for name, number in waiting.items() if number)
    remedy = (
        "see the log of the fleet process" if is_led else "start `trackfarm-fleet` to rent some"
    )
    return (
        f"{counted(sum(waiting.values()), 'track')} wait for a worker ({shares}) and no machine is"
        f" rented: {remedy}; `trackfarm fleet offers` lists the offers"
    )


def cost_table(breakdown: CostBreakdown) -> Table:
    table = _table("bought", numbers=("hours", "share", "$"))
    hours = _gpu_hours(breakdown)
    for category in CostCategory:
        share = f"{breakdown.share(category):.0%}"
        dollars = f"{breakdown.dollars(category):,.4f}"
        table.add_row(category.value, f"{hours[category]:,.3f}", share, dollars)
    table.add_row("all", f"{sum(hours.values()):,.3f}", "", f"{breakdown.bill:,.4f}")
    return table


def jobs_table(costs: Mapping[str, JobCost]) -> Table:
    table = _table("job", numbers=("tracks", "work $", "boot, idle, waste $", "$ a track"))
    for job, cost in costs.items():
        each = "" if cost.per_track is None else f"{cost.per_track:.5f}"
        table.add_row(
            job or "(no job)",
            f"{cost.tracks:,}",
            f"{cost.work:,.4f}",
            f"{cost.overhead:,.4f}",
            each,
        )
    return table


def cost_document(breakdown: CostBreakdown, costs: Mapping[str, JobCost]) -> dict[str, Any]:
    """Return costs in $ and GPU hours."""
    return {
        "dollars": {category.value: breakdown.dollars(category) for category in CostCategory},
        "hours": {category.value: hours for category, hours in _gpu_hours(breakdown).items()},
        "bill": breakdown.bill,
        "tracks": breakdown.tracks,
        "per_track": breakdown.per_track,
        "jobs": {
            job: {
                "work": cost.work,
                "overhead": cost.overhead,
                "tracks": cost.tracks,
                "per_track": cost.per_track,
            }
            for job, cost in costs.items()
        },
    }


def offer_document(offer: MachineOffer) -> dict[str, Any]:
    return {
        "provider": offer.provider,
        "id": offer.id,
        "gpu": offer.gpu,
        "gpus": offer.gpus,
        "memory_mib": offer.memory_mib,
        "price_per_hour": offer.price_per_hour,
        "min_bid": offer.min_bid,
        "region": offer.region,
        "host": offer.host,
        "count": offer.count,
    }


def decision_document(decision: ScalingDecision) -> dict[str, Any]:
    """Return a decision: `seconds` until all is done, None if that is never; `dollars` until
    then."""
    rents = [{**offer_document(r.candidate.offer), "bid": r.bid} for r in decision.rent]
    finish = decision.finish_seconds
    seconds = finish if math.isfinite(finish) else None
    return {"rent": rents, "seconds": seconds, "dollars": decision.cost}


def _gpu_hours(breakdown: CostBreakdown) -> Mapping[CostCategory, float]:
    return {category: micros / 1e6 / HOUR for category, micros in breakdown.microseconds.items()}


def _dollars(amount: float) -> str:
    return f"${amount:.4f}" if 0 < amount < 0.1 else f"${amount:,.2f}"


def _table(*headings: str, numbers: Sequence[str]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for heading in numbers:
        table.add_column(heading, justify="right")
    return table
