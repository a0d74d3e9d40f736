"""One catalog made on one market: its time, its cost, and the lowest possible costs."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from trackfarm.model_sets import model_set
from trackfarm.planning.fleet_spec import group_of
from trackfarm.planning.prices import Prices
from trackfarm_fleet.billing.ledger import CostBreakdown, CostCategory, total
from trackfarm_sim.farm import SimFarm
from trackfarm_sim.market.costs import breakdowns
from trackfarm_sim.market.fleet_agent import FleetAgent, FleetOptions
from trackfarm_sim.market.market_machines import draw_machines
from trackfarm_sim.market.market_params import MarketParams
from trackfarm_sim.market.offline_bound import OfflineBound
from trackfarm_sim.market.oracle import best_result
from trackfarm_sim.market.sim_provider import SimProvider
from trackfarm_sim.policies.ours import OurPolicy
from trackfarm_sim.sampled_inputs import sample_inputs
from trackfarm_sim.scenario import SimScenario

UNFINISHED = "unfinished"


@dataclass(frozen=True, slots=True)
class Episode:
    """The parameters; the fleet of `scenario` lists the GPU types on the market."""

    scenario: SimScenario
    market: MarketParams
    prices: Prices
    options: FleetOptions


@dataclass(frozen=True, slots=True)
class EpisodeOutcome:
    """The result. `makespan` and `target` in seconds; `cost` in $ of all rentals until each was
    returned, `spent` the same by category. `offline_bound` in $: the lower bound with perfect
    knowledge of the future; `market_bound`: the bound with knowledge of the market, but not of each
    machine's speed. `oracle`: costs by category of the latter's plan when executed on the same
    market; None if none of its plans met the target."""

    seed: int
    state: str
    makespan: float
    target: float
    cost: float
    spent: Mapping[str, float]
    offline_bound: float
    market_bound: float
    oracle: Mapping[str, float] | None
    done: int
    rentals: Mapping[str, int]
    outbids: int
    losses: int
    refusals: int

    @property
    def is_in_time(self) -> bool:
        return self.state == "done" and self.makespan <= self.target

    @property
    def offline_ratio(self) -> float:
        """Cost over the bound with perfect knowledge."""
        return self.cost / self.offline_bound

    @property
    def market_ratio(self) -> float:
        """Cost over the bound with knowledge of the market."""
        return self.cost / self.market_bound

    @property
    def oracle_ratio(self) -> float | None:
        """Cost over that of the executed oracle plan."""
        return self.cost / sum(self.oracle.values()) if self.oracle else None


def episode_of(
    scenario: SimScenario, market: MarketParams, prices: Prices, options: FleetOptions
) -> Episode:
    """Return an episode with every GPU of the price table that has a rental price."""
    cards = [card for card in prices.cards.values() if card.is_gpu and card.price > 0]
    fleet = tuple(group_of(card, 1) for card in cards)
    return Episode(replace(scenario, fleet=fleet), market, prices, options)


def run_episode(episode: Episode, seed: int) -> EpisodeOutcome:
    """Run an episode; deterministic for the same arguments."""
    scenario = episode.scenario
    download_gb = model_set(scenario.model_set).download_gb
    inputs = replace(sample_inputs(scenario, seed), slots=[])
    farm = SimFarm(inputs, OurPolicy(), keeps_intervals=True)
    machines = draw_machines(episode.market, episode.prices, scenario.machine_spread, seed)
    disk_price = episode.market.auction.disk_price
    provider = SimProvider(farm, machines, download_gb=download_gb, disk_price=disk_price)
    agent = FleetAgent(farm, provider, episode.prices, episode.options)
    farm.events.schedule(0.0, agent.tick)
    state = farm.play()
    while agent.open_rentals:
        farm.events.step()
    target = episode.options.target_seconds
    if episode.options.deadline_seconds is None:
        target = max(target, farm.ledger.last_commit)
    bound = OfflineBound(inputs, machines, download_gb)
    market_bound = replace(bound, knows_speeds=False)
    oracle = best_result(market_bound, target, disk_price=disk_price)
    costs = total(breakdowns(provider.rentals.values(), farm.meters.intervals))
    gpus = Counter(rental.machine.card.name for rental in provider.rentals.values())
    return EpisodeOutcome(
        seed=seed,
        state=state.value if state is not None else UNFINISHED,
        makespan=farm.ledger.last_commit,
        target=target,
        cost=costs.bill,
        spent=_by_category(costs),
        offline_bound=bound.cost(target),
        market_bound=market_bound.cost(target),
        oracle=_by_category(oracle.costs) if oracle else None,
        done=farm.ledger.done,
        rentals=dict(gpus),
        outbids=provider.outbids,
        losses=provider.losses,
        refusals=provider.refusals,
    )


def _by_category(costs: CostBreakdown) -> dict[str, float]:
    return {category.value: costs.dollars(category) for category in CostCategory}
