"""Follows one job until it ends, through outages of the farm."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from trackfarm.api import Job
from trackfarm.client import Farm, FarmUnreachable

LOOK_EVERY = 0.5
GIVE_UP_AFTER = 120.0  # a scheduler that restarts is back within seconds


@dataclass(frozen=True, slots=True)
class Outage:
    """The farm cannot be reached, for `seconds` now."""

    seconds: float


Sighting = Job | Outage


def follow(
    farm: Farm,
    job_id: str,
    *,
    stopped: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
    every: float = LOOK_EVERY,
    give_up_after: float = GIVE_UP_AFTER,
) -> Iterator[Sighting]:
    """Looks at the job every `every` seconds until it ends.

    `stopped` waits for so many seconds; an answer that is true ends the following.

    Raises:
        FarmUnreachable: the farm was away for `give_up_after` seconds.
        Refused: the job does not exist, or the key is wrong.
    """
    away_since: float | None = None
    while True:
        try:
            job = farm.job(job_id)
        except FarmUnreachable:
            away_since = clock() if away_since is None else away_since
            if clock() - away_since >= give_up_after:
                raise
            yield Outage(clock() - away_since)
        else:
            away_since = None
            yield job
            if job.state.ended:
                return
        if stopped(every):
            return
