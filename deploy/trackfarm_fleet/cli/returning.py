"""Gives rentals back: by our own rounds, or by the fleet process that leads."""

import time
from collections.abc import Callable, Sequence

from trackfarm.cli.console import err
from trackfarm_fleet.farm import FleetFarm
from trackfarm_fleet.fleet import Fleet
from trackfarm_fleet.mandate import Mandate
from trackfarm_fleet.situation import Rules
from trackfarm_fleet.steering import BETWEEN_S, RETURN_S, attempted, pause, resign

WHY = "the operator takes it down"
NOTHING = Mandate(rules=Rules(max_machines=0), purpose="nobody")


def return_all(
    fleet: Fleet, farm: FleetFarm, tags: Sequence[str] | None, stopped: Callable[[], bool]
) -> list[str]:
    """Dismisses these rentals (all, if none are named) and waits for their end. The tags of those
    that are left, because the operator stopped it or the time is over."""
    known = [r.tag for r in farm.rentals(ended_since=time.time()) if r.is_open]
    chosen = set(tags or known)
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
