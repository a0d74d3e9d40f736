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
STAYS = 25  # page size: a million tracks on a thousand machines take a minute in all
UNAUTHORIZED = frozenset({401, 403})


class FleetClient(Client):
    """A connection for processes that rent machines. Every call may be repeated after a lost
    response: the scheduler recognizes repeated writes. Raises the errors of `Client`."""

    @call
    def term(self) -> Steps[fleet_api.FleetLease]:
        return get(fleet_api.FleetLease, "fleet/term")

    @call
    def hold_term(self, holder: str, seconds: float) -> Steps[fleet_api.FleetLease]:
        """Acquire or renew the leader lease if it is free or ours; return its current holder."""
        request = fleet_api.FleetLeaseRequest(holder=holder, seconds=seconds)
        return ask(fleet_api.FleetLease, "fleet/term", request)

    @call
    def resign(self, holder: str) -> Steps[None]:
        yield Send(
            Request(method="DELETE", url=f"{API_PREFIX}/fleet/term/{segment(holder)}"), was_lost
        )

    @call
    def situation(self, *, ended_since: float) -> Steps[fleet_api.FleetState]:
        since = {"ended_since": ended_since}
        return get(fleet_api.FleetState, "fleet/situation", since)

    @call
    def intend(self, epoch: int, plan: fleet_api.RentalPlan) -> Steps[fleet_api.IntentAnswer]:
        return ask(
            fleet_api.IntentAnswer, "fleet/rentals", fleet_api.RentalIntent(epoch=epoch, plan=plan)
        )

    @call
    def move(
        self, epoch: int, rental: fleet_api.RentalInfo, standing: fleet_api.RentalStatus
    ) -> Steps[fleet_api.RentalInfo]:
        move = fleet_api.RentalMove(epoch=epoch, version=rental.version, standing=standing)
        request = Request(
            method="PUT",
            url=f"{API_PREFIX}/fleet/rentals/{segment(rental.tag)}",
            headers={"Content-Type": "application/json"},
            body=move.model_dump_json().encode(),
        )
        return parsed_answer(fleet_api.RentalInfo, request, was_lost)

    @call
    def dismiss(self, tag: str, reason: str) -> Steps[fleet_api.RentalInfo]:
        path = f"fleet/rentals/{segment(tag)}/dismiss"
        return ask(fleet_api.RentalInfo, path, fleet_api.ReleaseRequestAnswer(reason=reason))

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
    def stays(self, *, ended_since: float) -> Steps[list[fleet_api.RentalUsage]]:
        """List the usage of the rentals that are open or ended since then."""
        stays_listed: list[fleet_api.RentalUsage] = []
        params: dict[str, Any] = {"ended_since": ended_since, "limit": STAYS}
        while True:
            page = yield from get(list[fleet_api.RentalUsage], "fleet/stays", params)
            stays_listed += page
            if len(page) < STAYS:
                return stays_listed
            params["behind"] = page[-1].rental.tag

    @call
    def bundle(self) -> Steps[fleet_api.CodeBundle]:
        """Return the description of the bundle that machines with a stock image install."""
        return get(fleet_api.CodeBundle, "fleet/bundle")

    @call
    def run_dry(self, job_id: str) -> Steps[JobInfo]:
        """End a job for which no further machine is affordable."""
        return ask(JobInfo, f"fleet/jobs/{segment(job_id)}/out-of-budget", None)


def is_stale(error: RequestRefused) -> bool:
    """Return True if the rental was changed in the meantime: read it again and retry."""
    return error.problem.status == CONFLICT


def is_unauthorized(error: RequestRefused) -> bool:
    """Return True if the scheduler rejects the API key, whatever the request."""
    return error.problem.status in UNAUTHORIZED
