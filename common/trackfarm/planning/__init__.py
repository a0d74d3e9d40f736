"""Plans: the cost and duration of a catalog, before anything is rented."""

from trackfarm.planning.brief_notes import BriefNotes
from trackfarm.planning.demand import PlanDemand, ShapeCounter, demand_of, read_shapes
from trackfarm.planning.fleet_spec import CardGroup, FleetError, parse_fleet
from trackfarm.planning.limits import LimitError, parse_budget, parse_deadline
from trackfarm.planning.model_set_check import (
    BriefProblem,
    ModelSetCheck,
    check_for_model_set,
)
from trackfarm.planning.models import Plan, PlanLimits, PlanRequest, ShapeCount
from trackfarm.planning.planner import plan
from trackfarm.planning.prices import Prices, PricesError, built_in_prices, load_prices

__all__ = [
    "BriefNotes",
    "BriefProblem",
    "CardGroup",
    "FleetError",
    "LimitError",
    "ModelSetCheck",
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
