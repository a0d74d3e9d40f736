"""Plans: the cost and duration of a catalog, before anything is rented."""

from trackfarm.planning.demand import (
    BriefProblem,
    PlanDemand,
    ShapeCounter,
    check_for_model_set,
    demand_of,
    read_shapes,
)
from trackfarm.planning.fleet_spec import CardGroup, FleetError, parse_fleet
from trackfarm.planning.limits import LimitError, parse_budget, parse_deadline
from trackfarm.planning.models import Plan, PlanLimits, PlanRequest, ShapeCount
from trackfarm.planning.planner import plan
from trackfarm.planning.prices import Prices, PricesError, built_in_prices, load_prices

__all__ = [
    "BriefProblem",
    "CardGroup",
    "FleetError",
    "LimitError",
    "Plan",
    "PlanDemand",
    "PlanLimits",
    "PlanRequest",
    "Prices",
    "PricesError",
    "ShapeCount",
    "ShapeCounter",
    "built_in_prices",
    "check_for_model_set",
    "demand_of",
    "load_prices",
    "parse_budget",
    "parse_deadline",
    "parse_fleet",
    "plan",
    "read_shapes",
]
