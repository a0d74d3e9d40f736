"""Job plans for the live workers, with the speeds the farm has learned."""

from collections import Counter
from collections.abc import Iterable, Sequence

from sqlmodel import Session

from trackfarm.model_sets import ModelSet, model_set
from trackfarm.planning import (
    CardGroup,
    Plan,
    PlanDemand,
    PlanLimits,
    Prices,
    demand_of,
)
from trackfarm.planning import plan as planned
from trackfarm.planning.forecast import SpeedOf
from trackfarm.protocol.operator import CPU, TrackCounts
from trackfarm_scheduler.db import job_counts, speeds, workers
from trackfarm_scheduler.db.tables import JobRow, WorkerRow

PASSED = 1.0  # seconds; stands for a deadline in the past


def plan_now(
    session: Session,
    demand: PlanDemand,
    *,
    kind: ModelSet,
    prices: Prices,
    limits: PlanLimits | None = None,
    notes: Sequence[str] = (),
) -> Plan:
    """Return the cost and time of `demand` on the live workers of `kind`."""
    live = [w for w in workers.list_live(session) if w.model_set == kind.name]
    return planned(
        demand,
        fleet_of(live),
        kind=kind,
        prices=prices,
        speed_of=_as_reported(lambda gpu, k: speeds.load_model(session, gpu, k), live, prices),
        limits=limits,
        notes=notes,
    )


def plan_of(session: Session, job: JobRow, prices: Prices) -> Plan | None:
    """Return the plan for a job's pending tracks; None when there are none."""
    shapes = job_counts.count_pending_shapes(session, job.id)
    if not shapes:
        return None
    kind = model_set(job.model_set)
    return plan_now(session, demand_of(shapes), kind=kind, prices=prices, limits=_limits_of(job))


def _limits_of(job: JobRow) -> PlanLimits:
    """Return limits counted from the submission; a deadline that had passed by then cannot be
    met."""
    seconds = None if job.deadline is None else max(job.deadline - job.created_at, PASSED)
    return PlanLimits(deadline_seconds=seconds, budget=job.budget)


def keep(session: Session, job_id: str, prices: Prices) -> None:
    """Store the plan of a newly accepted job, to compare it with the actual run later."""
    job = session.get(JobRow, job_id)
    plan = plan_of(session, job, prices) if job is not None else None
    if job is not None and plan is not None:
        job.plan = plan.model_dump_json()
        session.add(job)


def fleet_of(live: Iterable[WorkerRow]) -> tuple[CardGroup, ...]:
    """Group the workers by equal GPUs; they run already, so none has to boot."""
    counts = Counter((w.gpu, w.vram, w.price_per_hour) for w in live)
    return tuple(
        CardGroup(gpu, count, vram, price, needs_boot=False, is_gpu=gpu != CPU)
        for (gpu, vram, price), count in sorted(counts.items())
    )


def waiting_notes(counts: TrackCounts) -> list[str]:
    """Return operator notes about work that a plan leaves out."""
    waiting = counts.pending + counts.leased
    if not waiting:
        return []
    return [f"{waiting:,} tracks of jobs submitted earlier are not included in this plan"]


def waiting_now(session: Session) -> list[str]:
    return waiting_notes(job_counts.count_all(session))


def _as_reported(speed_of: SpeedOf, live: Iterable[WorkerRow], prices: Prices) -> SpeedOf:
    """Look up speeds for a GPU of the price table under the name its workers report."""
    cards = [(prices.card(worker.gpu), worker.gpu) for worker in live]
    names = {card.name: gpu for card, gpu in cards if card is not None}
    return lambda gpu, kind: speed_of(names.get(gpu, gpu), kind)
