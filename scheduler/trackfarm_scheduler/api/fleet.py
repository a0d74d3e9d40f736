"""Fleet API: the leader lease, the demand for machines, the life cycle of rentals, and the software
bundle that machines with a stock image install."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import FileResponse
from sqlmodel import Session

from trackfarm.protocol import fleet as fleet_api
from trackfarm.protocol import operator as operator_api
from trackfarm.protocol.operator import API_PREFIX
from trackfarm.protocol.worker import BUNDLE
from trackfarm_scheduler import views
from trackfarm_scheduler.api.audited import audited_transaction
from trackfarm_scheduler.api.auth import JoiningToken, Operator, Reader, TheServices, TheTokenCache
from trackfarm_scheduler.api.errors import ApiError
from trackfarm_scheduler.api.worker_api import revoke_access
from trackfarm_scheduler.db import fleet_state, jobs, leader_leases, rentals, workers
from trackfarm_scheduler.db.leader_leases import FLEET, NotLeading
from trackfarm_scheduler.db.rentals import StaleRental
from trackfarm_scheduler.rental_usage import usage_of
from trackfarm_scheduler.services import Services

router = APIRouter(prefix=f"{API_PREFIX}/fleet", tags=["fleet"])
Since = Annotated[float, Query(ge=0, le=1e11, allow_inf_nan=False)]
FOREVER = 1e11


@router.post("/lease")
def acquire_lease(
    request: fleet_api.FleetLeaseRequest, services: TheServices, _caller: Operator
) -> fleet_api.FleetLease:
    """Acquire or renew the fleet's leader lease; returns the current leader."""
    with services.database.write() as session:
        name, now = fleet_state.ensure_farm_name(session), services.clock()
        lease = leader_leases.acquire(
            session, FLEET, request.holder, seconds=request.seconds, now=now
        )
        return fleet_state.lease_view(name, lease, now)


@router.get("/lease")
def show_lease(services: TheServices, _caller: Reader) -> fleet_api.FleetLease:
    """Return the current leader of the fleet, and the farm name in the tags of its machines."""
    with services.database.read() as session:
        name, lease = fleet_state.find_farm_name(session), leader_leases.find(session, FLEET)
    if name is None:
        with services.database.write() as session:
            name = fleet_state.ensure_farm_name(session)
    return fleet_state.lease_view(name, lease, services.clock())


@router.delete("/lease/{holder}", status_code=204)
def release_lease(holder: str, services: TheServices, _caller: Operator) -> None:
    """Release the leader lease, so that another process need not wait for it to expire."""
    with services.database.write() as session:
        leader_leases.release(session, FLEET, holder)


@router.get("/state")
def show_state(
    services: TheServices, _caller: Operator, ended_since: Since = FOREVER
) -> fleet_api.FleetState:
    """Return the state that the autoscaler decides by: rentals, workers, demand and speeds.

    Rentals that ended at or after `ended_since` (Unix seconds) are included. The demand has no job
    names, because the fleet serves all owners.
    """
    now, lease = services.clock(), show_lease(services, _caller)
    with services.database.read() as session:
        return fleet_state.load_state(
            session, services.demand_cache, now, lease=lease, ended_since=ended_since
        )


@router.get("/rentals")
def list_rentals(
    services: TheServices, _caller: Operator, ended_since: Since = FOREVER
) -> list[fleet_api.RentalInfo]:
    """List open rentals and rentals that ended at or after `ended_since`, oldest first.

    `ended_since` is in Unix seconds. The `purpose` of a rental may name a job of any owner.
    """
    with services.database.read() as session:
        rows = rentals.list_recent(session, ended_since=ended_since)
        return [rentals.view(row) for row in rows]


@router.get("/usage")
def list_usage(
    services: TheServices,
    caller: Operator,
    ended_since: Since = FOREVER,
    behind: fleet_api.Tag | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
) -> list[fleet_api.RentalUsage]:
    """List how the time of each rental was used, in the order of `/rentals`.

    This reads every attempt of the rentals' workers, so request a few rentals at a time: pass the
    tag of the last one as `behind` to get the next page.
    """
    with services.database.read(streamed=True) as session:
        last = rentals.find_by_tag(session, behind) if behind else None
        if behind and last is None:
            raise _unknown(behind)
        rows = rentals.list_recent(session, ended_since=ended_since, behind=last, limit=limit)
        return usage_of(session, rows, owner=caller.sees)


@router.post("/rentals", status_code=201)
def create_intent(
    request: fleet_api.RentalIntent, services: TheServices, caller: Operator
) -> fleet_api.IntentAnswer:
    """Record the intent to rent a machine, before it is requested from the provider.

    The response is the only place that has the token of the invitation for its workers.
    """
    plan = request.plan
    with (
        audited_transaction(services, caller.actor, "rental.intend", plan.tag) as change,
        _up_to_date(),
    ):
        leader_leases.require_epoch(change.session, FLEET, request.epoch)
        row, invitation = rentals.create_intent(
            change.session, plan, services.clock(), made_by=caller.owner
        )
    return fleet_api.IntentAnswer(rental=rentals.view(row), token=invitation.token)


@router.put("/rentals/{tag}")
def move(
    tag: str,
    request: fleet_api.RentalMove,
    services: TheServices,
    token_cache: TheTokenCache,
    _caller: Operator,
) -> fleet_api.RentalInfo:
    """Update a rental to its next state; refused (409) if its version has changed since."""
    with services.database.write() as session, _up_to_date():
        leader_leases.require_epoch(session, FLEET, request.epoch)
        change = rentals.move(session, tag, request, services.clock())
    if change is None:
        raise _unknown(tag)
    row, ended_worker_ids = change
    for worker_id in ended_worker_ids:
        revoke_access(services, token_cache, worker_id)
    return rentals.view(row)


@router.post("/rentals/{tag}/release")
def request_release(
    tag: str, request: fleet_api.RentalReleaseRequest, services: TheServices, caller: Operator
) -> fleet_api.RentalInfo:
    """Ask the fleet's leader to drain a rental and return the machine."""
    with audited_transaction(services, caller.actor, "rental.release", tag) as change:
        row = rentals.request_release(change.session, tag, request.reason)
        if row is None:
            raise _unknown(tag)
    return rentals.view(row)


@router.post("/rentals/{tag}/drain")
def drain(tag: str, services: TheServices, caller: Operator) -> list[operator_api.WorkerInfo]:
    """Stop giving new work to the workers of a rental; each leaves once it has finished its shards.

    Returns the workers of the rental that are present.
    """
    with services.database.write() as session:
        if rentals.find_by_tag(session, tag) is None:
            raise _unknown(tag)
        rentals.drain(session, tag, services.clock())
        services.placer_loop.wake()
        return _workers_of(session, services, tag)


@router.post("/jobs/{reference}/out-of-budget")
def out_of_budget(reference: str, services: TheServices, caller: Operator) -> operator_api.JobInfo:
    """End a job because its budget pays for no further machine; its finished tracks stay."""
    with audited_transaction(services, caller.actor, "job.out_of_budget", reference) as change:
        matches = jobs.find(change.session, reference, owner=caller.sees)
        if len(matches) != 1:
            raise ApiError(404, f"there is no job {reference}; `trackfarm jobs` lists them")
        change.target = matches[0].id
        jobs.mark_out_of_budget(change.session, matches[0], services.clock())
    with services.database.read() as session:
        (job,) = jobs.find(session, change.target)
        return views.job_view(session, job, workers.list_live(session), services.clock())


def _workers_of(session: Session, services: Services, tag: str) -> list[operator_api.WorkerInfo]:
    now = services.clock()
    present = [w for w in workers.list_present(session) if w.rental_tag == tag]
    return [views.worker_view(w, 0, now) for w in present]


@contextmanager
def _up_to_date() -> Iterator[None]:
    try:
        yield
    except NotLeading:
        raise ApiError(409, "another fleet process is the leader now; reload the state") from None
    except StaleRental as error:
        raise ApiError(409, f"{error}; reload and retry") from None


def _unknown(tag: str) -> ApiError:
    return ApiError(404, f"there is no rental {tag}; `trackfarm fleet status` lists them")


bundle_router = APIRouter()
NONE = (
    "this farm has no bundle for machines with a stock image: build one (`deploy/provision/bundle`)"
    " and set the scheduler's TRACKFARM_SCHEDULER_BUNDLE to its path"
)


@bundle_router.get(f"{API_PREFIX}/fleet/bundle", tags=["fleet"])
def show_bundle(services: TheServices, _caller: Operator) -> fleet_api.CodeBundle:
    """Return the size and the SHA-256 digest of the bundle, by which machines verify it."""
    with _bundle(services).open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return fleet_api.CodeBundle(sha256=sha256, size=file.tell())


@bundle_router.get(BUNDLE, tags=["worker"], response_class=FileResponse)
def fetch_bundle(services: TheServices, _token: JoiningToken) -> FileResponse:
    """Download the bundle, a gzip archive, with a join token. Spends no use of an invitation."""
    return FileResponse(_bundle(services), media_type="application/gzip")


def _bundle(services: Services) -> Path:
    path = services.settings.bundle
    if path is None or not path.is_file():
        raise ApiError(404, NONE)
    return path
