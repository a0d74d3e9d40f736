"""Plans: the cost and duration of a catalog, before anything is rented."""

from trackfarm.planning.demand import Demand, ShapeCounter, demand_of
from trackfarm.planning.fleet import CardGroup, FleetError, parse_fleet
from trackfarm.planning.limits import LimitError, parse_budget, parse_deadline
from trackfarm.planning.needs import BriefProblem, check_against
from trackfarm.planning.planner import plan
from trackfarm.planning.prices import Prices, PricesError, built_in_prices, load_prices
from trackfarm.planning.reading import read_shapes
from trackfarm.planning.records import Limits, Plan, PlanRequest, ShapeCount

__all__ = [
    "BriefProblem",
    "CardGroup",
    "Demand",
    "FleetError",
    "LimitError",
    "Limits",
    "Plan",
    "PlanRequest",
    "Prices",
    "PricesError",
    "ShapeCount",
    "ShapeCounter",
    "built_in_prices",
    "check_against",
    "demand_of",
    "load_prices",
    "parse_budget",
    "parse_deadline",
    "parse_fleet",
    "plan",
    "read_shapes",
]
