"""One catalog made on one market: its time, its cost, and the lowest possible costs."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from trackfarm.model_sets import model_set
from trackfarm.planning.fleet_spec import group_of
from trackfarm.planning.prices import Prices
from trackfarm_fleet.billing.ledger import CostBreakdown, CostCategory, total
from trackfarm_sim.farm import SimFarm
from trackfarm_sim.market.costs import accounts
from trackfarm_sim.market.fleet_agent import FleetOptions, Steward
from trackfarm_sim.market.market_machines import draw_lots
from trackfarm_sim.market.market_params import MarketHabits
from trackfarm_sim.market.offline_bound import Hindsight
from trackfarm_sim.market.oracle import best_feat
from trackfarm_sim.market.sim_provider import Exchange
from trackfarm_sim.policies.ours import OurPolicy
from trackfarm_sim.sampled_inputs import draw
from trackfarm_sim.scenario import SimScenario

UNFINISHED = "unfinished"


@dataclass(frozen=True, slots=True)
class Season:
    """The inputs; the fleet of `scenario` lists the GPU types on the market."""

    scenario: SimScenario
    habits: MarketHabits
    prices: Prices
    wishes: FleetOptions


@dataclass(frozen=True, slots=True)
class SeasonOutcome:
    """The result. `makespan` and `target` in seconds; `cost` in $ of all rentals until each was
    returned, `spent` the same by category. `hindsight` in $: the lower bound with perfect knowledge
    of the future; `forecast`: the bound with knowledge of the market, but not of each machine's
    speed. `clairvoyant`: costs by category of the latter's plan when executed on the same market;
    None if none of its plans met the target."""

    seed: int
    state: str
    makespan: float
    target: float
    cost: float
    spent: Mapping[str, float]
    hindsight: float
    forecast: float
    clairvoyant: Mapping[str, float] | None
    done: int
    rentals: Mapping[str, int]
    outbids: int
    losses: int
    refusals: int

    @property
    def is_in_time(self) -> bool:
        return self.state == "done" and self.makespan <= self.target

    @property
    def ratio(self) -> float:
        """Cost over the bound with perfect knowledge."""
        return self.cost / self.hindsight

    @property
    def forecast_ratio(self) -> float:
        return self.cost / self.forecast

    @property
    def clairvoyant_ratio(self) -> float | None:
        """Cost over that of the executed oracle plan."""
        return self.cost / sum(self.clairvoyant.values()) if self.clairvoyant else None


def season_of(
    scenario: SimScenario, habits: MarketHabits, prices: Prices, wishes: FleetOptions
) -> Season:
    """Return a season with every GPU of the price table that has a rental price."""
    cards = [card for card in prices.cards.values() if card.is_gpu and card.price > 0]
    fleet = tuple(group_of(card, 1) for card in cards)
    return Season(replace(scenario, fleet=fleet), habits, prices, wishes)


def play(season: Season, seed: int) -> SeasonOutcome:
    """Run a season; deterministic for the same arguments."""
    scenario = season.scenario
    download = model_set(scenario.model_set).download_gb
    world = replace(draw(scenario, seed), slots=[])
    farm = SimFarm(world, OurPolicy(), keeps_stretches=True)
    lots = draw_lots(season.habits, season.prices, scenario.machine_spread, seed)
    disk = season.habits.auction.disk
    exchange = Exchange(farm, lots, download_gb=download, disk=disk)
    steward = Steward(farm, exchange, season.prices, season.wishes)
    farm.agenda.at(0.0, steward.tick)
    state = farm.play()
    while steward.open:
        farm.agenda.step()
    target = season.wishes.target
    if season.wishes.deadline is None:
        target = max(target, farm.ledger.last_commit)
    knows_all, knows_market = (Hindsight(world, lots, download, k) for k in (True, False))
    feat = best_feat(knows_market, target, disk=disk)
    bill = total(accounts(exchange.holdings.values(), farm.meters.stretches))
    return SeasonOutcome(
        seed=seed,
        state=state.value if state is not None else UNFINISHED,
        makespan=farm.ledger.last_commit,
        target=target,
        cost=bill.bill,
        spent=_by_use(bill),
        hindsight=knows_all.cost(target),
        forecast=knows_market.cost(target),
        clairvoyant=_by_use(feat.bill) if feat else None,
        done=farm.ledger.done,
        rentals=_kinds(exchange),
        outbids=exchange.outbids,
        losses=exchange.losses,
        refusals=exchange.refusals,
    )


def _by_use(bill: CostBreakdown) -> dict[str, float]:
    return {use.value: bill.spent_on(use) for use in CostCategory}


def _kinds(exchange: Exchange) -> dict[str, int]:
    """Return the number of rentals by GPU type."""
    return dict(Counter(holding.lot.card.name for holding in exchange.holdings.values()))
