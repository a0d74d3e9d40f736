"""Client for the scheduler's fleet API (`/api/v1/fleet`)."""

from typing import Any

from trackfarm.client import Client, RequestRefused
from trackfarm.client.dual import call
from trackfarm.client.errors import was_lost
from trackfarm.client.requests import ask, get, parsed_answer, segment
from trackfarm.client.sansio import Request, Send, Steps
from trackfarm.protocol import fleet as fleet_api
from trackfarm.protocol.operator import API_PREFIX, JobInfo
from trackfarm.protocol.operator import WorkerInfo as ApiWorker

CONFLICT = 409
USAGE_PAGE = 25  # page size: a million tracks on a thousand machines take a minute in all
UNAUTHORIZED = frozenset({401, 403})


class FleetClient(Client):
    """A connection for processes that rent machines. Every call may be repeated after a lost
    response: the scheduler recognizes repeated writes. Raises the errors of `Client`."""

    @call
    def fleet_lease(self) -> Steps[fleet_api.FleetLease]:
        return get(fleet_api.FleetLease, "fleet/lease")

    @call
    def acquire_lease(self, holder: str, seconds: float) -> Steps[fleet_api.FleetLease]:
        """Acquire or renew the leader lease if it is free or ours; return its current holder."""
        request = fleet_api.FleetLeaseRequest(holder=holder, seconds=seconds)
        return ask(fleet_api.FleetLease, "fleet/lease", request)

    @call
    def release_lease(self, holder: str) -> Steps[None]:
        url = f"{API_PREFIX}/fleet/lease/{segment(holder)}"
        yield Send(Request(method="DELETE", url=url), was_lost)

    @call
    def fleet_state(self, *, ended_since: float) -> Steps[fleet_api.FleetState]:
        return get(fleet_api.FleetState, "fleet/state", {"ended_since": ended_since})

    @call
    def create_intent(
        self, epoch: int, plan: fleet_api.RentalPlan
    ) -> Steps[fleet_api.IntentAnswer]:
        return ask(
            fleet_api.IntentAnswer, "fleet/rentals", fleet_api.RentalIntent(epoch=epoch, plan=plan)
        )

    @call
    def update_rental(
        self, epoch: int, rental: fleet_api.RentalInfo, status: fleet_api.RentalStatus
    ) -> Steps[fleet_api.RentalInfo]:
        move = fleet_api.RentalMove(epoch=epoch, version=rental.version, status=status)
        request = Request(
            method="PUT",
            url=f"{API_PREFIX}/fleet/rentals/{segment(rental.tag)}",
            headers={"Content-Type": "application/json"},
            body=move.model_dump_json().encode(),
        )
        return parsed_answer(fleet_api.RentalInfo, request, was_lost)

    @call
    def request_release(self, tag: str, reason: str) -> Steps[fleet_api.RentalInfo]:
        path = f"fleet/rentals/{segment(tag)}/release"
        return ask(fleet_api.RentalInfo, path, fleet_api.RentalReleaseRequest(reason=reason))

    @call
    def drain(self, tag: str) -> Steps[list[ApiWorker]]:
        """Drain the rental's workers: they finish their work and leave. Returns the workers still
        present."""
        return ask(list[ApiWorker], f"fleet/rentals/{segment(tag)}/drain", None)

    @call
    def rentals(self, *, ended_since: float) -> Steps[list[fleet_api.RentalInfo]]:
        """List the rentals that are open or ended since then."""
        return get(list[fleet_api.RentalInfo], "fleet/rentals", {"ended_since": ended_since})

    @call
    def usage(self, *, ended_since: float) -> Steps[list[fleet_api.RentalUsage]]:
        """List the usage of the rentals that are open or ended since then."""
        usages: list[fleet_api.RentalUsage] = []
        params: dict[str, Any] = {"ended_since": ended_since, "limit": USAGE_PAGE}
        while True:
            page = yield from get(list[fleet_api.RentalUsage], "fleet/usage", params)
            usages += page
            if len(page) < USAGE_PAGE:
                return usages
            params["behind"] = page[-1].rental.tag

    @call
    def bundle(self) -> Steps[fleet_api.CodeBundle]:
        """Return the description of the bundle that machines with a stock image install."""
        return get(fleet_api.CodeBundle, "fleet/bundle")

    @call
    def mark_out_of_budget(self, job_id: str) -> Steps[JobInfo]:
        """End a job for which no further machine is affordable."""
        return ask(JobInfo, f"fleet/jobs/{segment(job_id)}/out-of-budget", None)


def is_stale(error: RequestRefused) -> bool:
    """Return True if the rental was changed in the meantime: read it again and retry."""
    return error.problem.status == CONFLICT


def is_unauthorized(error: RequestRefused) -> bool:
    """Return True if the scheduler rejects the API key, whatever the request."""
    return error.problem.status in UNAUTHORIZED
