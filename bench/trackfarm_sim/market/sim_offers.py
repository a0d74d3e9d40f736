"""Offers of a simulated market's free machines, as the providers list them."""

from collections.abc import Iterable, Sequence
from itertools import groupby

from trackfarm_fleet.providers.base import MachineOffer
from trackfarm_sim.market.market_machines import MarketMachine

RUNPOD = "runpod"


def offers_of(free: Sequence[MarketMachine], now: float) -> list[MachineOffer]:
    """Return one offer per machine and per auction, and one per GPU type of RunPod."""
    single = [machine for machine in free if machine.provider != RUNPOD]
    return [
        *(_offer(machine, machine.id, machine.price) for machine in single),
        *(_interruptible(machine, now) for machine in single if machine.auction is not None),
        *_by_gpu_type(machine for machine in free if machine.provider == RUNPOD),
    ]


def _interruptible(machine: MarketMachine, now: float) -> MachineOffer:
    assert machine.auction is not None
    winning = machine.auction.at(now)
    return _offer(machine, f"{machine.id}-bid", winning, min_bid=winning)


def _by_gpu_type(machines: Iterable[MarketMachine]) -> list[MachineOffer]:
    """Group RunPod's machines: it lists GPU types, not machines."""
    ordered = sorted(machines, key=lambda machine: machine.card.name)
    groups = [list(group) for _, group in groupby(ordered, key=lambda m: m.card.name)]
    return [
        _offer(group[0], f"{RUNPOD}-{group[0].card.name}", group[0].price, count=len(group))
        for group in groups
    ]


def _offer(
    machine: MarketMachine,
    offer_id: str,
    price: float,
    *,
    min_bid: float | None = None,
    count: int = 1,
) -> MachineOffer:
    return MachineOffer(
        provider=machine.provider,
        id=offer_id,
        gpu=machine.card.name,
        gpus=1,
        memory_mib=machine.card.memory_mib,
        price_per_hour=price,
        region=machine.region,
        host=machine.host,
        count=count,
        min_bid=min_bid,
        download_mbps=machine.bandwidth_mbps,
        free_boot=machine.free_boot,
    )
