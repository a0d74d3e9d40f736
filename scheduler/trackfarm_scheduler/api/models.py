"""Model sets with their workers and backlog, and plans: the estimated time and cost of a catalog on
the present workers."""

import json
from collections.abc import Iterator, Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from trackfarm.model_sets import ModelSet, UnknownModelSet, model_set, model_sets
from trackfarm.planning import Plan, PlanRequest, demand_of
from trackfarm.protocol import operator as operator_api
from trackfarm.protocol.operator import API_PREFIX, FarmModelSet, TrackCounts, WorkerState
from trackfarm.tiers import smallest_tier_for
from trackfarm_scheduler import job_plan
from trackfarm_scheduler.api.auth import Reader, TheServices
from trackfarm_scheduler.api.errors import ApiError
from trackfarm_scheduler.api.pagination import (
    ModelSetFilter,
    decode_cursor,
    encode_cursor,
    set_next_link,
)
from trackfarm_scheduler.api.queue_position import default_model
from trackfarm_scheduler.db import job_counts, workers
from trackfarm_scheduler.db.tables import WorkerRow

router = APIRouter(prefix=API_PREFIX, tags=["workers"])


@router.get("/models")
def list_models(
    request: Request,
    response: Response,
    services: TheServices,
    _caller: Reader,
    filters: Annotated[ModelSetFilter, Query()],
) -> list[operator_api.FarmModelSet]:
    """List all model sets of this version by name, with the workers and the backlog of each."""
    (behind,) = decode_cursor(filters.cursor, [str]) if filters.cursor else [""]
    with services.database.read() as session:
        live, backlog = workers.list_live(session), job_counts.count_backlog(session)
    served = {worker.model_set for worker in live}
    default = default_model(
        services.settings.default_model, [name for name in model_sets() if name in served]
    )
    names = [name for name in sorted(model_sets()) if name > str(behind)][: filters.limit]
    if len(names) == filters.limit:
        set_next_link(request, response, cursor=encode_cursor(names[-1]))
    return [
        _view(
            model_sets()[name],
            [worker for worker in live if worker.model_set == name],
            backlog.get(name, TrackCounts()),
            is_default=name == default,
        )
        for name in names
    ]


def _view(
    row: ModelSet, live: Sequence[WorkerRow], backlog: TrackCounts, *, is_default: bool
) -> FarmModelSet:
    tier = smallest_tier_for(0.0, min_vram=row.min_vram, limited=False) if row.min_vram else None
    busy = sum(worker.state == WorkerState.BUSY for worker in live)
    return FarmModelSet(
        name=row.name,
        revision=row.revision,
        digests=list(_digests(live)),
        licence=row.licence,
        tasks=sorted(row.tasks),
        min_vram=row.min_vram,
        tier=tier.name if tier else None,
        is_noise=row.is_noise,
        is_default=is_default,
        workers_ready=len(live) - busy,
        workers_busy=busy,
        tracks_pending=backlog.pending,
        tracks_leased=backlog.leased,
    )


def _digests(live: Sequence[WorkerRow]) -> Iterator[dict[str, str]]:
    """Yield each distinct set of weight digests that workers reported."""
    yielded: list[dict[str, str]] = [{}]
    for worker in live:
        digests = json.loads(worker.facts).get("digests", {})
        if digests not in yielded:
            yielded.append(digests)
            yield digests


plans_router = APIRouter(prefix=API_PREFIX, tags=["operator"])


@plans_router.post("/plans")
def plan(request: PlanRequest, services: TheServices, _caller: Reader) -> Plan:
    """Estimate the time and cost of a catalog on the workers that are present now.

    Nothing is stored, and the estimate is not binding: workers may join and leave.
    """
    kind = _kind(request.model_set)
    with services.database.read() as session:
        return job_plan.plan_now(
            session,
            demand_of(request.tracks),
            kind=kind,
            prices=services.prices,
            limits=request.limits,
            notes=job_plan.waiting_now(session),
        )


def _kind(name: str) -> ModelSet:
    try:
        return model_set(name)
    except UnknownModelSet as error:
        raise ApiError(422, str(error)) from error
