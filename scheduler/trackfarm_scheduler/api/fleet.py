"""Fleet API: the leader lease, the demand for machines, and the life cycle of rentals.

The software bundle that machines with a stock image install.
"""

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
from trackfarm_scheduler.api.auth import JoiningToken, Operator, Reader, TheBadges, TheFarm
from trackfarm_scheduler.api.errors import ApiError
from trackfarm_scheduler.api.worker_api import end_access
from trackfarm_scheduler.db import fleet_state, jobs, leader_leases, rentals, workers
from trackfarm_scheduler.db.leader_leases import FLEET, NotLeading
from trackfarm_scheduler.db.rentals import Stale
from trackfarm_scheduler.rental_usage import usage_of
from trackfarm_scheduler.services import Services

router = APIRouter(prefix=f"{API_PREFIX}/fleet", tags=["fleet"])
Since = Annotated[float, Query(ge=0, le=1e11, allow_inf_nan=False)]
FOREVER = 1e11


@router.post("/lease")
def acquire_lease(
    request: fleet_api.FleetLeaseRequest, farm: TheFarm, _caller: Operator
) -> fleet_api.FleetLease:
    """Acquire or renew the fleet's leader lease; returns the current leader."""
    with farm.database.write() as session:
        name, now = fleet_state.ensure_farm_name(session), farm.clock()
        lease = leader_leases.acquire(
            session, FLEET, request.holder, seconds=request.seconds, now=now
        )
        return fleet_state.lease_view(name, lease, now)


@router.get("/lease")
def show_lease(farm: TheFarm, _caller: Reader) -> fleet_api.FleetLease:
    """Return the current leader of the fleet, and the farm name in the tags of its machines."""
    with farm.database.read() as session:
        name, lease = fleet_state.find_farm_name(session), leader_leases.find(session, FLEET)
    if name is None:
        with farm.database.write() as session:
            name = fleet_state.ensure_farm_name(session)
    return fleet_state.lease_view(name, lease, farm.clock())


@router.delete("/lease/{holder}", status_code=204)
def release_lease(holder: str, farm: TheFarm, _caller: Operator) -> None:
    """Release the leader lease, so that another process need not wait for it to expire."""
    with farm.database.write() as session:
        leader_leases.release(session, FLEET, holder)


@router.get("/state")
def show_state(
    farm: TheFarm, _caller: Operator, ended_since: Since = FOREVER
) -> fleet_api.FleetState:
    """Return the state that the autoscaler decides by: rentals, workers, demand and speeds.

    Rentals that ended at or after `ended_since` (Unix seconds) are included. The demand has no job
    names, because the fleet serves all owners.
    """
    now, lease = farm.clock(), show_lease(farm, _caller)
    with farm.database.read() as session:
        return fleet_state.fleet_state(
            session, farm.demands, now, lease=lease, ended_since=ended_since
        )


@router.get("/rentals")
def list_rentals(
    farm: TheFarm, _caller: Operator, ended_since: Since = FOREVER
) -> list[fleet_api.RentalInfo]:
    """List open rentals and rentals that ended at or after `ended_since`, oldest first.

    `ended_since` is in Unix seconds. The `purpose` of a rental may name a job of any owner.
    """
    with farm.database.read() as session:
        rows = rentals.known(session, ended_since=ended_since)
        return [rentals.view(row) for row in rows]


@router.get("/usage")
def list_usage(
    farm: TheFarm,
    caller: Operator,
    ended_since: Since = FOREVER,
    behind: fleet_api.Tag | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 1000,
) -> list[fleet_api.RentalUsage]:
    """List how the time of each rental was used, in the order of `/rentals`.

    This reads every attempt of the rentals' workers, so request a few rentals at a time: pass the
    tag of the last one as `behind` to get the next page.
    """
    with farm.database.read(streamed=True) as session:
        last = rentals.by_tag(session, behind) if behind else None
        if behind and last is None:
            raise _unknown(behind)
        rows = rentals.known(session, ended_since=ended_since, behind=last, limit=limit)
        return usage_of(session, rows, owner=caller.sees)


@router.post("/rentals", status_code=201)
def create_intent(
    request: fleet_api.RentalIntent, farm: TheFarm, caller: Operator
) -> fleet_api.IntentAnswer:
    """Record the intent to rent a machine, before it is requested from the provider.

    The response is the only place that has the token of the invitation for its workers.
    """
    plan = request.plan
    with (
        audited_transaction(farm, caller.actor, "rental.intend", plan.tag) as change,
        _up_to_date(),
    ):
        leader_leases.require_epoch(change.session, FLEET, request.epoch)
        row, invitation = rentals.create_intent(
            change.session, plan, farm.clock(), made_by=caller.owner
        )
    return fleet_api.IntentAnswer(rental=rentals.view(row), token=invitation.token)


@router.put("/rentals/{tag}")
def move(
    tag: str, request: fleet_api.RentalMove, farm: TheFarm, badges: TheBadges, _caller: Operator
) -> fleet_api.RentalInfo:
    """Update a rental to its next state; refused (409) if its version has changed since."""
    with farm.database.write() as session, _up_to_date():
        leader_leases.require_epoch(session, FLEET, request.epoch)
        change = rentals.move(session, tag, request, farm.clock())
    if change is None:
        raise _unknown(tag)
    row, ended_worker_ids = change
    for worker_id in ended_worker_ids:
        end_access(farm, badges, worker_id)
    return rentals.view(row)


@router.post("/rentals/{tag}/release")
def request_release(
    tag: str, request: fleet_api.RentalReleaseRequest, farm: TheFarm, caller: Operator
) -> fleet_api.RentalInfo:
    """Ask the fleet's leader to drain a rental and return the machine."""
    with audited_transaction(farm, caller.actor, "rental.release", tag) as change:
        row = rentals.request_release(change.session, tag, request.reason)
        if row is None:
            raise _unknown(tag)
    return rentals.view(row)


@router.post("/rentals/{tag}/drain")
def drain(tag: str, farm: TheFarm, caller: Operator) -> list[operator_api.WorkerInfo]:
    """Stop giving new work to the workers of a rental; each leaves once it has finished its shards.

    Returns the workers of the rental that are present.
    """
    with farm.database.write() as session:
        if rentals.by_tag(session, tag) is None:
            raise _unknown(tag)
        rentals.drain(session, tag, farm.clock())
        farm.placing.wake()
        return _workers_of(session, farm, tag)


@router.post("/jobs/{reference}/out-of-budget")
def out_of_budget(reference: str, farm: TheFarm, caller: Operator) -> operator_api.JobInfo:
    """End a job because its budget pays for no further machine; its finished tracks stay."""
    with audited_transaction(farm, caller.actor, "job.out_of_budget", reference) as change:
        matches = jobs.find(change.session, reference, owner=caller.sees)
        if len(matches) != 1:
            raise ApiError(404, f"there is no job {reference}; `trackfarm jobs` lists them")
        change.target = matches[0].id
        jobs.run_dry(change.session, matches[0], farm.clock())
    with farm.database.read() as session:
        (job,) = jobs.find(session, change.target)
        return views.job_view(session, job, workers.live(session), farm.clock())


def _workers_of(session: Session, farm: Services, tag: str) -> list[operator_api.WorkerInfo]:
    now = farm.clock()
    present = [w for w in workers.all_present(session) if w.rental_tag == tag]
    return [views.worker_view(w, 0, now) for w in present]


@contextmanager
def _up_to_date() -> Iterator[None]:
    try:
        yield
    except NotLeading:
        raise ApiError(409, "another fleet process is the leader now; reload the state") from None
    except Stale as error:
        raise ApiError(409, f"{error}; reload and retry") from None


def _unknown(tag: str) -> ApiError:
    return ApiError(404, f"there is no rental {tag}; `trackfarm fleet status` lists them")


bundle_router = APIRouter()
NONE = (
    "this farm has no bundle for machines with a stock image: build one (`deploy/provision/bundle`)"
    " and set the scheduler's TRACKFARM_SCHEDULER_BUNDLE to its path"
)


@bundle_router.get(f"{API_PREFIX}/fleet/bundle", tags=["fleet"])
def show_bundle(farm: TheFarm, _caller: Operator) -> fleet_api.CodeBundle:
    """Return the size and the SHA-256 digest of the bundle, by which machines verify it."""
    with _bundle(farm).open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return fleet_api.CodeBundle(sha256=sha256, size=file.tell())


@bundle_router.get(BUNDLE, tags=["worker"], response_class=FileResponse)
def fetch_bundle(farm: TheFarm, _token: JoiningToken) -> FileResponse:
    """Download the bundle, a gzip archive, with a join token. Spends no use of an invitation."""
    return FileResponse(_bundle(farm), media_type="application/gzip")


def _bundle(farm: Services) -> Path:
    path = farm.settings.bundle
    if path is None or not path.is_file():
        raise ApiError(404, NONE)
    return path
