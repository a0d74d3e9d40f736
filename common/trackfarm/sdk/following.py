"""Follows one job until it ends, through outages of the farm."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from trackfarm.api import Job
from trackfarm.client.calls import PLAIN
from trackfarm.client.endings import FarmUnreachable, Refused, is_away
from trackfarm.client.steps import Item, Pause, Stream, Work

LOOK_EVERY = 0.5
GIVE_UP_AFTER = 120.0  # a scheduler that restarts is back within seconds


@dataclass(frozen=True, slots=True)
class Outage:
    """The farm cannot be reached, fails or is too busy, for `seconds` now."""

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
    """Looks at the job every `every` seconds until it ends.

    `stopped` waits for so many seconds; an answer that is true ends the following.

    Raises:
        FarmUnreachable: the farm was away for `give_up_after` seconds.
        Refused: the same where it answered that it fails or is too busy; the job does not exist, or
            the key is wrong.
    """
    away_since: float | None = None
    while True:
        try:
            job = yield from PLAIN.job(job_id)
        except (FarmUnreachable, Refused) as error:
            if not is_away(error):
                raise
            away_since = clock() if away_since is None else away_since
            if clock() - away_since >= give_up_after:
                raise
            yield Item(Outage(clock() - away_since))
        else:
            away_since = None
            yield Item(job)
            if job.state.ended:
                return
        if (yield Pause(every) if stopped is None else Work(partial(stopped, every))):
            return
