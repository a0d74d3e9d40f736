"""`POST /api/v1/plans`: what a catalog would cost on the workers that are here now."""

from collections import Counter
from collections.abc import Iterable

from fastapi import APIRouter

from trackfarm.api import PREFIX, TrackCounts
from trackfarm.model_sets import ModelSet, UnknownModelSet, model_set
from trackfarm.planning import CardGroup, Plan, PlanRequest, Prices, built_in_prices, demand_of
from trackfarm.planning import plan as planned
from trackfarm.planning.forecast import SpeedOf
from trackfarm.speed import SpeedModel
from trackfarm_scheduler.api.auth import Operator, TheFarm
from trackfarm_scheduler.api.problems import Refused
from trackfarm_scheduler.store import tracks, workers
from trackfarm_scheduler.store.tables import Worker

CPU = "cpu"


def plans_router(speed_of: SpeedOf = SpeedModel, prices: Prices | None = None) -> APIRouter:
    """The route. `speed_of` gives what the farm has learned about a card, by the name that its
    workers report; `prices` are for the alternatives, the built-in table if none are given."""
    router = APIRouter(prefix=PREFIX, tags=["operator"])
    table = prices or built_in_prices()

    @router.post("/plans")
    def plan(request: PlanRequest, farm: TheFarm, _owner: Operator) -> Plan:
        """Stores nothing and promises nothing: workers may come and go."""
        kind = _kind(request.model_set)
        with farm.database.read() as session:
            live = [w for w in workers.live(session) if w.model_set == kind.name]
            counts = tracks.counts_by_state(session)
        return planned(
            demand_of(request.tracks),
            fleet_of(live),
            kind=kind,
            prices=table,
            speed_of=_as_reported(speed_of, live, table),
            limits=request.limits,
            notes=_notes(counts),
        )

    return router


def fleet_of(live: Iterable[Worker]) -> tuple[CardGroup, ...]:
    """The workers as groups of equal cards; they run already, so nothing has to boot."""
    counts = Counter((w.gpu, w.vram, w.price_per_hour) for w in live)
    return tuple(
        CardGroup(gpu, count, vram, price, boots=False, is_gpu=gpu != CPU)
        for (gpu, vram, price), count in sorted(counts.items())
    )


def _as_reported(speed_of: SpeedOf, live: Iterable[Worker], prices: Prices) -> SpeedOf:
    """Asks for a card of the price table by the name that its workers here report."""
    cards = [(prices.card(worker.gpu), worker.gpu) for worker in live]
    names = {card.name: gpu for card, gpu in cards if card is not None}
    return lambda gpu, kind: speed_of(names.get(gpu, gpu), kind)


def _kind(name: str) -> ModelSet:
    try:
        return model_set(name)
    except UnknownModelSet as error:
        raise Refused(422, str(error)) from error


def _notes(counts: TrackCounts) -> list[str]:
    waiting = counts.pending + counts.leased
    if not waiting:
        return []
    return [f"{waiting:,} tracks of jobs that are here already are not counted; they come on top"]
