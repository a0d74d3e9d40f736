"""Job priority (pure): the interactive lane, then deadlines in danger, then priority that grows
with age, then fair shares of the farm."""

from trackfarm_scheduler.policy.models import JobPriority, Lane

AGEING = 10.0 / 3600  # points of priority that a waiting job gains per second: ten an hour
DANGER = 1.25  # a deadline is in danger when the work left takes this much of the time left
WEIGHT_STEP = 10.0  # priority points that double a job's share
BAND = 10.0  # jobs closer than this share the farm instead of going one after the other


def is_in_danger(priority: JobPriority, now: float) -> bool:
    """Return whether the deadline will be missed unless the job goes first."""
    if priority.deadline is None:
        return False
    return DANGER * priority.seconds_left >= priority.deadline - now


def aged_priority(priority: JobPriority, now: float) -> float:
    """Return the level plus its gain while the job got no shard, so that no job starves."""
    return priority.level + AGEING * max(0.0, now - priority.last_shard_at)


def weight(aged_level: float) -> float:
    """Return a job's relative share, doubled by each WEIGHT_STEP points."""
    return float(2.0 ** (aged_level / WEIGHT_STEP))


def rank(priority: JobPriority, just_taken_seconds: float, now: float) -> tuple[float, ...]:
    """Return the sort key, smallest first. `just_taken_seconds`: work given to the job in this
    round."""
    aged = aged_priority(priority, now)
    in_danger = is_in_danger(priority, now)
    slack = (priority.deadline or 0.0) - now if in_danger else 0.0
    return (
        0 if priority.lane is Lane.INTERACTIVE else 1,
        0 if in_danger else 1,
        slack,
        -(aged // BAND),
        (priority.in_flight_seconds + just_taken_seconds) / weight(aged),
        priority.created_at,
    )
