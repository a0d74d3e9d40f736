"""The scheduler as the fleet sees it: `/api/v1/fleet`, nothing else."""

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
STAYS = 25  # asked for at once: a million tracks on a thousand machines take a minute together
UNWELCOME = frozenset({401, 403})


class FleetFarm(Client):
    """A connection for who rents machines. Every call may be sent again after a lost answer: the
    scheduler finds what it has written already. Raises what `Client` raises."""

    @call
    def term(self) -> Steps[wire.Term]:
        return get(wire.Term, "fleet/term")

    @call
    def hold_term(self, holder: str, seconds: float) -> Steps[wire.Term]:
        """Takes or renews the lead, if nobody else has it; who has it now."""
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
        """Lets its workers finish what they have, and leave; who is still there."""
        return ask(list[ApiWorker], f"fleet/rentals/{segment(tag)}/drain", None)

    @call
    def rentals(self, *, ended_since: float) -> Steps[list[wire.Rental]]:
        """The open ones and those that ended since then."""
        return get(list[wire.Rental], "fleet/rentals", {"ended_since": ended_since})

    @call
    def stays(self, *, ended_since: float) -> Steps[list[wire.Stay]]:
        """Those of the rentals that are open or ended since then."""
        found: list[wire.Stay] = []
        asked: dict[str, Any] = {"ended_since": ended_since, "limit": STAYS}
        while True:
            page = yield from get(list[wire.Stay], "fleet/stays", asked)
            found += page
            if len(page) < STAYS:
                return found
            asked["behind"] = page[-1].rental.tag

    @call
    def bundle(self) -> Steps[wire.Bundle]:
        """What machines with a stock image install."""
        return get(wire.Bundle, "fleet/bundle")

    @call
    def run_dry(self, job_id: str) -> Steps[Job]:
        """Ends a job for which no machine can be paid any more."""
        return ask(Job, f"fleet/jobs/{segment(job_id)}/out-of-budget", None)


def is_stale(error: Refused) -> bool:
    """Whether somebody else has written meanwhile: look again, then decide anew."""
    return error.problem.status == CONFLICT


def is_unwelcome(error: Refused) -> bool:
    """Whether the farm does not take the key, for whatever it may be asked."""
    return error.problem.status in UNWELCOME
