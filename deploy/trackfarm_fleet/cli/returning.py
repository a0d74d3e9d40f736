"""Gives rentals back: by our own rounds, or by the fleet process that leads."""

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

WHY = "the operator takes it down"
NOTHING = Mandate(rules=Rules(max_machines=0), purpose="nobody")


def chosen_of(known: Iterable[Rental], names: Sequence[str] | None) -> list[str]:
    """The tags of the open rentals that were named by tag or id; all, if none were. Ends the command
    before anything is done to one when another is not there."""
    tags = {name: r.tag for r in known if r.is_open for name in (r.tag, r.id)}
    if unknown := [name for name in names or () if name not in tags]:
        lost = ", ".join(map(clean, unknown))
        complaint = f"there is no open rental {lost}; `trackfarm fleet status` lists them"
        raise ended(ExitCode.REFUSED, complaint)
    return sorted({tags[name] for name in names} if names else set(tags.values()))


def return_all(
    fleet: Fleet, farm: FleetFarm, tags: Iterable[str], stopped: Callable[[], bool]
) -> list[str]:
    """Dismisses these rentals and waits for their end. The tags of those that are left, because the
    operator stopped it or the time is over."""
    chosen = set(tags)
    for tag in chosen:
        farm.dismiss(tag, WHY)
    is_ours = not farm.term().seconds
    if not is_ours:
        err().print("a fleet process leads: it gives them back")
    left = _waited(fleet, farm, chosen, stopped, is_ours=is_ours)
    if is_ours:
        resign(fleet)
    return sorted(left)


def _waited(
    fleet: Fleet,
    farm: FleetFarm,
    chosen: set[str],
    stopped: Callable[[], bool],
    *,
    is_ours: bool,
) -> set[str]:
    until = time.monotonic() + RETURN_S
    left = chosen
    while not stopped() and time.monotonic() < until:
        if is_ours:
            attempted(lambda: fleet.round(NOTHING))
        left = chosen & {r.tag for r in farm.rentals(ended_since=time.time()) if r.is_open}
        if not left:
            break
        pause(BETWEEN_S, stopped)
    return left
