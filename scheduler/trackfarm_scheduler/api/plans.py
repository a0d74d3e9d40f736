"""`POST /api/v1/plans`: the estimated time and cost of a catalog on the present workers."""

from fastapi import APIRouter

from trackfarm.api import PREFIX
from trackfarm.model_sets import ModelSet, UnknownModelSet, model_set
from trackfarm.planning import Plan, PlanRequest, demand_of
from trackfarm_scheduler import forecasts
from trackfarm_scheduler.api.auth import Reader, TheFarm
from trackfarm_scheduler.api.problems import Refused

router = APIRouter(prefix=PREFIX, tags=["operator"])


@router.post("/plans")
def plan(request: PlanRequest, farm: TheFarm, _caller: Reader) -> Plan:
    """Estimate the time and cost of a catalog on the workers that are present now.

    Nothing is stored, and the estimate is not binding: workers may join and leave.
    """
    kind = _kind(request.model_set)
    with farm.database.read() as session:
        return forecasts.plan_now(
            session,
            demand_of(request.tracks),
            kind=kind,
            prices=farm.prices,
            limits=request.limits,
            notes=forecasts.waiting_now(session),
        )


def _kind(name: str) -> ModelSet:
    try:
        return model_set(name)
    except UnknownModelSet as error:
        raise Refused(422, str(error)) from error
