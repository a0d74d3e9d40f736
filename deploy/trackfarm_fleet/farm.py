"""Client for the scheduler's fleet API (`/api/v1/fleet`)."""

from typing import Any

from trackfarm import rentals as wire
from trackfarm.api import PREFIX, Job
from trackfarm.api import Worker as ApiWorker
from trackfarm.client import Client, Refused
from trackfarm.client.asking import answered, ask, get, segment
from trackfarm.client.endings import lost
from trackfarm.client.steps import Request, Send, Steps
from trackfarm.client.worlds import call

CONFLICT = 409
STAYS = 25  # page size: a million tracks on a thousand machines take a minute in all
UNWELCOME = frozenset({401, 403})


class FleetFarm(Client):
    """A connection for processes that rent machines. Every call may be repeated after a lost
    response: the scheduler recognizes repeated writes. Raises the errors of `Client`."""

    @call
    def term(self) -> Steps[wire.Term]:
        return get(wire.Term, "fleet/term")

    @call
    def hold_term(self, holder: str, seconds: float) -> Steps[wire.Term]:
        """Acquire or renew the leader lease if it is free or ours; return its current holder."""
        request = wire.TermRequest(holder=holder, seconds=seconds)
        return ask(wire.Term, "fleet/term", request)

    @call
    def resign(self, holder: str) -> Steps[None]:
        yield Send(Request(method="DELETE", url=f"{PREFIX}/fleet/term/{segment(holder)}"), lost)

    @call
    def situation(self, *, ended_since: float) -> Steps[wire.FleetSituation]:
        since = {"ended_since": ended_since}
        return get(wire.FleetSituation, "fleet/situation", since)

    @call
    def intend(self, epoch: int, plan: wire.RentalPlan) -> Steps[wire.Intended]:
        return ask(wire.Intended, "fleet/rentals", wire.Intent(epoch=epoch, plan=plan))

    @call
    def move(self, epoch: int, rental: wire.Rental, standing: wire.Standing) -> Steps[wire.Rental]:
        move = wire.Move(epoch=epoch, version=rental.version, standing=standing)
        request = Request(
            method="PUT",
            url=f"{PREFIX}/fleet/rentals/{segment(rental.tag)}",
            headers={"Content-Type": "application/json"},
            body=move.model_dump_json().encode(),
        )
        return answered(wire.Rental, request, lost)

    @call
    def dismiss(self, tag: str, reason: str) -> Steps[wire.Rental]:
        path = f"fleet/rentals/{segment(tag)}/dismiss"
        return ask(wire.Rental, path, wire.Dismissal(reason=reason))

    @call
    def drain(self, tag: str) -> Steps[list[ApiWorker]]:
        """Drain the rental's workers: they finish their work and leave. Returns the workers still
        present."""
        return ask(list[ApiWorker], f"fleet/rentals/{segment(tag)}/drain", None)

    @call
    def rentals(self, *, ended_since: float) -> Steps[list[wire.Rental]]:
        """List the rentals that are open or ended since then."""
        return get(list[wire.Rental], "fleet/rentals", {"ended_since": ended_since})

    @call
    def stays(self, *, ended_since: float) -> Steps[list[wire.Stay]]:
        """List the usage of the rentals that are open or ended since then."""
        stays_listed: list[wire.Stay] = []
        params: dict[str, Any] = {"ended_since": ended_since, "limit": STAYS}
        while True:
            page = yield from get(list[wire.Stay], "fleet/stays", params)
            stays_listed += page
            if len(page) < STAYS:
                return stays_listed
            params["behind"] = page[-1].rental.tag

    @call
    def bundle(self) -> Steps[wire.Bundle]:
        """Return the description of the bundle that machines with a stock image install."""
        return get(wire.Bundle, "fleet/bundle")

    @call
    def run_dry(self, job_id: str) -> Steps[Job]:
        """End a job for which no further machine is affordable."""
        return ask(Job, f"fleet/jobs/{segment(job_id)}/out-of-budget", None)


def is_stale(error: Refused) -> bool:
    """Return True if the rental was changed in the meantime: read it again and retry."""
    return error.problem.status == CONFLICT


def is_unwelcome(error: Refused) -> bool:
    """Return True if the scheduler rejects the API key, whatever the request."""
    return error.problem.status in UNWELCOME
