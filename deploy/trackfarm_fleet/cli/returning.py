"""Returning rentals: by our own rounds, or by the fleet process that leads."""

import time
from collections.abc import Callable, Iterable, Sequence

from trackfarm.cli.console import err
from trackfarm.cli.exits import ExitCode
from trackfarm.cli.session import ended
from trackfarm.printable import clean
from trackfarm.rentals import Rental
from trackfarm_fleet.farm import FleetFarm
from trackfarm_fleet.fleet import Fleet
from trackfarm_fleet.mandate import Mandate
from trackfarm_fleet.situation import Rules
from trackfarm_fleet.steering import BETWEEN_S, RETURN_S, attempted, pause, resign

WHY = "requested by the operator"
NOTHING = Mandate(rules=Rules(max_machines=0), purpose="nobody")


def chosen_of(known: Iterable[Rental], names: Sequence[str] | None) -> list[str]:
    """Return the tags of the open rentals named by tag or id, or of all if `names` is empty. Ends
    the command before anything is changed if a name is unknown."""
    tags = {name: r.tag for r in known if r.is_open for name in (r.tag, r.id)}
    if unknown := [name for name in names or () if name not in tags]:
        unknown_names = ", ".join(map(clean, unknown))
        complaint = f"no open rental {unknown_names}; `trackfarm fleet status` lists them"
        raise ended(ExitCode.REFUSED, complaint)
    return sorted({tags[name] for name in names} if names else set(tags.values()))


def return_all(
    fleet: Fleet, farm: FleetFarm, tags: Iterable[str], stopped: Callable[[], bool]
) -> list[str]:
    """Release these rentals and wait for their end. Returns the tags of rentals still open because
    the operator interrupted or the time was over."""
    chosen = set(tags)
    for tag in chosen:
        farm.dismiss(tag, WHY)
    is_ours = not farm.term().seconds
    if not is_ours:
        err().print("the running fleet process will return the machines; waiting for it")
    still_open = _waited(fleet, farm, chosen, stopped, is_ours=is_ours)
    if is_ours:
        resign(fleet)
    return sorted(still_open)


def _waited(
    fleet: Fleet,
    farm: FleetFarm,
    chosen: set[str],
    stopped: Callable[[], bool],
    *,
    is_ours: bool,
) -> set[str]:
    until = time.monotonic() + RETURN_S
    still_open = chosen
    while not stopped() and time.monotonic() < until:
        if is_ours:
            attempted(lambda: fleet.round(NOTHING))
        still_open = chosen & {r.tag for r in farm.rentals(ended_since=time.time()) if r.is_open}
        if not still_open:
            break
        pause(BETWEEN_S, stopped)
    return still_open
