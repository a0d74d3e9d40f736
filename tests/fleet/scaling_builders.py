"""Situations for the autoscaler, and the situations after its decisions are carried out."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from trackfarm_fleet.autoscaler.models import (
    Backlog,
    Candidate,
    MachineState,
    ScalingDecision,
    ScalingInput,
)
from trackfarm_fleet.providers.base import MachineOffer


def a_backlog(seconds: float, *, vram: int = 24, each: float = 5.0, **changes: Any) -> Backlog:
    tracks = max(round(seconds / each), 1) if seconds else 0
    return replace(Backlog(vram, tracks, seconds, each if tracks else 0.0, tracks), **changes)


def a_machine(tag: str, **changes: Any) -> MachineState:
    return replace(MachineState(tag, "RTX 4090", 24, 1, 1.0, 0.4, age_seconds=5000.0), **changes)


def a_candidate(
    name: str,
    *,
    price: float = 0.4,
    speed: float = 1.0,
    vram: int = 24,
    ready_in_seconds: float = 300.0,
    region: str = "",
    host: str = "",
    count: int = 1,
    min_bid: float | None = None,
) -> Candidate:
    offer = MachineOffer(
        "vast", name, "RTX 4090", 1, vram * 1024, price, region, host, count, min_bid=min_bid
    )
    return Candidate(offer, vram, speed, ready_in_seconds, bid=min_bid and min_bid * 1.1)


def carried_out(
    inputs: ScalingInput, decision: ScalingDecision, *, restart_seconds: float = 180.0
) -> ScalingInput:
    """Return the situation after the decision is carried out."""
    returned_tags = {release.tag for release in decision.release}
    changed = {bid.tag: bid.price_per_hour for bid in decision.bid_changes}
    machines = [
        replace(
            m,
            is_stopped=False,
            bid=b,
            price_per_hour=b,
            ready_in_seconds=restart_seconds if m.is_stopped else m.ready_in_seconds,
        )
        if (b := changed.get(m.tag)) is not None
        else replace(m, is_draining=m.is_draining or m.tag in returned_tags)
        for m in inputs.machines
    ]
    return replace(
        inputs,
        machines=[*machines, *new_machines(decision)],
        candidates=_remaining_offers(inputs.candidates, decision),
    )


def _remaining_offers(
    candidates: Sequence[Candidate], decision: ScalingDecision
) -> list[Candidate]:
    """Return the offers that are still available."""
    taken = Counter(rent.candidate.offer.id for rent in decision.rent)
    counts = [(c, c.offer.count - taken[c.offer.id]) for c in candidates]
    return [replace(c, offer=replace(c.offer, count=n)) for c, n in counts if n > 0]


def new_machines(decision: ScalingDecision, prefix: str = "new") -> list[MachineState]:
    return [
        MachineState(
            f"{prefix}{number}",
            rent.candidate.offer.gpu,
            rent.candidate.vram,
            rent.candidate.cards,
            rent.candidate.speed,
            rent.candidate.price_per_hour,
            ready_in_seconds=rent.candidate.ready_in_seconds,
            bid=rent.bid,
            region=rent.candidate.offer.region,
            host=rent.candidate.offer.host,
        )
        for number, rent in enumerate(decision.rent)
    ]
