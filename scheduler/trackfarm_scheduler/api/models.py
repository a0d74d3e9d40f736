"""Model sets: their abilities, the workers that serve them, and the tracks waiting for them."""

import json
from collections.abc import Iterator, Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from trackfarm import api
from trackfarm.api import PREFIX, FarmModelSet, TrackCounts, WorkerState
from trackfarm.model_sets import ModelSet, model_sets
from trackfarm.tiers import smallest_tier_for
from trackfarm_scheduler.api.auth import Reader, TheFarm
from trackfarm_scheduler.api.filters import ModelSetFilter
from trackfarm_scheduler.api.paging import cursor_of, lead_on, place_of
from trackfarm_scheduler.dropin.line import default_model
from trackfarm_scheduler.store import census, workers
from trackfarm_scheduler.store.tables import Worker

router = APIRouter(prefix=PREFIX, tags=["workers"])


@router.get("/models")
def list_models(
    request: Request,
    response: Response,
    farm: TheFarm,
    _caller: Reader,
    wanted: Annotated[ModelSetFilter, Query()],
) -> list[api.FarmModelSet]:
    """List all model sets of this version by name, with the workers and the backlog of each."""
    (behind,) = place_of(wanted.cursor, [str]) if wanted.cursor else [""]
    with farm.database.read() as session:
        live, backlog = workers.live(session), census.backlog(session)
    served = {worker.model_set for worker in live}
    default = default_model(
        farm.settings.default_model, [name for name in model_sets() if name in served]
    )
    names = [name for name in sorted(model_sets()) if name > str(behind)][: wanted.limit]
    if len(names) == wanted.limit:
        lead_on(request, response, cursor=cursor_of(names[-1]))
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
    row: ModelSet, live: Sequence[Worker], backlog: TrackCounts, *, is_default: bool
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


def _digests(live: Sequence[Worker]) -> Iterator[dict[str, str]]:
    """Yield each distinct set of weight digests that workers reported."""
    yielded: list[dict[str, str]] = [{}]
    for worker in live:
        digests = json.loads(worker.facts).get("digests", {})
        if digests not in yielded:
            yielded.append(digests)
            yield digests
