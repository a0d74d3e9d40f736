"""Whose turn it is, pure: the interactive lane, then deadlines that are in danger, then priority
that grows with age, then fair shares of the farm."""

from dataclasses import dataclass
from enum import StrEnum

AGEING = 10.0 / 3600  # priority points a waiting job gains per second: ten an hour
DANGER = 1.25  # a deadline is in danger when the work left takes this much of the time left
WEIGHT_STEP = 10.0  # priority points that double a job's share
BAND = 10.0  # priorities closer than this share the farm instead of taking turns


class Lane(StrEnum):
    BATCH = "batch"
    INTERACTIVE = "interactive"


@dataclass(frozen=True, slots=True)
class Standing:
    """What a job's turn depends on. `seconds_left`: its unfinished work over the farm's speed;
    `in_flight`: seconds of its shards that are offered or being computed; `fed_at`: when it last
    got a shard (its submission before that); `deadline` and times in Unix seconds."""

    lane: Lane
    priority: int
    created_at: float
    fed_at: float
    in_flight: float
    seconds_left: float = 0.0
    deadline: float | None = None


def is_in_danger(standing: Standing, now: float) -> bool:
    """Whether the deadline will be missed unless the job goes first."""
    if standing.deadline is None:
        return False
    return DANGER * standing.seconds_left >= standing.deadline - now


def aged_priority(standing: Standing, now: float) -> float:
    """Priority plus what it gained while it was given nothing, so that nobody starves."""
    return standing.priority + AGEING * max(0.0, now - standing.fed_at)


def weight(priority: float) -> float:
    """A job's share against another's: doubled by each WEIGHT_STEP points."""
    return float(2.0 ** (priority / WEIGHT_STEP))


def rank(standing: Standing, just_taken: float, now: float) -> tuple[float, ...]:
    """Sort key, smallest first. `just_taken`: seconds given to the job in this very round."""
    aged = aged_priority(standing, now)
    in_danger = is_in_danger(standing, now)
    slack = (standing.deadline or 0.0) - now if in_danger else 0.0
    return (
        0 if standing.lane is Lane.INTERACTIVE else 1,
        0 if in_danger else 1,
        slack,
        -(aged // BAND),
        (standing.in_flight + just_taken) / weight(aged),
        standing.created_at,
    )
