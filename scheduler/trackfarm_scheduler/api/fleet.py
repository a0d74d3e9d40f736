"""The fleet's calls: who leads, what there is to do, and every step in the life of a rental."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

from fastapi import APIRouter, Query
from sqlmodel import Session

from trackfarm import api
from trackfarm import rentals as wire
from trackfarm.api import PREFIX
from trackfarm_scheduler import views
from trackfarm_scheduler.api.access import end_access
from trackfarm_scheduler.api.auth import Operator, Reader, TheBadges, TheFarm
from trackfarm_scheduler.api.changes import changing
from trackfarm_scheduler.api.problems import Refused
from trackfarm_scheduler.farm import Farm
from trackfarm_scheduler.store import fleet_look, jobs, rentals, stays, terms, workers
from trackfarm_scheduler.store.rentals import Stale
from trackfarm_scheduler.store.terms import TermOver

router = APIRouter(prefix=f"{PREFIX}/fleet", tags=["fleet"])
Since = Annotated[float, Query(ge=0, le=1e11, allow_inf_nan=False)]
FOREVER = 1e11


@router.post("/term")
def hold_term(request: wire.TermRequest, farm: TheFarm, _caller: Operator) -> wire.Term:
    """Takes or renews the lead of the fleet; says who has it now."""
    with farm.database.write() as session:
        return terms.hold(session, request, farm.clock())


@router.get("/term")
def show_term(farm: TheFarm, _caller: Reader) -> wire.Term:
    """Who leads the fleet, and by which name it knows its machines."""
    with farm.database.read() as session:
        term = terms.current(session, farm.clock())
    if term is not None:
        return term
    with farm.database.write() as session:
        return terms.first(session)


@router.delete("/term/{holder}", status_code=204)
def resign(holder: str, farm: TheFarm, _caller: Operator) -> None:
    """Gives the lead up, so that another need not wait for the end of the term."""
    with farm.database.write() as session:
        terms.resign(session, holder, farm.clock())


@router.get("/situation")
def situation(
    farm: TheFarm, _caller: Operator, ended_since: Since = FOREVER
) -> wire.FleetSituation:
    """All that the fleet decides by. Jobs have no names here: it works for all owners."""
    now, term = farm.clock(), show_term(farm, _caller)
    with farm.database.read() as session:
        return fleet_look.situation(session, farm.demands, now, term=term, ended_since=ended_since)


@router.get("/rentals")
def list_rentals(
    farm: TheFarm, _caller: Operator, ended_since: Since = FOREVER
) -> list[wire.Rental]:
    """The open ones and those that ended since a time, oldest first; `purpose` may name the job of
    any owner."""
    with farm.database.read() as session:
        found = rentals.known(session, ended_since=ended_since)
        return [rentals.view(row) for row in found]


@router.get("/stays")
def list_stays(
    farm: TheFarm,
    caller: Operator,
    ended_since: Since = FOREVER,
    behind: wire.Tag | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
) -> list[wire.Stay]:
    """What the time of these rentals was used for, in the order of `/rentals`. All that their
    workers ever made is gone through for that: ask for a few, then for those `behind` the last."""
    with farm.database.read(streamed=True) as session:
        last = rentals.by_tag(session, behind) if behind else None
        if behind and last is None:
            raise _unknown(behind)
        found = rentals.known(session, ended_since=ended_since, behind=last, limit=limit)
        return stays.of(session, found, owner=caller.sees)


@router.post("/rentals", status_code=201)
def intend(request: wire.Intent, farm: TheFarm, caller: Operator) -> wire.Intended:
    """Writes down that a machine is about to be asked for; its workers' invitation is told once."""
    plan = request.plan
    with changing(farm, caller.actor, "rental.intend", plan.tag) as change, _up_to_date():
        terms.require(change.session, request.epoch)
        row, made = rentals.intend(change.session, plan, farm.clock(), made_by=caller.owner)
    return wire.Intended(rental=rentals.view(row), token=made.token)


@router.put("/rentals/{tag}")
def move(
    tag: str, request: wire.Move, farm: TheFarm, badges: TheBadges, _caller: Operator
) -> wire.Rental:
    """Writes the next step of a rental's life, decided by its present version."""
    with farm.database.write() as session, _up_to_date():
        terms.require(session, request.epoch)
        moved = rentals.move(session, tag, request, farm.clock())
    if moved is None:
        raise _unknown(tag)
    row, ended = moved
    for worker_id in ended:
        end_access(farm, badges, worker_id)
    return rentals.view(row)


@router.post("/rentals/{tag}/dismiss")
def dismiss(tag: str, request: wire.Dismissal, farm: TheFarm, caller: Operator) -> wire.Rental:
    """Asks whoever leads the fleet to drain a rental and to give it back."""
    with changing(farm, caller.actor, "rental.dismiss", tag) as change:
        row = rentals.dismiss(change.session, tag, request.reason)
        if row is None:
            raise _unknown(tag)
    return rentals.view(row)


@router.post("/rentals/{tag}/drain")
def drain(tag: str, farm: TheFarm, caller: Operator) -> list[api.Worker]:
    """Gives the workers of a rental nothing new; each leaves when it has finished what it has.
    Says who there is."""
    with farm.database.write() as session:
        if rentals.by_tag(session, tag) is None:
            raise _unknown(tag)
        rentals.drain(session, tag, farm.clock())
        farm.placing.wake()
        return _workers_of(session, farm, tag)


@router.post("/jobs/{reference}/out-of-budget")
def out_of_budget(reference: str, farm: TheFarm, caller: Operator) -> api.Job:
    """Ends a job for which no machine can be paid any more; what is finished stays."""
    with changing(farm, caller.actor, "job.out_of_budget", reference) as change:
        found = jobs.find(change.session, reference, owner=caller.sees)
        if len(found) != 1:
            raise Refused(404, f"there is no job {reference}; `trackfarm jobs` lists them")
        change.target = found[0].id
        jobs.run_dry(change.session, found[0], farm.clock())
    with farm.database.read() as session:
        (job,) = jobs.find(session, change.target)
        return views.job_view(session, job, workers.live(session), farm.clock())


def _workers_of(session: Session, farm: Farm, tag: str) -> list[api.Worker]:
    now = farm.clock()
    present = [w for w in workers.all_present(session) if w.rental_tag == tag]
    return [views.worker_view(w, 0, now) for w in present]


@contextmanager
def _up_to_date() -> Iterator[None]:
    try:
        yield
    except TermOver:
        raise Refused(409, "another fleet process leads now; this one has to look again") from None
    except Stale as error:
        raise Refused(409, f"{error}; look again") from None


def _unknown(tag: str) -> Refused:
    return Refused(404, f"there is no rental {tag}; `trackfarm fleet status` lists them")
