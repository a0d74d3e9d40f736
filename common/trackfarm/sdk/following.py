"""Polling of one job until it ends, through outages of the farm."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from trackfarm.api import Job
from trackfarm.client.calls import PLAIN
from trackfarm.client.endings import FarmUnreachable, Refused, is_away
from trackfarm.client.steps import Item, Pause, Stream, Work

LOOK_EVERY = 0.5  # seconds
GIVE_UP_AFTER = 120.0  # a scheduler that restarts is back within seconds


@dataclass(frozen=True, slots=True)
class Outage:
    """The farm has been unreachable, failing or too busy for `seconds`."""

    seconds: float


Sighting = Job | Outage


def follow(
    job_id: str,
    *,
    stopped: Callable[[float], object] | None = None,
    clock: Callable[[], float] = time.monotonic,
    every: float = LOOK_EVERY,
    give_up_after: float = GIVE_UP_AFTER,
) -> Stream[Sighting]:
    """Yield the job's state, or the outage, every `every` seconds until the job ends.

    `stopped(seconds)` waits that long and returns true to stop following.

    Raises:
        FarmUnreachable: the farm was unreachable for `give_up_after` seconds.
        Refused: the farm answered 429 or 5xx for that long, the job does not exist, or the key is
            wrong.
    """
    outage_start: float | None = None
    while True:
        try:
            job = yield from PLAIN.job(job_id)
        except (FarmUnreachable, Refused) as error:
            if not is_away(error):
                raise
            outage_start = clock() if outage_start is None else outage_start
            if clock() - outage_start >= give_up_after:
                raise
            yield Item(Outage(clock() - outage_start))
        else:
            outage_start = None
            yield Item(job)
            if job.state.ended:
                return
        if (yield Pause(every) if stopped is None else Work(partial(stopped, every))):
            return
