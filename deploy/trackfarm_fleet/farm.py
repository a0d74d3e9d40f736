"""The scheduler as the fleet sees it: `/api/v1/fleet`, nothing else."""

from functools import partial

import httpx
from pydantic import BaseModel

from trackfarm import rentals as wire
from trackfarm.api import PREFIX, Job
from trackfarm.api import Worker as ApiWorker
from trackfarm.client import Farm, segment
from trackfarm.endings import Refused, lost

CONFLICT = 409


class FleetFarm(Farm):
    """A connection for who rents machines. Every call may be sent again after a lost answer: the
    scheduler finds what it has written already. Raises what `Farm` raises."""

    def term(self) -> wire.Term:
        return self._get(wire.Term, "fleet/term")

    def hold_term(self, holder: str, seconds: float) -> wire.Term:
        """Takes or renews the lead, if nobody else has it; who has it now."""
        request = wire.TermRequest(holder=holder, seconds=seconds)
        return self._ask(wire.Term, "fleet/term", request)

    def resign(self, holder: str) -> None:
        call = partial(self._http.delete, f"{PREFIX}/fleet/term/{segment(holder)}")
        self._send(call, repeat=lost)

    def situation(self, *, ended_since: float) -> wire.FleetSituation:
        since = {"ended_since": ended_since}
        return self._get(wire.FleetSituation, "fleet/situation", since)

    def intend(self, epoch: int, plan: wire.RentalPlan) -> wire.Intended:
        return self._ask(wire.Intended, "fleet/rentals", wire.Intent(epoch=epoch, plan=plan))

    def move(self, epoch: int, rental: wire.Rental, standing: wire.Standing) -> wire.Rental:
        move = wire.Move(epoch=epoch, version=rental.version, standing=standing)
        return self._read(wire.Rental, self._put(f"fleet/rentals/{segment(rental.tag)}", move))

    def dismiss(self, tag: str, reason: str) -> wire.Rental:
        path = f"fleet/rentals/{segment(tag)}/dismiss"
        return self._ask(wire.Rental, path, wire.Dismissal(reason=reason))

    def drain(self, tag: str) -> list[ApiWorker]:
        """Lets its workers finish what they have, and leave; who is still there."""
        return self._ask(list[ApiWorker], f"fleet/rentals/{segment(tag)}/drain", None)

    def rentals(self, *, ended_since: float) -> list[wire.Rental]:
        """The open ones and those that ended since then."""
        return self._get(list[wire.Rental], "fleet/rentals", {"ended_since": ended_since})

    def stays(self, *, ended_since: float) -> list[wire.Stay]:
        return self._get(list[wire.Stay], "fleet/stays", {"ended_since": ended_since})

    def run_dry(self, job_id: str) -> Job:
        """Ends a job for which no machine can be paid any more."""
        return self._ask(Job, f"fleet/jobs/{segment(job_id)}/out-of-budget", None)

    def _put(self, path: str, body: BaseModel) -> httpx.Response:
        content = body.model_dump_json()
        headers = {"Content-Type": "application/json"}
        call = partial(self._http.put, f"{PREFIX}/{path}", content=content, headers=headers)
        return self._send(call, repeat=lost)


def is_stale(error: Refused) -> bool:
    """Whether somebody else has written meanwhile: look again, then decide anew."""
    return error.problem.status == CONFLICT
